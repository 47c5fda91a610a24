"""Cells found twice: the surest centre stays."""

from __future__ import annotations

import numpy as np
import torch

from napari_dynaclr.tracking.cellect.dedupe import kept_once


def same(pairs):
    """An MLP that takes cells that look alike for one."""
    apart = (pairs.candidate - pairs.target[:, None])[..., 1].abs()
    link = (2 - 10 * apart).masked_fill(~pairs.there, -1e4)
    return torch.cat([link, torch.zeros(len(link), 1)], 1)


def kept(cells, confidence):
    return kept_once(cells, np.asarray(confidence, np.float32), same, 5).tolist()


def test_the_surest_of_each_cell_is_kept(make_cells):
    cells = make_cells([[0, 0], [1, 0], [2, 1], [30, 30]], [1, 1, 1, 2])
    assert kept(cells, [0.6, 0.9, 0.7, 0.5]) == [1, 3]


def test_cells_side_by_side_stay_two(make_cells):
    cells = make_cells([[0, 0], [3, 0]], [1, 2])
    assert kept(cells, [0.9, 0.9]) == [0, 1]


def test_what_is_further_apart_than_a_cell_is_large_is_not_one(make_cells):
    cells = make_cells([[0, 0], [9, 0]], [1, 1])
    assert kept(cells, [0.9, 0.9]) == [0, 1]


def test_one_cell_and_none(make_cells):
    assert kept(make_cells([[0, 0]], [1]), [0.9]) == [0]
    assert kept(make_cells(np.zeros((0, 2)), []), []) == []
