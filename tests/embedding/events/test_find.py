from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import zarr

from napari_dynaclr import Job, find, open_dataset, params, segment, track
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.tables import EVENT_COLUMNS
from napari_dynaclr.embedding.events import maps as maps_module
from napari_dynaclr.embedding.events import tap
from napari_dynaclr.embedding.events.stopping import false_share
from napari_dynaclr.embedding.tap.images import prepare
from napari_dynaclr.tracking.correction.corrector import Corrector


def settings(arrow, **values):
    return params("find", "tap", weights=str(arrow), device="cpu", **{"border": 0.0} | values)


def blobs(frames, seed=0, depth=1, size=64):
    """A movie of bright discs that appear and go, uint16 (T, 1, Z, Y, X)."""
    generator = np.random.default_rng(seed)
    movie = generator.integers(90, 110, (frames, 1, depth, size, size))
    for t in range(frames):
        for y, x in generator.integers(8, size - 8, (3, 2)):
            movie[t, 0, :, y - 3 : y + 3, x - 3 : x + 3] += 400
    return movie.astype(np.uint16)


@pytest.fixture
def movie(make_plate):
    """A dataset of one FOV with 6 frames of 64 x 64 pixels, a minute apart."""
    return open_dataset(make_plate("movie.zarr", {"A/1/0": blobs(6)}))


def maps_of(dataset, kind="attribution", name="tap"):
    fov = dataset.fovs[0]
    return zarr.open_array(dataset.workspace.plate(f"events.{name}.{kind}") / fov.name / "0")[:]


@pytest.fixture
def represented(monkeypatch):
    """Counts how often the network looks at each frame, by the sum of its pixels."""
    seen = Counter()
    original = tap.TapFinder.represent

    def represent(self, frame, job):
        seen[int(frame.sum())] += 1
        return original(self, frame, job)

    monkeypatch.setattr(tap.TapFinder, "represent", represent)
    return seen


def test_events_are_peaks_of_attribution_of_neighbouring_frames(movie, arrow):
    from napari_dynaclr.core.device import Device
    from napari_dynaclr.embedding.tap.attribution import attribution
    from napari_dynaclr.embedding.tap.checkpoint import load_tap

    table = find(movie, settings(arrow, smoothing=0.0, radius=6.0, window=0.0))
    assert list(table) == ["fov_name", *EVENT_COLUMNS, "overall_rank", "false_share"]
    maps = maps_of(movie)
    assert maps.shape == (6, 1, 1, 64, 64)
    assert maps.dtype == np.float32
    assert not maps[-1].any()
    loaded = load_tap(arrow)
    frames = [prepare(frame[0], "slices") for _, frame in movie.fovs[0].frames(["Nuclei"])]
    for t in range(5):
        expected = attribution(loaded, frames[t], frames[t + 1], Device.CPU)
        np.testing.assert_allclose(
            maps[t, 0].clip(0), expected, rtol=2e-2, atol=2e-3 * expected.max()
        )
    first = table.iloc[0]
    assert first["score"] == pytest.approx(float(maps.max()))
    place = np.unravel_index(maps.argmax(), maps.shape)
    assert first[["t", "z", "y", "x"]].tolist() == [place[0], *place[2:]]
    assert (
        table["rank"].tolist() == table["overall_rank"].tolist() == list(range(1, len(table) + 1))
    )
    assert (table["score"].diff().dropna() <= 0).all()
    assert (table[["id", "track_id"]] == -1).all(axis=None)


def test_every_frame_is_looked_at_once_however_far_pairs_are_apart(movie, arrow, represented):
    find(movie, settings(arrow, name="one"))
    assert set(represented.values()) == {1}
    assert len(represented) == 6
    find(movie, settings(arrow, name="three", delta_t=3))
    assert set(represented.values()) == {2}
    assert not maps_of(movie, name="three")[3:].any()
    assert maps_of(movie, name="three")[:3].reshape(3, -1).any(axis=1).all()
    assert not (movie.workspace.path / ".partial" / "events.three.attribution" / "A_1_0").exists()


def test_frames_far_apart_count_the_same(movie, arrow):
    from napari_dynaclr.embedding.tap.attribution import attribution
    from napari_dynaclr.embedding.tap.checkpoint import load_tap

    find(movie, settings(arrow, delta_t=2))
    frames = [prepare(frame[0], "slices") for _, frame in movie.fovs[0].frames(["Nuclei"])]
    expected = attribution(load_tap(arrow), frames[1], frames[3])
    np.testing.assert_allclose(
        maps_of(movie)[1, 0].clip(0), expected, rtol=2e-2, atol=2e-3 * expected.max()
    )


def test_what_is_large_waits_on_disk_and_counts_the_same(make_plate, arrow, monkeypatch):
    images = blobs(4, depth=2)
    images[:, :, 1] = images[:, :, 1, ::-1]
    movie = open_dataset(make_plate("stack.zarr", {"A/1/0": images}))
    find(movie, settings(arrow, name="memory", delta_t=2, save_features=True))
    waiting, most = set(), 0
    original = maps_module._Held.put

    def put(self, t, z, plane):
        nonlocal most
        original(self, t, z, plane)
        assert all(one is None for one in self._kept.values()), "nothing is in memory"
        waiting.update(self._folder.iterdir())
        most = max(most, len(list(self._folder.iterdir())))

    monkeypatch.setattr(maps_module._Held, "put", put)
    monkeypatch.setattr(maps_module, "_MEMORY", 0)
    find(movie, settings(arrow, name="disk", delta_t=2, save_features=True))
    assert len(waiting) == 4, "two slices of the two frames that have a later one"
    assert most <= 4
    assert not any(file.exists() for file in waiting)
    for kind in ("attribution", "features"):
        found = maps_of(movie, kind, "disk")
        assert np.array_equal(found, maps_of(movie, kind, "memory"))
        assert not np.array_equal(found[0, 0, 0], found[0, 0, 1])


def test_other_settings_of_what_an_event_is_do_not_run_the_network(movie, arrow, represented):
    many = find(movie, settings(arrow, count=50, window=0.0, radius=4.0))
    seen = dict(represented)
    few = find(movie, settings(arrow, count=2, window=0.0, radius=4.0))
    assert len(few) == 2 < len(many)
    assert few["score"].tolist() == many["score"].tolist()[:2]
    limit = float(many["score"].iloc[4])
    high = find(movie, settings(arrow, score=limit, window=0.0, radius=4.0))
    assert high["score"].tolist() == many["score"].tolist()[: len(high)]
    assert high["score"].min() >= limit
    assert represented == seen
    find(movie, settings(arrow, delta_t=2))
    assert represented != seen


def test_an_interrupted_movie_goes_on_after_the_last_pair(movie, arrow, represented):
    whole = find(movie, settings(arrow, name="whole"))
    represented.clear()
    job = Job()

    def stop(progress):
        if progress.text == "A/1/0" and progress.done >= 4:
            job.cancel()

    job._on_progress = stop
    with pytest.raises(Cancelled):
        find(movie, settings(arrow), job)
    before = sum(represented.values())
    assert 3 <= before < 6
    again = find(open_dataset(movie.root), settings(arrow))
    # The frame before the first missing pair is needed once more, and no other.
    assert sum(represented.values()) == 7
    assert again.equals(whole)


def test_a_second_run_does_nothing(movie, arrow, represented):
    first = find(movie, settings(arrow))
    stamps = {p: p.stat().st_mtime_ns for p in (movie.workspace.path / "events").rglob("*")}
    again = find(open_dataset(movie.root), settings(arrow))
    assert again.equals(first)
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}
    assert sum(represented.values()) == 6


def test_features_are_kept_if_asked_for_also_later(movie, arrow, represented):
    from napari_dynaclr.embedding.tap.checkpoint import load_tap
    from napari_dynaclr.embedding.tap.dense import frame_features

    find(movie, settings(arrow))
    made = maps_of(movie)
    stamp = movie.workspace.finished("events.tap.attribution", movie.fovs[0])
    find(movie, settings(arrow, save_features=True))
    kept = maps_of(movie, "features")
    assert kept.shape == (6, 8, 1, 64, 64)
    assert kept.dtype == np.float16
    _, frame = next(movie.fovs[0].frames(["Nuclei"], [5]))
    expected = frame_features(load_tap(arrow), prepare(frame[0], "slices"))
    np.testing.assert_allclose(kept[5], expected, rtol=2e-3, atol=2e-3)
    assert np.array_equal(maps_of(movie), made)
    assert movie.workspace.finished("events.tap.attribution", movie.fovs[0]) == stamp
    assert set(represented.values()) == {2}


def test_events_are_given_to_cells_where_these_are_tracked(dataset, arrow, truth, represented):
    one = dataset.select(["A/1/0"])
    free = find(one, settings(arrow))
    assert (free["id"] == -1).all()
    seen = dict(represented)
    segment(one, params("segment", "import", path=str(truth)))
    track(one, params("track", "masks"))
    table = find(one, settings(arrow))
    assert represented == seen, "the maps are there"
    assert table.drop(columns=["id", "track_id"]).equals(free.drop(columns=["id", "track_id"]))
    given = table[table["id"] >= 0]
    assert len(given) > 0
    tracks = one.workspace.tracks(one.fovs[0]).set_index("id")
    assert tracks.loc[given["id"], "t"].tolist() == given["t"].tolist()
    assert tracks.loc[given["id"], "track_id"].tolist() == given["track_id"].tolist()
    labels = one.workspace.labels("tracks", one.fovs[0])
    for t, frame in labels.frames(["labels"], allow_empty=True):
        for row in table[table["t"] == t].itertuples():
            under = frame[0, 0, round(row.y), round(row.x)]
            assert under in (0, row.track_id)
    track(one, params("track", "assignment"))
    with pytest.raises(MissingInput, match=r"Out of date.*Run 'find' again"):
        one.workspace.events("tap", one.fovs[0])


def test_events_are_given_to_the_cells_of_corrected_tracks(dataset, arrow, truth):
    one = dataset.select(["A/1/0"])
    fov = one.fovs[0]
    segment(one, params("segment", "import", path=str(truth)))
    track(one, params("track", "masks"))
    table = find(one, settings(arrow))
    event = table[table["id"] >= 0].iloc[0]
    made = one.workspace.key("tracks", fov)
    corrector = Corrector(one, fov.name)
    corrector.delete_node(int(event["id"]))
    assert corrector.write()
    assert one.workspace.key("tracks", fov) == made
    again = find(one, settings(arrow))
    tracks = one.workspace.tracks(fov).set_index("id")
    given = again[again["id"] >= 0]
    assert given["track_id"].tolist() == tracks.loc[given["id"], "track_id"].tolist()
    assert int(event["id"]) not in again["id"].tolist()


def test_a_movie_that_is_too_short_is_told_of_before_the_network_runs(
    make_plate, arrow, represented
):
    images = {"A/1/0": blobs(4), "A/2/0": blobs(1)}
    movies = open_dataset(make_plate("short.zarr", images))
    with pytest.raises(InvalidInput, match="FOV A/2/0 has one time point"):
        find(movies, settings(arrow))
    assert not represented


def test_ranks_go_over_all_fovs(dataset, arrow):
    two = dataset.select(["A/1/0", "B/1/0"])
    table = find(two, settings(arrow, count=5))
    assert len(table) == 10
    assert table["overall_rank"].tolist() == list(range(1, 11))
    for fov in two.fovs:
        mine = two.workspace.events("tap", fov)
        assert mine["rank"].tolist() == [1, 2, 3, 4, 5]
        here = table[table["fov_name"] == fov.name].reset_index(drop=True)
        assert here[EVENT_COLUMNS].equals(mine)
    run = two.workspace.runs()[-1]
    assert (run["stage"], run["status"], len(run["weights_sha256"])) == ("find", "finished", 1)


# -- stacks --------------------------------------------------------------------------


@pytest.mark.parametrize("stacks", ["slices", "max"])
def test_stacks_are_looked_at_slice_by_slice_or_projected(make_plate, arrow, tmp_path, stacks):
    from napari_dynaclr.embedding.tap.checkpoint import load_tap, save_tap

    file = tmp_path / "stacks.safetensors"
    save_tap(file, load_tap(arrow).network, {"source_channel": "Nuclei", "stacks": stacks})
    stack = blobs(3, depth=3)
    movie = open_dataset(make_plate("stack.zarr", {"A/1/0": stack}))
    table = find(movie, settings(file))
    assert maps_of(movie).shape[2] == (3 if stacks == "slices" else 1)
    if stacks == "max":
        assert set(table["z"]) == {1.0}, "in the middle"
    else:
        assert set(table["z"]) <= {0.0, 1.0, 2.0}


# -- bad input -----------------------------------------------------------------------


def test_a_damaged_frame_is_named_and_passed_over_and_tried_again(make_plate, arrow, represented):
    plate = make_plate("cut.zarr", {"A/1/0": blobs(6)})
    chunk = plate / "A/1/0/0/3/0/0/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:50])
    movie, job = open_dataset(plate), Job()
    table = find(movie, settings(arrow), job)
    assert not set(table["t"]) & {2, 3}
    maps = maps_of(movie)
    assert maps.reshape(6, -1).any(axis=1).tolist() == [True, True, False, False, True, False]
    (said,) = [note for note in job.notes if "Cannot read" in note]
    assert said.startswith("Cannot read FOV A/1/0, time point 3, channel Nuclei: ")
    assert said.endswith("No events are looked for there.")
    chunk.write_bytes(whole)
    represented.clear()
    find(open_dataset(plate), settings(arrow))
    assert sum(represented.values()) == 3, "of the two pairs that are missing"
    again = open_dataset(make_plate("whole.zarr", {"A/1/0": blobs(6)}))
    find(again, settings(arrow))
    assert np.array_equal(maps_of(again), maps_of(movie))


def test_an_empty_frame_has_no_events(make_plate, arrow):
    images = blobs(6)
    images[2] = 0
    images[5] = 7
    movie, job = open_dataset(make_plate("zeros.zarr", {"A/1/0": images})), Job()
    table = find(movie, settings(arrow), job)
    assert not set(table["t"]) & {1, 2, 4, 5}
    said = "FOV A/1/0: the same everywhere at time point 2, 5; no events are looked for there."
    assert said in job.notes


def test_a_field_of_zeros_keeps_no_other_from_being_looked_at(make_plate, arrow):
    images = {"A/1/0": np.zeros((4, 1, 1, 64, 64), np.uint16), "A/2/0": blobs(4)}
    movies, job = open_dataset(make_plate("one.zarr", images)), Job()
    table = find(movies, settings(arrow), job)
    assert set(table["fov_name"]) == {"A/2/0"}
    assert movies.workspace.events("tap", movies["A/1/0"]).empty
    said = (
        "FOV A/1/0, channel Nuclei: no two frames 1 apart show anything, and there are no events."
    )
    assert said in job.notes
    assert find(movies, settings(arrow)).equals(table)


def test_how_many_events_are_there_by_chance_is_told_by_the_movie_played_backwards(
    make_plate, arrow
):
    forwards = blobs(6)
    one, other = (
        open_dataset(make_plate(f"{name}.zarr", {"A/1/0": images}))
        for name, images in (("on", forwards), ("back", forwards[::-1]))
    )
    job = Job()
    table = find(one, settings(arrow, window=0.0), job)
    find(other, settings(arrow, window=0.0))
    turned = one.workspace.backwards_csv("tap", one.fovs[0])
    backwards, events = pd.read_csv(turned), other.workspace.events("tap", other.fovs[0])
    first, its = backwards.head(12), events.head(12)  # further down, near ties may be the other way
    assert first["score"].to_numpy() == pytest.approx(its["score"].to_numpy(), rel=0.02)
    assert sorted(4 - first["t"]) == sorted(its["t"])
    expected = false_share(table["score"].to_numpy(), backwards["score"].to_numpy())
    assert table["false_share"].to_numpy() == pytest.approx(expected)
    assert "movie played backwards" in job.notes[-1]


def test_a_movie_of_zeros_is_refused(make_plate, arrow):
    plate = make_plate("zeros.zarr", {"A/1/0": np.zeros((4, 1, 1, 32, 32), np.uint16)})
    for _ in range(2):
        with pytest.raises(InvalidInput, match="channel Nuclei: no two frames 1 apart show any"):
            find(open_dataset(plate), settings(arrow))


@pytest.mark.parametrize(
    ("frames", "given", "says"),
    [
        (1, {}, "FOV A/1/0 has one time point"),
        (3, {"delta_t": 3}, "FOV A/1/0 has 3 time points, too few for pairs 3 frames apart"),
        (3, {"channel": "GFP"}, "has no channel 'GFP'"),
        (3, {"weights": "", "preset": "none"}, "Name weights of TAP"),
        (3, {"weights": "nowhere.safetensors"}, "There is no weights file"),
        (3, {"weights": "nowhere/model.pt"}, "There is no weights file"),
    ],
)
def test_bad_input_is_said_in_one_line(make_plate, arrow, frames, given, says):
    movie = open_dataset(make_plate("short.zarr", {"A/1/0": blobs(frames)}))
    chosen = params("find", "tap", **{"weights": str(arrow), "device": "cpu", **given})
    with pytest.raises(InvalidInput, match=says) as caught:
        find(movie, chosen)
    assert "\n" not in str(caught.value)
    assert not (movie.workspace.path / "events").exists()
