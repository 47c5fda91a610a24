from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps

from napari_dynaclr.session.colours import (
    UNKNOWN_COLOUR,
    ColourBy,
    Kind,
    by_category,
    by_track,
    by_value,
    distinct,
    hex_rgba,
)

GREY = hex_rgba(UNKNOWN_COLOUR)[:3]


def test_titles_are_for_people():
    assert ColourBy().title == "time"
    assert ColourBy(Kind.PREDICTION, "infection").title == "prediction (infection)"


def test_hex_colours_are_bytes():
    assert hex_rgba("#0a80FF") == (10, 128, 255, 255)


# -- categories ---------------------------------------------------------------


def test_categories_have_their_colours_and_the_rest_is_grey():
    codes = np.array([1, -1, 0, 1])
    found = by_category(codes, ["a", "b"], ["#ff0000", "#0000ff"], "what")
    assert found.rgba[[0, 2, 3]].tolist() == [[0, 0, 255, 255], [255, 0, 0, 255], [0, 0, 255, 255]]
    assert tuple(found.rgba[1, :3]) == GREY
    assert found.rgba[1, 3] < 255, "of which there is nothing to say stays in the background"
    assert found.legend.title == "what"
    assert found.legend.entries == (("a", "#ff0000"), ("b", "#0000ff"))
    assert found.legend.colormap == ""


def test_no_categories_at_all_are_grey():
    found = by_category(np.array([-1, -1]), [], [], "none")
    assert [tuple(one) for one in found.rgba[:, :3]] == [GREY, GREY]
    assert found.legend.entries == ()


@given(st.integers(0, 300))
@settings(deadline=None)
def test_as_many_colours_as_are_needed_and_neighbours_differ(count):
    colours = distinct(count)
    assert len(colours) == count
    rgb = np.array([hex_rgba(one)[:3] for one in colours], float).reshape(-1, 3)
    assert (np.abs(np.diff(rgb, axis=0)).sum(axis=1) > 60).all()


@pytest.mark.parametrize("count", [1, 10, 11, 20, 21, 60])
def test_colours_are_all_different_beyond_the_palette_too(count):
    assert len(set(distinct(count))) == count


# -- numbers ------------------------------------------------------------------


def test_values_span_the_colour_map():
    found = by_value(np.array([2.0, 4.0, 3.0]), "what", "magma", robust=False)
    low, high = (tuple((np.array(colormaps["magma"](x)) * 255).round()) for x in (0, 255))
    assert tuple(found.rgba[0]) == low
    assert tuple(found.rgba[1]) == high
    assert found.index.tolist() == [0, 255, 127]
    legend = found.legend
    assert (legend.low, legend.high, legend.colormap) == (2.0, 4.0, "magma")


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_grey_and_changes_no_other_colour(hole):
    whole = by_value(np.array([0.0, 1.0, 2.0]), "v", robust=False)
    found = by_value(np.array([0.0, hole, 1.0, 2.0]), "v", robust=False)
    assert found.rgba[[0, 2, 3]].tolist() == whole.rgba.tolist()
    assert tuple(found.rgba[1, :3]) == GREY
    assert (found.legend.low, found.legend.high) == (0.0, 2.0)


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [5.0, 5.0]])
def test_nothing_to_span_is_no_error(values):
    found = by_value(np.array(values, np.float32), "v")
    assert len(found.rgba) == len(values)
    assert np.isfinite([found.legend.low, found.legend.high]).all()


def test_an_outlier_does_not_take_the_colours_from_the_rest():
    values = np.append(np.linspace(0, 1, 1000), 1e6)
    assert len(np.unique(by_value(values, "v").index[:1000])) > 200
    assert len(np.unique(by_value(values, "v", robust=False).index[:1000])) == 1


# -- tracks -------------------------------------------------------------------


def test_a_track_has_one_colour_and_its_neighbours_another():
    found = by_track(np.repeat(np.arange(500), 3), "track")
    colours = found.rgba.reshape(500, 3, 4)
    assert (colours == colours[:, :1]).all()
    assert (np.abs(np.diff(colours[:, 0, :3].astype(int), axis=0)).sum(axis=1) > 60).all()


def test_more_tracks_than_colours_are_survived():
    keys = np.arange(1_000_000)
    found = by_track(keys, "track")
    assert found.index.max() < len(found.table) - 1, "none is grey"
    assert len(found.table) < 10_000
    assert found.rgba.shape == (1_000_000, 4)
