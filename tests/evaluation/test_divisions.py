from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import Job, evaluate, params
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.shards import write_shard
from napari_dynaclr.evaluation.divisions import distances_by_step, find_divisions


def family(build):
    """A mother that divides after frame 3 and turns 10 degrees a frame; daughters go on by 20."""
    rows = [(0, t, -1, 0.0) for t in range(4)]
    rows += [(track, t, 0, 0.0) for track in (1, 2) for t in range(4, 7)]
    rows += [(3, t, -1, 0.0) for t in range(7)]
    angles = [10.0 * t for t in range(4)] + [30 + 20.0 * (i + 1) for _ in (1, 2) for i in range(3)]
    angles += [180.0] * 7
    radians = np.radians(angles)
    return build(rows, np.stack([np.cos(radians), np.sin(radians)], axis=1))


def test_a_division_is_a_track_with_two_daughters_after_it(build):
    cells = family(build)
    (one,) = find_divisions(cells.cells)
    assert one.mother.tolist() == [0, 1, 2, 3]
    assert [rows.tolist() for rows in one.daughters] == [[4, 5, 6], [7, 8, 9]]
    only = cells.cells[cells.cells["track"] != 2].reset_index(drop=True)
    assert find_divisions(only) == []
    # A daughter that is there before her mother's end is none.
    early = cells.cells.assign(t=cells.cells["t"].where(cells.cells["track"] != 2, 0))
    assert find_divisions(early) == []


def test_steps_are_counted_from_the_daughters_first_frame(build):
    cells = family(build)
    steps = distances_by_step(cells, find_divisions(cells.cells), 2)
    turn = {angle: 1 - np.cos(np.radians(angle)) for angle in (10, 20)}
    assert list(steps) == [-2, -1, 0, 1, 2]
    for step in (-2, -1):
        assert steps[step] == pytest.approx([turn[10]], abs=1e-6)
    for step in (0, 1, 2):
        assert steps[step] == pytest.approx([turn[20]] * 2, abs=1e-6)


def test_a_gap_between_mother_and_daughter_is_no_step(build):
    cells = family(build)
    late = cells.cells["track"].isin([1, 2])
    cells.cells["t"] += late.astype(int)
    steps = distances_by_step(cells, find_divisions(cells.cells), 9)
    assert list(steps) == [-3, -2, -1, 1, 2]


def test_real_divisions_are_measured_and_drawn(processed, figures):
    job = Job()
    table = evaluate(processed, params("evaluate", "divisions", frames=3, drawn=4), job)
    values = table.set_index("metric")["value"]
    count = 0
    for tracks in map(processed.workspace.tracks, processed.fovs):
        daughters = tracks[tracks["parent_track_id"] >= 0]
        count += (daughters.groupby("parent_track_id")["track_id"].nunique() > 1).sum()
    assert values["divisions"] == count > 0
    assert values["mother_daughter"] < values["mother_others"]
    assert values["sisters"] < values["sister_others"]
    assert 0.8 < values["mother_daughter_auc"] <= 1
    assert 0.8 < values["sisters_auc"] <= 1
    assert values["smoothness_around"] > values["smoothness"] > 0, "mitosis is a quick change"
    smooth = evaluate(processed).set_index("metric")["value"]["smoothness"]
    assert values["smoothness"] == pytest.approx(smooth)
    stored = pd.read_csv(processed.workspace.evaluation("divisions"))
    pd.testing.assert_frame_equal(stored, table)
    picture = processed.workspace.evaluation("divisions").with_suffix(".png")
    assert picture.stat().st_size > 5000
    assert job.notes == [f"Picture: {picture}."]
    panels = [axes for axes in figures[0].findobj(type(figures[0].axes[0])) if axes.get_title()]
    assert len(panels) == min(4, count)
    for axes in panels:
        colours = [line.get_color() for line in axes.lines]
        assert {"black", "#0050d0", "#d01010"} <= set(colours)
        mother, *daughters = (line.get_xydata() for line in axes.lines[:2])
        # Daughters begin where their mother ends.
        np.testing.assert_allclose(mother[-1], daughters[0][0])


def test_without_divisions_it_is_one_line(processed):
    fov = processed.fovs[0]
    shard = processed.workspace.embedding("features", fov)
    shard.obs["parent_track_id"] = -1
    write_shard(processed.workspace.shard("features", fov), shard)
    with pytest.raises(InvalidInput, match="No track has two daughters: choose FOVs"):
        evaluate(processed.select([fov.name]), params("evaluate", "divisions"))
