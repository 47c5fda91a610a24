from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from skimage.metrics import structural_similarity

from napari_dynaclr import evaluate, open_dataset, params
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.evaluation.stain_pairs import (
    Pair,
    correlation,
    find_pairs,
    is_blank,
    nuclear,
    similarity,
)

NUCLEI, MEMBRANE = "nuclei_prediction", "membrane_prediction"
rng = np.random.default_rng(0)


def rows(table, fov, channel=NUCLEI):
    return table.set_index(["fov_name", "virtual"]).loc[(fov, channel)]


def test_stains_are_paired_by_what_their_names_say():
    channels = ["Phase", "CAAX-mScarlet", "H2B-mIFP", "Actin", NUCLEI, MEMBRANE, "actin_prediction"]
    assert find_pairs(channels) == [
        Pair(NUCLEI, "H2B-mIFP"), Pair(MEMBRANE, "CAAX-mScarlet"), Pair("actin_prediction", "Actin")
    ]  # fmt: skip
    chosen = find_pairs(channels, [MEMBRANE], ["Actin"])
    assert chosen == [Pair(MEMBRANE, "Actin")]
    assert find_pairs(["Phase", NUCLEI], required=False) == []
    assert nuclear([MEMBRANE, NUCLEI]) == NUCLEI
    assert nuclear([MEMBRANE], MEMBRANE) == MEMBRANE


@pytest.mark.parametrize(
    ("channels", "given", "error", "line"),
    [
        (["Phase", "Nuclei"], {}, MissingInput, "run 'stain' first"),
        (["Phase", NUCLEI], {}, InvalidInput, "No channel of Phase is named after"),
        (["DAPI", NUCLEI], {"experimental": ["GFP"]}, InvalidInput, "no channel 'GFP'"),
        (["DAPI", NUCLEI, MEMBRANE], {"experimental": ["DAPI"]}, InvalidInput, "name as many"),
    ],
)
def test_stains_that_do_not_go_together_are_one_line(channels, given, error, line):
    with pytest.raises(error, match=line):
        find_pairs(channels, **given)


def test_correlation_and_similarity_know_no_units():
    stack = rng.normal(200, 20, (3, 40, 50))
    noisy = stack + rng.normal(0, 20, stack.shape)
    assert correlation(noisy, stack) == pytest.approx(
        np.corrcoef(noisy.ravel(), stack.ravel())[0, 1]
    )
    assert similarity(stack, stack) == pytest.approx(1)
    value = similarity(noisy, stack)
    assert 0.2 < value < 0.95
    assert similarity(0.01 * noisy - 7, stack) == pytest.approx(value), "of the virtual stain"
    assert similarity(noisy, 30 * stack + 1000) == pytest.approx(value), "of the camera"
    assert correlation(-stack, stack) == pytest.approx(-1)


def test_similarity_is_that_of_wang_et_al():
    """Where nothing is to be scaled: mean, standard deviation and range are the same."""
    image = rng.random((1, 60, 60))
    image.flat[:8], image.flat[8:16] = 0, 1
    other = np.roll(image, 1, axis=2)
    low, high = np.percentile(image, [0.1, 99.9])
    expected = structural_similarity(
        (other[0] - low) / (high - low),
        (image[0] - low) / (high - low),
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert similarity(other, image) == pytest.approx(expected)
    assert np.isnan(similarity(image[:, :8], image[:, :8]))


def test_blank_is_what_has_one_value():
    image = np.zeros((1, 4, 4))
    assert is_blank(image)
    assert is_blank(image + 3)
    image[0, 3, 3] = 1
    assert not is_blank(image)


def test_a_stain_that_is_the_same_scores_one_and_one_of_noise_next_to_nothing(dataset, stain):
    """In any units, with cells that are the same too."""
    dataset = dataset.select(["A/1/0", "B/1/0"])
    noise = np.random.default_rng(0)

    def make(fov, t, frame):
        same = frame / 100 - 2
        return same if fov.name == "A/1/0" else noise.normal(size=frame.shape)

    table = evaluate(stain(dataset, make), params("evaluate", "staining", every=3))
    assert table["fov_name"].tolist() == ["A/1/0"] * 2 + ["B/1/0"] * 2 + ["mean"] * 2
    good, bad = rows(table, "A/1/0"), rows(table, "B/1/0")
    assert good["experimental"] == "Nuclei"
    assert (good["time_points"], good["left_out"]) == (4, 0)
    assert good["pcc"] == pytest.approx(1)
    assert good["ssim"] == pytest.approx(1, abs=1e-4)
    assert good["ap50"] == pytest.approx(1, abs=0.02)
    assert rows(table, "A/1/0", MEMBRANE)["pcc"] == pytest.approx(1)
    assert abs(bad["pcc"]) < 0.05
    assert bad["ssim"] < 0.2
    assert bad["ap50"] < 0.1
    mean = rows(table, "mean")
    assert mean["pcc"] == pytest.approx((good["pcc"] + bad["pcc"]) / 2)
    assert mean["true_cells"] == good["true_cells"] + bad["true_cells"]
    assert mean["time_points"] == 8
    membrane = rows(table, "mean", MEMBRANE)
    assert pd.isna(membrane["ap50"])
    assert pd.isna(membrane["true_cells"]), "cells are those of the nuclei"


def test_cells_are_compared_with_given_labels_and_counted_over_time(stained, truth, figures):
    settings = {"truth": str(truth), "every": 3}
    table = evaluate(stained, params("evaluate", "staining", **settings))
    nuclei = rows(table, "mean")
    assert 0.8 < nuclei["ap50"] <= 1
    assert nuclei["ap50"] == pytest.approx(nuclei["experimental_ap50"], abs=0.1)
    assert nuclei["ap"] < nuclei["ap50"]
    file = stained.workspace.evaluation("staining")
    written = pd.read_csv(file)
    assert written["pcc"].tolist() == pytest.approx(table["pcc"].tolist())
    counts = pd.read_csv(file.with_name("staining-counts.csv"))
    assert counts["t"].tolist() == [0, 3, 6, 9] * 2
    assert counts["hours"].tolist()[:4] == [0, 1.5, 3, 4.5]
    labels = open_dataset(truth)["A/1/0"]
    for t, frame in labels.frames(["nucleus_labels"], [0, 3]):
        row = counts.set_index(["fov_name", "t"]).loc[("A/1/0", t)]
        assert row["true_cells"] == len(np.unique(frame)) - 1
        ((_, stains),) = stained["A/1/0"].frames(["Nuclei", NUCLEI], [t])
        for name, image in zip(("experimental", "virtual"), stains, strict=True):
            each = [image[frame[0] == label].mean() for label in np.unique(frame)[1:]]
            assert row[f"{name}_intensity"] == pytest.approx(np.mean(each), rel=1e-5)
            assert row[f"{name}_sd"] == pytest.approx(np.std(each), rel=1e-4)
    assert counts["true_cells"].sum() == nuclei["true_cells"]
    for name in ("staining", "staining-counts"):
        assert file.with_name(f"{name}.png").stat().st_size > 5000
    curves, frame = figures
    assert [text.get_text() for text in curves.axes[0].get_legend().get_texts()] == ["A/1", "B/1"]
    titles = [axes.get_title() for axes in frame.axes]
    assert titles == ["Phase", "Nuclei", "Membrane", "cells", NUCLEI, MEMBRANE]
    cells = frame.axes[3].images[0].get_array()
    assert (cells != cells[..., :1]).any(), "outlines have colours"


def test_a_stain_that_bleaches_is_seen_where_the_virtual_one_does_not(make_plate, stain):
    """Half the light is gone in the last frame (cytoland.txt, Fig. 3D)."""
    yx = np.mgrid[:64, :64]
    cells = sum(
        np.exp(-((yx[0] - y) ** 2 + (yx[1] - x) ** 2) / 30) for y, x in ((20, 20), (44, 40))
    )
    movie = np.stack([100 + 900 * light * cells for light in (1.0, 0.5)])
    images = np.repeat(movie[:, None, None], 2, axis=1).astype(np.uint16)
    path = make_plate("movie.zarr", {"A/1/0": images}, ("Nuclei", "Membrane"))
    dataset = stain(
        open_dataset(path), lambda _fov, _t, frame: np.stack([cells[None]] * len(frame))
    )
    table = evaluate(dataset, params("evaluate", "staining"))
    counts = pd.read_csv(dataset.workspace.evaluation("staining").with_name("staining-counts.csv"))
    assert counts["true_cells"].tolist() == counts["virtual_cells"].tolist() == [2, 2]
    light = counts["experimental_intensity"] - 100
    assert light[1] / light[0] == pytest.approx(0.5, abs=0.03)
    virtual = counts["virtual_intensity"]
    assert virtual[1] / virtual[0] == pytest.approx(1, abs=0.03)
    assert rows(table, "A/1/0")["pcc"] == pytest.approx(1, abs=1e-4)


def test_blank_time_points_are_left_out_and_counted(dataset, stain):
    def make(fov, t, frame):
        if fov.name == "A/1/1":
            return np.zeros_like(frame)
        if t == 2:
            return np.full_like(frame, np.nan)
        return np.stack([frame[0], np.full_like(frame[0], 4)]) if t == 5 else frame

    dataset = stain(dataset.select(["A/1/0", "A/1/1"]), make)
    table = evaluate(dataset, params("evaluate", "staining"))
    assert tuple(rows(table, "A/1/0")[["time_points", "left_out"]]) == (9, 1)
    assert tuple(rows(table, "A/1/0", MEMBRANE)[["time_points", "left_out"]]) == (8, 2)
    assert rows(table, "A/1/0")["pcc"] == pytest.approx(1)
    blank = rows(table, "A/1/1")
    assert tuple(blank[["time_points", "left_out"]]) == (0, 10)
    assert pd.isna(blank["pcc"])
    assert pd.isna(blank["ap50"])
    assert rows(table, "mean")["pcc"] == pytest.approx(1), "of the FOVs that have one"
    with pytest.raises(InvalidInput, match=r"blank at every time point of A/1/1"):
        evaluate(dataset.select(["A/1/1"]), params("evaluate", "staining"))


def test_without_a_stain_or_with_the_truth_of_other_data_it_is_one_line(
    dataset, stained, make_plate
):
    with pytest.raises(MissingInput, match="run 'stain' first"):
        evaluate(
            open_dataset(dataset.root, dataset.workspace.path / "x"), params("evaluate", "staining")
        )
    other = make_plate("truth.zarr", {"A/1/0": np.zeros((1, 1, 1, 32, 32), np.uint16)})
    with pytest.raises(InvalidInput, match="truth of this dataset"):
        evaluate(stained, params("evaluate", "staining", truth=str(other)))


def test_stacks_are_compared_slice_by_slice_and_shown_where_the_cells_are(
    make_plate, stain, figures
):
    zyx = np.mgrid[:6, :64, :64]
    cell = np.exp(-(4 * (zyx[0] - 4) ** 2 + (zyx[1] - 30) ** 2 + (zyx[2] - 30) ** 2) / 40)
    images = (100 + 900 * cell + rng.normal(0, 5, cell.shape)).astype(np.uint16)
    path = make_plate("movie.zarr", {"A/1/0": np.stack([images] * 2)[None]}, ("Nuclei", "Membrane"))
    dataset = stain(open_dataset(path), lambda _fov, _t, frame: frame)
    table = evaluate(dataset, params("evaluate", "staining"))
    assert rows(table, "mean")["ap"] == pytest.approx(1)
    assert rows(table, "mean")["ssim"] == pytest.approx(1)
    assert figures[-1].get_suptitle() == "A/1/0, 0 h, slice 4"
