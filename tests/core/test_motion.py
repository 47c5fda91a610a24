from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tracking.moving import FLAT, moving

from napari_dynaclr.core.motion import survey

MEDIAN, FAR = 1.177, 2.448
"""Median and 95th percentile of a step in two dimensions, of standard deviation 1."""


@pytest.mark.parametrize("step", [0.5, 2.0, 4.0])
def test_steps_are_measured_without_tracks(step):
    nodes = moving(400, 8, step=step, missed=0.03, divide=0)
    motion = survey(nodes, FLAT)
    assert motion.step == pytest.approx(MEDIAN * step, rel=0.12)
    assert motion.far_step == pytest.approx(FAR * step, rel=0.25)
    assert motion.found == pytest.approx(0.97, abs=0.04)
    assert FAR * step < motion.suggested["max_distance"] <= 24


def test_lengths_are_in_um():
    nodes = moving(200, 5)
    one, half = survey(nodes, FLAT), survey(nodes, (0.5, 0.5, 0.5))
    for name in ("diameter", "spacing", "step", "far_step"):
        assert getattr(half, name) == pytest.approx(getattr(one, name) / 2, rel=0.03)
    assert one.diameter == pytest.approx(2 * (nodes["area"].median() / np.pi) ** 0.5)


def test_depth_counts():
    motion = survey(moving(216, 6, step=1.5, divide=0, missed=0, depth=True), FLAT)
    assert motion.step == pytest.approx(1.5 * 1.538, rel=0.15)


def test_the_faster_cells_are_the_more_are_mistaken():
    ambiguity = [
        survey(moving(300, 6, step=step, divide=0), FLAT).ambiguity for step in (0.5, 3, 6)
    ]
    assert ambiguity == sorted(ambiguity)
    assert ambiguity[0] < 0.02
    assert ambiguity[2] > 0.1
    verdict = survey(moving(300, 6, step=6, divide=0), FLAT, 600).verdict
    assert "image more often (every" in verdict
    assert "linking is easy" in survey(moving(300, 6, step=0.5, divide=0), FLAT).verdict


@pytest.mark.parametrize("shift", [9.0, 70.0])
def test_a_jump_of_the_stage_is_seen(shift):
    nodes = moving(100, 8, step=1.0)
    nodes.loc[nodes["t"] >= 4, "x"] += shift
    motion = survey(nodes, FLAT)
    assert motion.jumps == [4]
    assert "At time point 4: all cells moved at once." in motion.verdict
    assert motion.step == pytest.approx(MEDIAN, rel=0.15)


def test_empty_frames_are_named():
    nodes = moving(60, 9, step=1.0)
    motion = survey(nodes[~nodes["t"].isin([3, 4])], FLAT)
    assert motion.empty == [3, 4]
    assert "At time point 3, 4: no cells." in motion.verdict


@pytest.mark.parametrize(
    ("frames", "verdict"), [(0, "There are no cells."), (1, "one time point only")]
)
def test_what_cannot_be_linked_is_said(frames, verdict):
    nodes = moving(20, 3)
    motion = survey(nodes[nodes["t"] < frames], FLAT)
    assert verdict in motion.verdict
    assert motion.suggested == {}


def test_a_lone_cell_has_no_neighbours():
    nodes = pd.DataFrame({"t": range(6), "z": 0.0, "y": 5.0, "x": 2.0 * np.arange(6), "area": 50})
    motion = survey(nodes, FLAT)
    assert np.isnan(motion.spacing)
    assert motion.step == pytest.approx(2, rel=0.02)
    assert "Cells are alone" in motion.verdict
