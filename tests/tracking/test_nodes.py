from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops

from napari_dynaclr.core.tables import LINK_COLUMNS, TRACK_COLUMNS, node_id
from napari_dynaclr.tracking.nodes import frame_nodes, relabel, to_tracks


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    fill=st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_nodes_are_those_of_regionprops(seed, shape, fill):
    """Any label image: scattered pixels, numbers far apart, none at all."""
    generator = np.random.default_rng(seed)
    labels = generator.choice([0, 1, 2, 5, 900, 2**31 - 1], shape).astype(np.uint32)
    labels[generator.random(shape) > fill] = 0
    nodes = frame_nodes(labels, 7)
    assert list(nodes) == ["t", "label", "z", "y", "x", "area"]
    assert (nodes["t"] == 7).all()
    assert nodes["label"].tolist() == np.unique(labels[labels > 0]).tolist()
    # As images of one label each, since regionprops wants memory for the largest number.
    for row in nodes.itertuples():
        (cell,) = regionprops((labels == row.label).astype(np.uint8))
        assert row.area == cell.area
        np.testing.assert_allclose([row.z, row.y, row.x], cell.centroid, atol=1e-9)


def test_relabel_changes_numbers_and_no_pixel_besides():
    frame = np.array([[[0, 3, 3], [9, 0, 4]]], np.uint32)
    nodes = pd.DataFrame({"label": [3, 9, 4], "track_id": [12, 3, 70_000]})
    expected = np.array([[[0, 12, 12], [3, 0, 70_000]]])
    np.testing.assert_array_equal(relabel(frame, nodes), expected)
    assert relabel(frame, nodes).dtype == np.uint32


def test_relabel_without_nodes_is_background():
    assert not relabel(np.ones((1, 2, 2), np.uint32), None).any()


def test_a_node_descends_from_the_one_before_or_from_the_last_of_the_parent():
    linked = pd.DataFrame(
        {
            "t": [4, 0, 1, 3, 3],
            "label": [1, 7, 2, 1, 2],
            "z": 0.0,
            "y": 1.0,
            "x": 2.0,
            "area": 5,
            "track_id": [2, 1, 1, 2, 3],
            "parent_track_id": [1, -1, -1, 1, 1],
        }
    )
    tracks = to_tracks(linked, (1.0, 1.0, 1.0))
    assert list(tracks) == [*TRACK_COLUMNS, *LINK_COLUMNS]
    first, second = node_id(0, 7), node_id(1, 2)
    third = node_id(3, 1)
    assert tracks["parent_id"].tolist() == [-1, first, second, third, second]
    assert tracks["id"].tolist() == [first, second, third, node_id(4, 1), node_id(3, 2)]


def test_a_link_is_doubted_where_another_cell_was_as_near():
    rows = [
        (0, 0, 0, 1),
        (1, 0, 2, 1),
        (0, 0, 100, 2),
        (1, 0, 101, 2),
        (1, 0, 99, 3),
        (0, 0, 50, 4),
    ]
    linked = pd.DataFrame(rows, columns=["t", "y", "x", "track_id"])
    linked = linked.assign(z=0.0, area=9, parent_track_id=-1, label=[1, 1, 2, 2, 3, 3])
    sure = to_tracks(linked, (1.0, 0.5, 0.5)).set_index(["track_id", "t"])["reliability"]
    assert sure.between(0, 1).all()
    assert sure[1, 1] > 0.55
    assert sure[2, 1] < 0.5
    assert (sure[[(1, 0), (2, 0), (3, 1), (4, 0)]] == 1).all()


def test_a_methods_own_reliability_is_kept():
    linked = pd.DataFrame({"t": [0, 1], "label": 1, "track_id": 1, "parent_track_id": -1})
    linked = linked.assign(z=0.0, y=1.0, x=1.0, area=4, reliability=[np.nan, 0.25])
    assert to_tracks(linked, (1.0, 1.0, 1.0))["reliability"].tolist() == [1.0, 0.25]
