from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.core.assign import assign_points
from napari_dynaclr.core.cells import frame_nodes

FLAT = (1.0, 1.0, 1.0)
NAN = np.nan


def nodes_of(labels):
    return frame_nodes(labels, 0).rename(columns={"label": "track_id"})


def at(labels, *points, scale=FLAT, radius=0.0, nodes=None):
    nodes = nodes_of(labels) if nodes is None else nodes
    points = np.array(points, float)
    return assign_points(points, labels, nodes, scale, radius).tolist()


def scene(seed, shape):
    """Discs of random size drawn over each other, numbered at random."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    grid = np.indices(shape)
    numbers = generator.choice(np.arange(1, 10_000), 8, replace=False)
    for number in numbers:
        centre = generator.uniform(0, shape)
        radius = generator.uniform(1, 9)
        square = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
        labels[square < radius**2] = number
    labels[tuple(generator.integers(0, shape))] = 20_000
    return labels


@given(
    seed=st.integers(0, 2**32 - 1),
    depth=st.sampled_from([1, 4]),
    jitter=st.floats(-0.499, 0.499),
    known_z=st.booleans(),
    scale=st.sampled_from([FLAT, (2.0, 0.3, 0.3)]),
)
@settings(max_examples=50, deadline=None)
def test_a_click_anywhere_inside_a_label_means_that_cell(seed, depth, jitter, known_z, scale):
    """Including right at its edge, where the centroid of a neighbour is nearer."""
    labels = scene(seed, (depth, 30, 40))
    pixels = np.argwhere(labels)
    if depth > 1 and not known_z:  # only columns that hold one cell have one answer
        flat = [np.unique(labels[:, y, x][labels[:, y, x] > 0]) for _, y, x in pixels]
        pixels = pixels[[len(cells) == 1 for cells in flat]]
    expected = labels[tuple(pixels.T)].tolist()
    points = pixels + jitter
    if not known_z:
        points[:, 0] = NAN
    assert at(labels, *points, scale=scale) == expected


def test_the_label_image_decides_over_a_nearer_centroid():
    """A crescent around a small disc: its centroid lies in the disc."""
    y, x = np.indices((40, 40))
    distance = np.hypot(y - 20, x - 20)
    labels = np.where(distance < 4, 1, np.where((distance > 6) & (distance < 12), 2, 0))[None]
    assert at(labels, (NAN, 20, 20), (NAN, 20, 30), (NAN, 10.6, 20), radius=100) == [1, 2, 2]


def test_beside_all_labels_the_nearest_centroid_within_reach_counts():
    labels = np.zeros((1, 40, 60), np.uint32)
    labels[0, 8:13, 8:13], labels[0, 8:13, 28:33] = 5, 9
    assert at(labels, (NAN, 10, 18), radius=8.0) == [5]
    assert at(labels, (NAN, 10, 22), radius=8.0) == [9]
    assert at(labels, (NAN, 10, 18), radius=7.9) == [0]
    assert at(labels, (NAN, 10, 18), radius=4.0, scale=(1, 0.5, 0.5)) == [5]
    assert at(labels, (NAN, 10, 18), radius=3.9, scale=(1, 0.5, 0.5)) == [0]


def test_without_reach_only_a_hit_counts():
    labels = np.zeros((1, 20, 20), np.uint32)
    labels[0, 5:8, 5:8] = 3
    assert at(labels, (NAN, 6, 6), (NAN, 9, 9)) == [3, 0]


def test_a_point_outside_the_image_means_the_nearest_cell_within_reach():
    labels = np.zeros((1, 20, 20), np.uint32)
    labels[0, 0:3, 17:20] = 3
    points = [(NAN, -4, 18), (NAN, 1, 25), (NAN, -30, 18), (NAN, -0.4, 19.4), (5, 1, 18)]
    assert at(labels, *points, radius=8.0) == [3, 3, 0, 3, 3]


def test_negative_coordinates_do_not_wrap_around():
    labels = np.zeros((2, 20, 20), np.uint32)
    labels[1, 17:20, 17:20] = 3
    assert at(labels, (NAN, -1, -1), (-1, 18, 18), radius=0.5) == [0, 0]


def test_in_a_stack_z_chooses_the_cell():
    labels = np.zeros((6, 20, 20), np.uint32)
    labels[0:2, 5:15, 5:15], labels[3:6, 5:15, 5:15] = 1, 2
    assert at(labels, (0, 6, 6), (1.4, 6, 6), (5, 6, 6)) == [1, 1, 2]
    # Between the two, the nearer centroid in space.
    assert at(labels, (2, 10, 10), radius=5.0) == [1]
    assert at(labels, (2, 10, 10), radius=1.0) == [0]


def test_without_z_the_cell_with_most_voxels_under_the_point_counts():
    labels = np.zeros((6, 20, 20), np.uint32)
    labels[0:2, 5:15, 5:15], labels[3:6, 5:15, 5:15] = 1, 2
    assert at(labels, (NAN, 6, 6)) == [2]


def test_without_z_reach_is_measured_in_the_plane():
    labels = np.zeros((40, 20, 20), np.uint32)
    labels[36:40, 5:10, 5:10] = 4
    assert at(labels, (NAN, 7, 12), radius=6.0) == [4]
    assert at(labels, (0, 7, 12), radius=6.0) == [0]


def test_a_label_that_is_no_track_is_looked_through():
    labels = np.zeros((1, 20, 20), np.uint32)
    labels[0, 5:8, 5:8], labels[0, 10:13, 5:8] = 3, 4
    nodes = nodes_of(labels)
    assert at(labels, (NAN, 11, 6), radius=6.0, nodes=nodes[nodes["track_id"] == 3]) == [3]


def test_without_cells_every_point_means_none():
    labels = np.zeros((1, 5, 5), np.uint32)
    empty = pd.DataFrame(columns=["track_id", "z", "y", "x"])
    assert at(labels, (NAN, 1, 1), (0, 2, 2), nodes=empty, radius=100) == [0, 0]
