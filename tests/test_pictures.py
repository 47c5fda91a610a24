from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from napari_dynaclr import pictures
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.tasks import PALETTE


@pytest.fixture
def figures(monkeypatch):
    """The figures drawn, to be looked into."""
    drawn = []
    original = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: drawn.append(self) or original(self, *a, **k)
    )
    return drawn


def is_picture(file):
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) > 100
    return pixels.std() > 5


def test_the_map_shows_every_cell_by_time_and_by_state(processed, tmp_path, figures):
    file = tmp_path / "new" / "map.png"
    assert pictures.map_picture(processed, "features", "pca", "infection", file) == file
    assert is_picture(file)
    left, right = figures[0].axes[:2]
    shards = [processed.workspace.embedding("features", fov) for fov in processed.fovs]
    count = sum(map(len, shards))
    dots = left.collections[0]
    assert len(dots.get_offsets()) == len(right.collections[0].get_offsets()) == count
    expected = np.concatenate([shard.obsm["X_pca"][:, :2] for shard in shards])
    order = np.lexsort(expected.T)
    found = np.asarray(dots.get_offsets())
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[order], rtol=1e-5)
    assert sorted(set(dots.get_array())) == [t / 2 for t in range(10)], "hours, 30 min apart"
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert names == ["uninfected (predicted)", "infected (predicted)"]


def test_the_curve_is_the_percentage_of_each_well(processed, truth, tmp_path, figures):
    file = tmp_path / "curve.png"
    states = truth / "annotations.csv"
    pictures.curve_picture(processed, "infection", "infected", file, states)
    assert is_picture(file)
    (axes,) = figures[0].axes
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"A/1 predicted", "B/1 predicted", "A/1 true", "B/1 true"}
    table = pd.read_csv(states)
    table = table[table["fov_name"].str.startswith("B/1")]
    for t, percent in enumerate(lines["B/1 true"].get_ydata()):
        here = table[table["t"] == t]["infection_state"]
        assert percent == pytest.approx(100 * (here == "infected").mean())
    assert lines["B/1 true"].get_xdata().tolist() == [t / 2 for t in range(10)]
    assert lines["A/1 true"].get_ydata().max() == 0
    bands = [band.get_paths()[0].vertices for band in axes.collections]
    assert len(bands) == 2, "of what is predicted, not of the truth"
    for well, band in zip(("A/1", "B/1"), bands, strict=True):
        for x, y in lines[f"{well} predicted"].get_xydata():
            at_x = band[np.isclose(band[:, 0], x), 1]
            assert 0 <= at_x.min() <= y <= at_x.max() <= 100
            assert at_x.max() - at_x.min() > 1


def test_the_field_outlines_cells_in_the_colour_of_their_state(processed, tmp_path, figures):
    file = tmp_path / "field.png"
    pictures.field_picture(processed, "infection", "infected", "Sensor", file)
    assert is_picture(file)
    panels = figures[0].axes
    assert [axes.get_title() for axes in panels] == [
        f"B/1/1, Sensor, {hours} h" for hours in ("0", "2", "4.5")
    ]
    predictions = pd.read_csv(processed.workspace.predictions("infection"))
    predictions = predictions[predictions["fov_name"] == "B/1/1"]
    for axes, t in zip(panels, (0, 4, 9), strict=True):
        image = axes.images[0].get_array()
        there = {
            state: np.isclose(image, pictures._rgb(colour)).all(axis=2).any()
            for state, colour in zip(("uninfected", "infected"), PALETTE[:2], strict=True)
        }
        states = set(predictions.loc[predictions["t"] == t, "predicted_infection"])
        assert there == {state: state in states for state in ("uninfected", "infected")}


def test_the_gallery_has_a_row_per_state_and_channel(processed, tmp_path, figures):
    file = tmp_path / "cells.png"
    pictures.cells_picture(processed, "infection", file, count=4, size=32)
    assert is_picture(file)
    rows = [axes.get_ylabel() for axes in figures[0].axes if axes.get_ylabel()]
    channels = ["Phase", "Nuclei", "Membrane", "Sensor"]
    assert rows == [f"{s}\n{c}" for s in ("uninfected", "infected") for c in channels]
    filled = [axes for axes in figures[0].axes if axes.images]
    assert len(filled) == 2 * 4 * 4
    assert {axes.images[0].get_array().shape for axes in filled} == {(32, 32)}


def test_what_is_missing_is_named_with_the_stage_that_makes_it(processed, tmp_path):
    file = tmp_path / "a.png"
    with pytest.raises(MissingInput, match="No map 'phate' found for FOV A/1/0: run 'project'"):
        pictures.map_picture(processed, "features", "phate", "infection", file)
    with pytest.raises(MissingInput, match=r"No predictions of 'death' .* run 'classify'"):
        pictures.map_picture(processed, "features", "pca", "death", file)
    with pytest.raises(InvalidInput, match="is no file: check the path of the predictions"):
        pictures.curve_picture(processed, "death", "dead", file)
    assert not list(tmp_path.glob("*.png"))
