from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_dynaclr import embed, open_dataset, params, profile
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.profiler.checkpoint import load_profiler
from napari_dynaclr.embedding.profiler.fields import squares
from napari_dynaclr.embedding.profiler.method import open_embedder
from napari_dynaclr.embedding.profiler.plan import make_plan
from napari_dynaclr.embedding.profiler.sight import Sight, middle, resized

FOV = "B/1/0"


def cells_by(dataset, **given):
    embed(dataset, params("embed", "profiler", device="cpu", **given))
    return dataset.workspace.embedding("profiler", dataset.fovs[0])


def test_cells_are_represented_by_both_profilers_beside_each_other(processed, save):
    dataset = processed.select([FOV])
    dyed = str(save("dyed"))
    free = str(save("free", seed=1, source_channels=("Phase",), channel_kind="label-free"))
    both = cells_by(dataset, weights=dyed, label_free_weights=free).X
    assert both.shape == (len(dataset.workspace.tracks(dataset.fovs[0])), 2 * 192)
    np.testing.assert_allclose(cells_by(dataset, weights=dyed).X, both[:, :192], atol=1e-5)
    np.testing.assert_allclose(cells_by(dataset, weights=free).X, both[:, 192:], atol=1e-5)


def test_other_channels_can_be_named_and_too_many_are_refused(processed, save):
    dataset, file = processed.select([FOV]), str(save())
    usual = cells_by(dataset, weights=file).X
    assert not np.allclose(cells_by(dataset, weights=file, channels=["Nuclei"]).X, usual)
    with pytest.raises(InvalidInput, match="take 1 channel"):
        cells_by(dataset, weights=file, channels=["Nuclei", "Sensor"])


def test_a_profiler_sees_as_many_um_in_images_of_another_magnification(dataset, save):
    file = save(pixel_size=1.1)
    plan = make_plan([file], [()], dataset, "cell", allow_empty=False)
    assert plan.sides == (64,)
    assert plan.window.size == (1, 64, 64)
    assert "squares of 35.2 um" in plan.told[0]
    near = make_plan([save(pixel_size=0.56)], [()], dataset, "cell", allow_empty=False)
    assert near.sides == (32,)  # no difference that matters


def test_each_profiler_sees_its_channels_in_its_size(save):
    first, second = (load_profiler(save(str(i), seed=i))[0] for i in range(2))
    patches = torch.rand(3, 2, 1, 64, 64)
    found = Sight([first, second], (64, 32))(patches)
    torch.testing.assert_close(found[:, :192], first.represent(resized(patches[:, :1, 0], 32)))
    torch.testing.assert_close(found[:, 192:], second.represent(patches[:, 1:, 0, 16:48, 16:48]))


def test_a_smaller_image_is_as_bright_and_the_middle_is_the_middle():
    image = torch.zeros(1, 1, 64, 64)
    image[..., 20:44, 20:44] = 1
    small = resized(image, 16)
    assert small.mean() == pytest.approx(float(image.mean()), rel=1e-3)
    assert middle(image, 24).min() == 1
    assert middle(image, 100).shape == image.shape


@pytest.mark.parametrize(
    ("recipe", "method", "line"),
    [
        ({"unit": "field"}, ("embed", "profiler"), "trained on whole fields"),
        ({"unit": "cell"}, ("profile", "fields"), "trained on patches of cells"),
        ({"source_channels": ("Actin",)}, ("embed", "profiler"), "trained on Actin"),
        ({"z_start": 4}, ("embed", "profiler"), "set z_start to 0 or less"),
    ],
)
def test_weights_that_do_not_go_with_it_are_refused(processed, save, recipe, method, line):
    settings = params(*method, weights=str(save(**recipe)), device="cpu")
    stage = embed if method[0] == "embed" else profile
    with pytest.raises(InvalidInput, match=line):
        stage(processed.select([FOV]), settings)


def test_without_weights_it_says_how_to_make_some(processed):
    with pytest.raises(InvalidInput, match="train one first"):
        embed(processed, params("embed", "profiler", preset="none"))


def test_the_profiler_that_comes_along_sees_the_dyes_of_the_sample(processed):
    one = processed.select([FOV])
    embed(one, params("embed", "profiler", device="cpu"))
    table = one.workspace.embedding("profiler", one.fovs[0])
    assert table.shape[1] == 192
    assert np.isfinite(table.X).all()
    assert np.std(table.X, axis=0).min() > 0


def test_the_profiler_that_comes_along_is_not_for_other_channels(make_plate):
    path = make_plate("other.zarr", {FOV: np.ones((1, 1, 1, 64, 64), np.float32)}, ("Actin",))
    with (
        pytest.raises(InvalidInput, match=r"knows Nuclei, Membrane, Sensor .* here are Actin"),
        open_embedder(open_dataset(path), params("embed", "profiler"), Job()),
    ):
        pass


def test_two_profilers_of_different_slices_are_refused(dataset, save):
    files = [save("one"), save("two", z_start=0)]
    with pytest.raises(InvalidInput, match="different slices"):
        make_plan(files, [(), ()], dataset, "cell", allow_empty=False)


def test_pixels_that_are_not_square_are_refused(make_plate, save):
    path = make_plate("flat.zarr", {"A/1/0": np.ones((1, 1, 1, 64, 64), np.float32)},
                      channels=("Sensor",), scale=(1.0, 1.0, 2.0))  # fmt: skip
    with pytest.raises(InvalidInput, match="square ones"):
        make_plan([save()], [()], open_dataset(path), "cell", allow_empty=False)


# fields


@pytest.mark.parametrize(
    ("length", "side", "starts"),
    [(64, 64, [0]), (100, 64, [0, 36]), (200, 64, [0, 45, 91, 136]), (40, 64, [-12])],
)
def test_squares_cover_a_field_evenly(length, side, starts):
    table = squares((2, 1, length, side), side)
    assert table["t"].tolist() == sorted([0, 1] * len(starts))
    first = table[table["t"] == 0]
    assert (first["y"] - (side - 1) / 2).tolist() == starts
    assert set(first["x"] - (side - 1) / 2) == {0.0}


def test_a_field_is_the_mean_of_its_squares(dataset, save):
    dataset = dataset.select(["A/1/*"])
    file = save(unit="field", side=64)
    table = profile(
        dataset, params("profile", "fields", weights=str(file), device="cpu", map="none")
    )
    assert len(table) == 2 * 10
    assert set(table["cells"]) == {0}
    kept = dataset.workspace.profiles("fields", "field")
    assert kept.shape == (20, 192)

    fov = dataset.fovs[1]
    from napari_dynaclr.core.normalize import statistics
    from napari_dynaclr.embedding.scaling import scale_range

    known = statistics(dataset, fov, ["Sensor"], "dataset")["Sensor"]
    image = np.asarray(fov.image("Sensor")[3, 0], np.float32)
    scale_range(image, known)
    tiles = [image[y : y + 64, x : x + 64] for y in (0, 64, 128) for x in (0, 64, 128)]
    network, _ = load_profiler(file)
    with torch.no_grad():
        expected = network.represent(torch.from_numpy(np.stack(tiles))[:, None]).mean(dim=0)
    row = (kept.obs["fov_name"] == fov.name) & (kept.obs["t"] == 3)
    np.testing.assert_allclose(kept.X[row.to_numpy()][0], expected, atol=1e-4)


def test_a_frame_of_zeros_is_refused_or_taken_as_it_is(make_plate, save):
    images = np.random.default_rng(0).normal(100, 10, (2, 1, 1, 64, 64)).astype(np.float32)
    images[1] = 0
    path = make_plate("dark.zarr", {"A/1/0": images}, channels=("Sensor",), scale=(1, 1.0, 1.0))
    given = {"weights": str(save(unit="field", pixel_size=2.0)), "device": "cpu", "map": "none"}
    with pytest.raises(InvalidInput, match="time point 1 holds nothing but zeros"):
        profile(open_dataset(path), params("profile", "fields", **given))
    taken = profile(open_dataset(path), params("profile", "fields", **given, empty_frames="skip"))
    assert len(taken) == 2


def test_a_run_tells_what_is_seen(processed, save):
    job = Job()
    embed(processed.select([FOV]), params("embed", "profiler", weights=str(save())), job)
    (line,) = [note for note in job.notes if "sees" in note]
    assert "sees Sensor in squares of 17.6 um" in line
