"""Runs that were stopped, or lacked something, and go on later."""

from __future__ import annotations

import json

import numpy as np
import pytest
from iohub import open_ome_zarr

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("timm", reason="the extra 'torch' is not installed")

from napari_dynaclr import Job, open_dataset, stain  # noqa: E402
from napari_dynaclr.core.errors import Cancelled, InvalidInput  # noqa: E402
from napari_dynaclr.staining.inference import Inference  # noqa: E402
from napari_dynaclr.staining.method import StainParams  # noqa: E402


def params(weights, **more):
    return StainParams(preset="none", weights=weights, device="cpu", **more)


def made(dataset, fov="A/1/0"):
    with open_ome_zarr(dataset.workspace.plate("stain") / fov, layout="fov") as position:
        return np.asarray(position["0"][:])


def damage(dataset, fov, t):
    chunk = dataset.root / fov / "0" / f"{t}/0/0/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    return lambda: chunk.write_bytes(whole)


@pytest.fixture
def runs():
    """Return a function that stains, and gives the table, what was made, and the notes."""

    def run(dataset, settings):
        parts = []
        job = Job(on_part=lambda part: parts.append((part.fov_name, part.t)))
        try:
            table = stain(open_dataset(dataset.root), settings, job)
        except InvalidInput as error:
            return str(error), parts, job.notes
        return table, parts, job.notes

    return run


def test_damaged_frames_left_empty_cost_nothing_else_and_are_made_when_restored(movie, save, runs):
    error = params(save(), statistics="timepoint")
    blank = params(save(), statistics="timepoint", unreadable="blank", empty_frames="skip")
    sound = movie((4, 2, 40, 40), fovs=("A/1/0", "A/1/1"), name="sound.zarr")
    stain(sound, error)
    dataset = movie((4, 2, 40, 40), fovs=("A/1/0", "A/1/1"))
    restore = [damage(dataset, "A/1/0", t) for t in (1, 2)]

    assert "Cannot read 2 frames" in runs(dataset, error)[0]
    table, parts, _ = runs(dataset, blank)
    assert parts == [("A/1/0", 1), ("A/1/0", 2)]
    assert table["frame"].tolist() == ["stained", "unreadable", "unreadable"] + ["stained"] * 5
    assert not made(dataset)[1:3].any()
    key = dataset.workspace.key("stain", dataset["A/1/0"])
    other = dataset.workspace.key("stain", dataset["A/1/1"])

    # Again, while they are damaged: nothing is made, and what there is stays.
    said, parts, _ = runs(dataset, error)
    assert "Cannot read 2 frames" in said
    assert parts == []
    table, parts, notes = runs(dataset, blank)
    assert parts == []
    assert len(table) == 8
    assert sum("Its stain is left empty" in note for note in notes) == 2
    assert dataset.workspace.key("stain", dataset["A/1/0"]) == key

    restore[0]()
    assert runs(dataset, blank)[1] == [("A/1/0", 1), ("A/1/0", 2)]
    assert made(dataset)[1].any()
    assert dataset.workspace.key("stain", dataset["A/1/0"]) != key

    restore[1]()
    table, parts, _ = runs(dataset, error)
    assert parts == [("A/1/0", 2)]
    assert set(table["frame"]) == {"stained"}
    np.testing.assert_array_equal(made(dataset), made(sound))
    assert dataset.workspace.key("stain", dataset["A/1/1"]) == other
    assert runs(dataset, blank)[1] == []


def test_a_fov_is_normalised_as_it_was_begun(movie, save, runs):
    images = np.random.default_rng(0).integers(1, 900, (4, 2, 1, 64, 64)).astype(np.uint16)
    images[1] *= 9
    dataset = movie(images={"A/1/0": images})
    restore = damage(dataset, "A/1/0", 1)
    seen = []
    whole = Inference.__call__

    def spy(self, pixels, job):
        seen.append(pixels.clone())
        return whole(self, pixels, job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inference, "__call__", spy)
        runs(dataset, params(save()))
        restore()
        assert runs(dataset, params(save()))[1] == [("A/1/0", 1)]
        others = images[[0, 2, 3], 0, 0, ::32, ::32].astype(float)
        expected = (images[1, 0] - others.mean()) / others.std()
        np.testing.assert_allclose(seen[-1][0, 0], expected, rtol=1e-4, atol=1e-4)
        # Other settings begin anew, and know of all time points by now.
        seen.clear()
        runs(dataset, params(save(), z_stride=2))
        thin = images[:, 0, 0, ::32, ::32].astype(float)
        expected = (images[0, 0] - thin.mean()) / thin.std()
        np.testing.assert_allclose(seen[0][0, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stop", [("A/1/0", 0), ("B/1/0", 1)])
def test_stopped_in_tiles_of_frames_of_two_sizes(movie, save, monkeypatch, stop):
    rng = np.random.default_rng(0)
    images = {
        fov: rng.integers(1, 900, (3, 2, 1, side, side)).astype(np.uint16)
        for fov, side in (("A/1/0", 96), ("B/1/0", 48))
    }
    expected = movie(images=images, name="whole.zarr")
    dataset = movie(images=images)
    monkeypatch.setattr(Inference, "_measure", lambda *_: 1.0)
    monkeypatch.setattr("napari_dynaclr.staining.inference._memory", lambda _: 4 * 64 * 64)
    stain(expected, params(save()))
    whole = made(expected)
    other = movie(images={"A/1/0": images["A/1/0"]}, name="untiled.zarr")
    with monkeypatch.context() as patch:
        patch.setattr("napari_dynaclr.staining.inference._memory", lambda _: 1 << 30)
        stain(other, params(save()))
    assert np.abs(whole - made(other)).max() > 1e-4  # it would be seen
    job = Job(on_part=lambda part: job.cancel() if (part.fov_name, part.t) == stop else None)
    with pytest.raises(Cancelled):
        stain(dataset, params(save()), job)
    begun = dataset.workspace.path / ".partial" / "stain"
    (facts,) = [json.loads(file.read_text("utf-8")) for file in begun.rglob("begun.json")]
    assert facts["tile"] == (64 if stop[0] == "A/1/0" else 0)
    assert facts["format"] == "full"
    # Goes on in the same tiles, also on a computer with more memory.
    monkeypatch.setattr("napari_dynaclr.staining.inference._memory", lambda _: 1 << 30)
    parts = []
    stain(dataset, params(save()), Job(on_part=lambda part: parts.append(part)))
    assert len(parts) == 6 - (stop[1] + 1 if stop[0] == "A/1/0" else 3 + stop[1] + 1)
    np.testing.assert_array_equal(made(dataset), whole)
    np.testing.assert_array_equal(made(dataset, "B/1/0"), made(expected, "B/1/0"))


def test_a_fov_begun_in_numbers_that_the_device_lacks_is_begun_anew(movie, save):
    expected = movie((3, 1, 40, 40), name="whole.zarr")
    stain(expected, params(save()))
    dataset = movie((3, 1, 40, 40))
    job = Job(on_part=lambda part: job.cancel() if part.t == 1 else None)
    with pytest.raises(Cancelled):
        stain(dataset, params(save()), job)
    (file,) = dataset.workspace.path.rglob("begun.json")
    # As a run on CUDA leaves it.
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "format": "float16"}))
    parts = []
    job = Job(on_part=lambda part: parts.append(part.t))
    stain(dataset, params(save()), job)
    assert parts == [0, 1, 2]
    assert any("was begun in float16" in note for note in job.notes)
    np.testing.assert_array_equal(made(dataset), made(expected))


def test_a_fov_begun_in_mixed_precision_goes_on_in_it(movie, save):
    dataset = movie((3, 1, 40, 40))
    job = Job(on_part=lambda part: job.cancel() if part.t == 0 else None)
    with pytest.raises(Cancelled):
        stain(dataset, params(save()), job)
    (file,) = dataset.workspace.path.rglob("begun.json")
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "format": "bfloat16"}))
    kinds = []
    forward = Inference._forward

    def spy(self, part, mixed):
        kinds.append(mixed)
        return forward(self, part, mixed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inference, "_forward", spy)
        patch.setattr(Inference, "_measure", lambda *_: 1.0)
        stain(dataset, params(save()))
    assert kinds == [True, True]
