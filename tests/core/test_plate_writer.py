from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import pandas as pd
import pytest
import zarr
from iohub import open_ome_zarr

from napari_dynaclr import open_dataset
from napari_dynaclr.core import plate_writer
from napari_dynaclr.core.plate_writer import FovWriter, is_without

NAMES = ["A/1/0", "A/1/1", "B/02/000000"]
TIMES = 4


@pytest.fixture(params=["0.4", "0.5"])
def version(request):
    return request.param


@pytest.fixture
def dataset(tmp_path, write_plate, pixels, version):
    plate = write_plate(
        tmp_path / "p.zarr",
        {name: pixels((TIMES, 1, 2, 6, 5)) for name in NAMES},
        version=version,
        channels=["Phase"],
        scale=[1800, 1, 2, 0.5, 0.25],
    )
    dataset = open_dataset(plate)
    dataset.workspace.prepare(dataset.channels)
    return dataset


@pytest.fixture
def labels(pixels):
    return pixels((TIMES, 2, 2, 6, 5), seed=9).astype("u4")


def write(dataset, name, labels, key="key", publish=True, tables=None):
    writer = FovWriter(dataset.workspace, "tracks", dataset[name], key, ["a", "b"])
    for t in range(writer.next_time, TIMES):
        writer.write(t, labels[t], note=int(labels[t].max()))
    if publish:
        writer.publish(tables)
    return writer


def read(dataset, name):
    with open_ome_zarr(dataset.workspace.plate("tracks") / name, layout="fov") as position:
        return np.asarray(position["0"][:])


def listed(dataset):
    with open_ome_zarr(dataset.workspace.plate("tracks"), layout="hcs", mode="r") as plate:
        return [name for name, _ in plate.positions()]


def test_iohub_reads_the_result_in_the_version_of_the_source(dataset, labels, version):
    write(dataset, "B/02/000000", labels)
    with open_ome_zarr(dataset.workspace.plate("tracks"), layout="hcs", mode="r") as plate:
        assert plate.version == version
        ((name, position),) = plate.positions()
        assert name == "B/02/000000"
        assert position.version == version
        assert position.channel_names == ["a", "b"]
        assert position.scale == [1800, 1, 2, 0.5, 0.25]
        assert position["0"].dtype == np.uint32
        np.testing.assert_array_equal(position["0"][:], labels)


def test_we_read_our_own_results(dataset, labels):
    write(dataset, "A/1/0", labels)
    again = open_dataset(dataset.workspace.plate("tracks"))
    fov = again["A/1/0"]
    assert fov.scale == dataset["A/1/0"].scale
    assert fov.frame_interval == 1800
    np.testing.assert_array_equal(fov.image("b").compute(), labels[:, 1])


def test_nothing_shows_before_publish(dataset, labels):
    write(dataset, "A/1/0", labels, publish=False)
    assert not dataset.workspace.plate("tracks").exists()
    assert dataset.workspace.key("tracks", dataset["A/1/0"]) is None


def test_publish_marks_complete_clears_up_and_adds_the_tables(dataset, labels):
    table = pd.DataFrame({"track_id": [1]})
    write(dataset, "A/1/0", labels, tables={"tracks.csv": table})
    workspace = dataset.workspace
    assert workspace.key("tracks", dataset["A/1/0"]) == "key"
    assert pd.read_csv(workspace.tracks_csv(dataset["A/1/0"])).equals(table)
    assert [p for p in (workspace.path / ".partial").rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("crash", range(TIMES + 1))
def test_resumed_after_a_crash_equals_uninterrupted(dataset, labels, crash):
    fov = dataset["A/1/0"]
    writer = FovWriter(dataset.workspace, "tracks", fov, "key", ["a", "b"])
    for t in range(crash):
        writer.write(t, labels[t], note=int(labels[t].max()))
    if crash < TIMES:
        # The frame that was being written when the process died.
        writer._array[crash, :, :, :3] = 77
    del writer
    resumed = FovWriter(dataset.workspace, "tracks", fov, "key", ["a", "b"])
    assert resumed.next_time == crash
    write(dataset, "A/1/0", labels)
    np.testing.assert_array_equal(read(dataset, "A/1/0"), labels)
    assert listed(dataset) == ["A/1/0"]


def test_notes_are_found_again(dataset, labels):
    write(dataset, "A/1/0", labels, publish=False)
    again = FovWriter(dataset.workspace, "tracks", dataset["A/1/0"], "key", ["a", "b"])
    assert again.notes == [int(frame.max()) for frame in labels]


def test_a_crash_while_the_array_is_made_is_made_good(dataset, labels, monkeypatch):
    def crash(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(plate_writer, "write_text", crash)
    with pytest.raises(KeyboardInterrupt):
        write(dataset, "A/1/0", labels)
    monkeypatch.undo()
    write(dataset, "A/1/0", labels)
    np.testing.assert_array_equal(read(dataset, "A/1/0"), labels)


@pytest.mark.parametrize("step", ["replace_folder", "list_position", "remove"])
def test_a_crash_while_publishing_is_made_good(dataset, labels, monkeypatch, step):
    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(plate_writer, step, crash)
    with pytest.raises(KeyboardInterrupt):
        write(dataset, "A/1/0", labels)
    monkeypatch.undo()
    write(dataset, "A/1/0", labels)
    np.testing.assert_array_equal(read(dataset, "A/1/0"), labels)
    assert listed(dataset) == ["A/1/0"]
    assert dataset.workspace.key("tracks", dataset["A/1/0"]) == "key"


def test_another_key_starts_over_and_replaces_the_old_result(dataset, labels):
    write(dataset, "A/1/0", labels)
    started = FovWriter(dataset.workspace, "tracks", dataset["A/1/0"], "one", ["a", "b"])
    started.write(0, labels[0])
    other = FovWriter(dataset.workspace, "tracks", dataset["A/1/0"], "two", ["a", "b"])
    assert other.next_time == 0
    np.testing.assert_array_equal(read(dataset, "A/1/0"), labels)
    write(dataset, "A/1/0", labels + 1, key="two")
    np.testing.assert_array_equal(read(dataset, "A/1/0"), labels + 1)
    assert dataset.workspace.key("tracks", dataset["A/1/0"]) == "two"
    assert listed(dataset) == ["A/1/0"]


def test_the_plate_lists_published_fovs_only(dataset, labels):
    write(dataset, "A/1/1", labels)
    write(dataset, "A/1/0", labels, publish=False)
    assert listed(dataset) == ["A/1/1"]
    write(dataset, "B/02/000000", labels)
    assert listed(dataset) == ["A/1/1", "B/02/000000"]
    write(dataset, "A/1/0", labels)
    assert sorted(listed(dataset)) == NAMES
    plate = open_dataset(dataset.workspace.plate("tracks"))
    assert sorted(plate.fov_names) == NAMES


def test_time_points_come_in_order(dataset, labels):
    writer = FovWriter(dataset.workspace, "tracks", dataset["A/1/0"], "key", ["a", "b"])
    with pytest.raises(ValueError, match="0 is next"):
        writer.write(1, labels[1])


def test_what_zarr_leaves_when_killed_is_removed_and_nothing_else(dataset, labels):
    writer = write(dataset, "A/1/0", labels, publish=False)
    strays = [
        writer._image / "0" / f"c.{'0' * 32}.partial",
        writer._image / f"zarr.json.{'a1' * 16}.partial",
    ]
    kept = writer._image / "0" / "mine.partial"
    for file in (*strays, kept):
        file.write_text("x")
    writer.publish()
    home = dataset.workspace.plate("tracks") / "A/1/0"
    assert [p.name for p in home.rglob("*.partial")] == ["mine.partial"]
    np.testing.assert_array_equal(read(dataset, "A/1/0"), labels)


def _publish_in_process(plate, name, barrier):
    dataset = open_dataset(plate)
    writer = FovWriter(dataset.workspace, "tracks", dataset[name], "key", ["a"])
    for t in range(TIMES):
        writer.write(t, np.ones((1, 2, 6, 5), "u4"))
    barrier.wait(60)
    writer.publish()


def test_two_processes_that_publish_at_once_are_both_listed(tmp_path, write_plate, pixels):
    names = ["A/1/0", "A/1/1"]
    plate = write_plate(tmp_path / "p.zarr", {n: pixels((TIMES, 1, 2, 6, 5)) for n in names})
    dataset = open_dataset(plate)
    dataset.workspace.prepare([])
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [
        context.Process(target=_publish_in_process, args=(plate, name, barrier)) for name in names
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert sorted(listed(dataset)) == names


def test_threads_that_publish_at_once_are_all_listed(dataset, labels):
    writers = [write(dataset, name, labels, publish=False) for name in NAMES]
    barrier = threading.Barrier(len(writers))
    failures = []

    def publish(writer):
        try:
            barrier.wait(30)
            writer.publish()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(listed(dataset)) == NAMES


def test_a_bare_image_gets_a_plate_of_one(tmp_path, write_image, pixels):
    path = write_image(tmp_path / "i.zarr", pixels((TIMES, 6, 5)), axes="tyx")
    dataset = open_dataset(path)
    dataset.workspace.prepare([])
    writer = FovWriter(dataset.workspace, "tracks", dataset.fovs[0], "key", ["labels"])
    for t in range(TIMES):
        writer.write(t, np.full((1, 1, 6, 5), t + 1))
    writer.publish()
    assert listed(dataset) == ["0/0/0"]
    assert read(dataset, "0/0/0")[:, 0, 0, 0, 0].tolist() == [1, 2, 3, 4]


def test_a_fov_published_without_some_time_points_goes_on_with_these(dataset):
    fov = dataset["A/1/0"]
    frames = np.random.default_rng(0).integers(1, 9, (fov.shape[0], 1, *fov.shape[1:]))

    def writer():
        return FovWriter(dataset.workspace, "stain", fov, "k", ["cells"], "uint32")

    first = writer()
    first.remember({"tile": 32})
    for t, frame in enumerate(frames):
        if t == 1:
            first.leave_out(t)
        else:
            first.write(t, frame, {"n": t})
    with pytest.raises(ValueError, match="are missing"):
        first.publish()
    first.publish(without=True)
    assert is_without(dataset.workspace.key("stain", fov), "k")
    assert not is_without("k", "k")
    assert not is_without(None, "k")
    for _ in range(2):  # also when nothing came of it
        again = writer()
        assert again.missing == [1]
        assert again.begun == {"tile": 32}
    again.write(1, frames[1], {"n": 1})
    again.publish()
    assert dataset.workspace.key("stain", fov) == "k"
    found = zarr.open_array(dataset.workspace.plate("stain") / fov.name / "0", mode="r")
    np.testing.assert_array_equal(found[:], frames)


def test_a_fov_can_be_begun_anew(dataset):
    fov = dataset["A/1/0"]
    writer = FovWriter(dataset.workspace, "stain", fov, "k", ["cells"], "uint32")
    writer.remember({"format": "float16"})
    writer.write(0, np.ones((1, *fov.shape[1:]), np.uint32))
    writer.restart()
    for one in (writer, FovWriter(dataset.workspace, "stain", fov, "k", ["cells"], "uint32")):
        assert one.missing == list(range(fov.shape[0]))
        assert one.begun == {}
        assert not one._array[:].any()
