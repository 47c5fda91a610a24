from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.profiling.grid import to_nine
from napari_dynaclr.profiling.pooling import (
    Profiles,
    align,
    conditions,
    standardize,
    wells,
    wells_over_time,
)


def fields(rows, vectors) -> Profiles:
    columns = ["plate", "well", "fov_name", "t", "condition", "cells"]
    obs = pd.DataFrame(rows, columns=columns)
    obs["fields"] = 1
    obs["row"], obs["column"] = obs["well"].str[0], obs["well"].str[2:]
    obs["hours"] = obs["t"] * 0.5
    vectors = np.asarray(vectors, np.float32)
    return Profiles(vectors, obs, [f"f{i}" for i in range(vectors.shape[1])])


@pytest.fixture
def plate() -> Profiles:
    rows = [
        ("p", "A/1", "A/1/0", 0, "mock", 10),
        ("p", "A/1", "A/1/1", 0, "mock", 30),
        ("p", "A/1", "A/1/0", 1, "mock", 10),
        ("p", "B/1", "B/1/0", 0, "drug", 5),
        ("p", "B/2", "B/2/0", 0, "drug", 5),
        ("p", "B/3", "B/3/0", 0, "", 5),
    ]
    return fields(rows, [[1, 0], [3, 0], [8, 0], [0, 2], [0, 6], [9, 9]])


def test_fields_then_times_then_wells_are_averaged(plate):
    over_time = wells_over_time(plate, {})
    assert over_time.obs[["well", "t", "cells", "fields"]].to_numpy().tolist() == [
        ["A/1", 0, 40, 2],
        ["A/1", 1, 10, 1],
        ["B/1", 0, 5, 1],
        ["B/2", 0, 5, 1],
        ["B/3", 0, 5, 1],
    ]
    # Every field counts alike, however many cells it has.
    np.testing.assert_allclose(over_time.vectors[:2], [[2, 0], [8, 0]])
    assert over_time.obs["hours"].tolist() == [0.0, 0.5, 0.0, 0.0, 0.0]
    by_well = wells(over_time)
    np.testing.assert_allclose(by_well.vectors, [[5, 0], [0, 2], [0, 6], [9, 9]])
    assert by_well.obs["cells"].tolist() == [50, 5, 5, 5]
    assert by_well.obs["condition"].tolist() == ["mock", "drug", "drug", ""]
    by_condition = conditions(by_well)
    assert by_condition.obs["condition"].tolist() == ["mock", "drug"]
    assert by_condition.obs["wells"].tolist() == [1, 2]
    np.testing.assert_allclose(by_condition.vectors, [[5, 0], [0, 4]])


def test_standardising_is_plate_by_plate_and_to_controls(plate):
    both = Profiles(
        np.concatenate([plate.vectors, 10 * plate.vectors + 5]),
        pd.concat([plate.obs, plate.obs.assign(plate="q")], ignore_index=True),
        plate.names,
    )
    scaled = standardize(both, "plate", "").vectors
    np.testing.assert_allclose(scaled[:6], scaled[6:], atol=1e-5)
    np.testing.assert_allclose(scaled[:6].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled[:6].std(0), 1, atol=1e-5)
    controls = standardize(both, "controls", "mock").vectors
    np.testing.assert_allclose(controls[:3].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(controls[:3, 0].std(), 1, atol=1e-5)
    # A dimension in which the controls do not differ cannot be scaled by them: it is dropped.
    assert not controls[:6, 1].any()
    assert standardize(both, "none", "") is both
    with pytest.raises(InvalidInput, match=r"control condition 'dmso': its conditions are drug, m"):
        standardize(both, "controls", "dmso")


def test_alignment_pulls_the_same_well_of_plates_together():
    rows = [(p, w, f"{w}/0", 0, "c", 1) for p in ("p", "q", "r") for w in ("A/1", "A/2")]
    start = fields(rows, np.arange(12).reshape(6, 2) ** 2)
    over_time = wells_over_time(start, {})
    centre = np.array([over_time.vectors[i::2].mean(0) for i in (0, 1)])
    for alpha in (0.0, 0.25, 1.0):
        moved = align(over_time, alpha).vectors
        expected = alpha * over_time.vectors + (1 - alpha) * np.tile(centre, (3, 1))
        np.testing.assert_allclose(moved, expected, rtol=1e-5)
    # Other times of the same well are another cluster.
    later = Profiles(over_time.vectors, over_time.obs.assign(t=[0, 0, 1, 1, 2, 2]), over_time.names)
    np.testing.assert_allclose(align(later, 0.0).vectors, later.vectors)


def test_nine_fields_stay_and_sixteen_become_nine():
    nine = np.arange(18, dtype=np.float32).reshape(9, 2)
    assert to_nine(nine) is nine
    sixteen = np.zeros((16, 1), np.float32)
    sixteen[:, 0] = np.arange(16)
    # By hand: along one axis, 0 1 2 3 becomes 1/6, 3/2 and 17/6.
    places = np.array([1 / 6, 3 / 2, 17 / 6])
    expected = (4 * places[:, None] + places[None, :]).ravel()
    np.testing.assert_allclose(to_nine(sixteen)[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_interpolation_is_what_an_image_library_makes(seed: int):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(seed).normal(size=(16, 5)).astype(np.float32)
    image = torch.from_numpy(values.T.reshape(1, 5, 4, 4).copy())
    resized = torch.nn.functional.interpolate(image, size=(3, 3), mode="bilinear")
    expected = resized.numpy().reshape(5, 9).T
    np.testing.assert_allclose(to_nine(values), expected, rtol=1e-4, atol=1e-5)


def test_concatenated_fields_keep_their_place_and_a_time_without_one_is_left_out():
    names = [f"A/1/{i}" for i in range(9)]
    rows = [("p", "A/1", name, t, "c", 2) for t in (0, 1) for name in names][:-1]
    start = fields(rows, [[float(name[-1]), -1.0] for *_, name, _, _, _ in rows])
    order = names[::-1]
    made = wells_over_time(start, {("p", "A/1"): order})
    assert made.obs["t"].tolist() == [0]
    assert made.obs[["cells", "fields"]].to_numpy().tolist() == [[18, 9]]
    assert made.vectors[0].reshape(9, 2)[:, 0].tolist() == list(range(8, -1, -1))
    assert made.names[:3] == ["0:f0", "0:f1", "1:f0"]
    few = fields(rows[:5], start.vectors[:5])
    with pytest.raises(InvalidInput, match="No well has all of its fields"):
        wells_over_time(few, {("p", "A/1"): order})
