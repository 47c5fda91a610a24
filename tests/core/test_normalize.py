from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_dynaclr import Job, open_dataset
from napari_dynaclr.core.errors import Cancelled, InvalidInput, UnreadablePixels
from napari_dynaclr.core.normalize import GRID, normalize, pool, statistics, summarize

SHAPE = (3, 2, 2, 320, 400)


def viscy(sample):
    """VisCy's statistics of sampled pixels, straight from numpy."""
    values = np.asarray(sample, float).ravel()
    quantile = {f"p{q}": np.percentile(values, q) for q in (1, 5, 95, 99)}
    return {
        "mean": values.mean(),
        "std": values.std(),
        "min": values.min(),
        "max": values.max(),
        "median": np.median(values),
        "iqr": np.subtract(*np.percentile(values, [75, 25])),
        **quantile,
        "p95_p5": quantile["p95"] - quantile["p5"],
        "p99_p1": quantile["p99"] - quantile["p1"],
    }


def sampled(data):
    return data[..., ::32, ::32]


def assert_moments(found, sample):
    expected = viscy(sample)
    assert found.keys() == expected.keys()
    for name in ("mean", "std", "min", "max"):
        assert found[name] == pytest.approx(expected[name], rel=1e-9)


def assert_pooled(found, sample):
    """Moments exactly; percentiles within 2 % of the range."""
    assert_moments(found, sample)
    expected = viscy(sample)
    spread = expected["max"] - expected["min"]
    for name in expected.keys() - {"mean", "std", "min", "max"}:
        assert found[name] == pytest.approx(expected[name], abs=0.02 * spread + 1e-9)


@pytest.fixture
def data(pixels):
    return [pixels(SHAPE, seed=seed) // (seed + 1) for seed in range(2)]


@pytest.fixture
def dataset(tmp_path, write_plate, data):
    plate = write_plate(
        tmp_path / "p.zarr",
        dict(zip(["A/1/0", "A/1/1"], data, strict=True)),
        channels=["Phase", "Nuclei"],
    )
    return open_dataset(plate)


def test_the_grid_is_viscys():
    assert GRID == 32


def test_time_point_statistics_are_viscys(dataset, data):
    found = statistics(dataset, dataset["A/1/0"], ["Phase", "Nuclei"], "timepoint")
    for c, name in enumerate(["Phase", "Nuclei"]):
        assert list(found[name]) == [0, 1, 2]
        for t in range(3):
            expected = viscy(sampled(data[0][t, c]))
            assert found[name][t] == pytest.approx(expected, rel=1e-3)


def test_fov_statistics_are_pooled_over_time(dataset, data):
    found = statistics(dataset, dataset["A/1/0"], ["Nuclei"])
    assert list(found) == ["Nuclei"]
    assert_pooled(found["Nuclei"], sampled(data[0][:, 1]))


def test_dataset_statistics_are_pooled_over_fovs(dataset, data):
    found = statistics(dataset, dataset["A/1/0"], ["Phase"], "dataset")
    assert_pooled(found["Phase"], np.stack([sampled(d[:, 0]) for d in data]))
    assert statistics(dataset, dataset["A/1/1"], ["Phase"], "dataset") == found


def test_pixels_are_read_once_and_never_again(dataset, chunk_reads):
    fov = dataset["A/1/0"]
    first = statistics(dataset, fov, ["Phase"])
    assert len(chunk_reads) == len(set(chunk_reads)) == SHAPE[0] * SHAPE[2]
    chunk_reads.clear()
    again = open_dataset(dataset.root)
    assert statistics(again, again["A/1/0"], ["Phase"]) == first
    statistics(again, again["A/1/0"], ["Phase"], "timepoint")
    assert chunk_reads == []
    statistics(again, again["A/1/0"], ["Phase", "Nuclei"])
    assert len(chunk_reads) == SHAPE[0] * SHAPE[2]


def test_cached_time_points_have_whole_numbers_as_keys(dataset):
    fov = dataset["A/1/0"]
    first = statistics(dataset, fov, ["Phase"], "timepoint")
    assert statistics(dataset, fov, ["Phase"], "timepoint") == first


def test_the_cache_lies_in_the_workspace_and_the_source_stays(dataset, snapshot):
    before = snapshot(dataset.root)
    statistics(dataset, dataset["A/1/0"], ["Phase"])
    assert snapshot(dataset.root) == before
    assert (dataset.workspace.path / "statistics" / "A_1_0.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"source": "another", "channels": {}}'])
def test_a_damaged_or_foreign_cache_is_made_anew(dataset, text):
    first = statistics(dataset, dataset["A/1/0"], ["Phase"])
    file = dataset.workspace.path / "statistics" / "A_1_0.json"
    file.write_text(text)
    assert statistics(dataset, dataset["A/1/0"], ["Phase"]) == first
    assert json.loads(file.read_text())["source"].startswith("A/1/0|")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_viscys_statistics_are_taken_where_they_are(
    tmp_path, write_image, pixels, version, chunk_reads
):
    there = {
        "Phase": {
            "fov_statistics": {"mean": 7.0, "std": 2.0},
            "dataset_statistics": {"mean": 8.0, "std": 3.0},
            "timepoint_statistics": {
                "0": {"mean": 9.0, "std": 1.0},
                "1": {"mean": 10.0, "std": 1.0},
            },
        }
    }
    data = pixels((2, 2, 1, 40, 40))
    path = write_image(
        tmp_path / "i.zarr",
        data,
        channels=["Phase", "Nuclei"],
        version=version,
        attributes={"normalization": there},
    )
    dataset = open_dataset(path)
    fov = dataset.fovs[0]
    chunk_reads.clear()
    assert statistics(dataset, fov, ["Phase"]) == {"Phase": {"mean": 7.0, "std": 2.0}}
    assert statistics(dataset, fov, ["Phase"], "dataset")["Phase"]["mean"] == 8.0
    assert statistics(dataset, fov, ["Phase"], "timepoint")["Phase"] == {
        0: {"mean": 9.0, "std": 1.0},
        1: {"mean": 10.0, "std": 1.0},
    }
    assert chunk_reads == []
    assert not dataset.workspace.path.exists()
    both = statistics(dataset, fov, ["Phase", "Nuclei"])
    assert both["Phase"]["mean"] == 7.0
    assert_moments(both["Nuclei"], sampled(data[:, 1]))
    assert len(chunk_reads) == 2


@pytest.mark.parametrize("damaged", [None, {}, {"Phase": None}, {"Phase": {"fov_statistics": {}}}])
def test_damaged_or_empty_viscy_statistics_are_computed(tmp_path, write_image, pixels, damaged):
    data = pixels((2, 1, 1, 40, 40))
    path = write_image(
        tmp_path / "i.zarr", data, channels=["Phase"], attributes={"normalization": damaged}
    )
    dataset = open_dataset(path)
    found = statistics(dataset, dataset.fovs[0], ["Phase"])
    assert_moments(found["Phase"], sampled(data[:, 0]))


def test_a_constant_image_normalizes_to_zero(tmp_path, write_image):
    path = write_image(tmp_path / "i.zarr", np.full((2, 1, 1, 40, 40), 9, "u2"))
    dataset = open_dataset(path)
    found = statistics(dataset, dataset.fovs[0], ["channel_0"])["channel_0"]
    assert (found["mean"], found["std"], found["iqr"], found["p99_p1"]) == (9, 0, 0, 0)
    image = np.full((4, 4), 9, "u2")
    np.testing.assert_array_equal(normalize(image, found, "mean", "std"), 0)
    np.testing.assert_array_equal(normalize(image, found, "median", "iqr"), 0)


def test_an_empty_frame_does_not_stop_the_statistics(tmp_path, write_image, pixels):
    data = pixels((3, 1, 1, 40, 40)).astype("f4")
    data[1] = np.nan
    path = write_image(tmp_path / "i.zarr", data)
    dataset = open_dataset(path)
    found = statistics(dataset, dataset.fovs[0], ["channel_0"], "timepoint")["channel_0"]
    assert found[1]["mean"] == 0
    assert np.isfinite(statistics(dataset, dataset.fovs[0], ["channel_0"])["channel_0"]["mean"])


def test_an_unknown_channel_is_refused(dataset):
    with pytest.raises(InvalidInput, match="no channel 'Actin'"):
        statistics(dataset, dataset["A/1/0"], ["Actin"])


def test_cancel_leaves_no_half_cache(dataset):
    job = Job(lambda progress: job.cancel() if progress.done == 1 else None)
    with pytest.raises(Cancelled):
        statistics(dataset, dataset["A/1/0"], ["Phase"], job=job)
    assert not (dataset.workspace.path / "statistics").exists()


@given(
    image=hnp.arrays(np.uint16, st.tuples(st.integers(1, 5), st.integers(1, 5))),
)
@settings(deadline=None, max_examples=25)
def test_normalize_is_viscys_formula(image):
    found = summarize(image)
    expected = (image.astype(float) - image.mean()) / (image.std() + 1e-8)
    scaled = normalize(image, found, "mean", "std")
    assert scaled.dtype == np.float32
    if image.std() > 1:
        np.testing.assert_allclose(scaled, expected, rtol=1e-4, atol=1e-2)


@given(
    parts=hnp.arrays(
        np.float64, st.tuples(st.integers(1, 4), st.just(30)), elements=st.floats(-1e3, 1e3)
    )
)
@settings(deadline=None, max_examples=25)
def test_pooled_moments_are_exact(parts):
    grid = np.linspace(0, 100, 1001)
    found = pool([summarize(p) for p in parts], [np.percentile(p, grid) for p in parts])
    assert found["mean"] == pytest.approx(parts.mean(), abs=1e-6)
    assert found["std"] == pytest.approx(parts.std(), abs=1e-5)
    assert (found["min"], found["max"]) == (parts.min(), parts.max())


def test_nothing_cannot_be_pooled():
    with pytest.raises(InvalidInput, match="no pixels"):
        pool([], [])


@pytest.mark.parametrize("level", ["fov", "dataset"])
def test_statistics_of_a_part_are_not_those_of_the_whole_for_good(make_plate, level):
    images = np.random.default_rng(0).integers(1, 900, (3, 1, 1, 64, 64)).astype(np.uint16)
    images[1] += 5000
    path = make_plate("p.zarr", {"A/1/0": images, "A/1/1": images})
    chunk = path / "A/1/0/0/1/0/0/0/0"
    whole = chunk.read_bytes()

    def mean(dataset, **how):
        return statistics(dataset, dataset["A/1/0"], ["Nuclei"], level, **how)["Nuclei"]["mean"]

    expected = mean(open_dataset(path, workspace=path.parent / "other"))
    chunk.write_bytes(whole[: len(whole) // 2])
    dataset = open_dataset(path)
    part = mean(dataset, lenient=True)
    assert part < expected - 500
    assert mean(dataset, lenient=True) == part
    with pytest.raises(UnreadablePixels):
        mean(dataset)
    chunk.write_bytes(whole)
    assert mean(open_dataset(path), lenient=True) == expected
    assert mean(dataset) == expected
