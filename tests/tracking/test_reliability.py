from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tracking.moving import FLAT, linked, moving, true_links

from napari_dynaclr.tracking import assignment
from napari_dynaclr.tracking.nodes import to_tracks
from napari_dynaclr.tracking.reliability import reliability


def judged(nodes, **values):
    """Links of the default engine, their reliability and whether they are true."""
    found = linked(assignment, nodes, assignment.AssignmentParams(**values))
    tracks = to_tracks(found, FLAT)
    row = found.reset_index().set_index(["track_id", "t"])["index"]
    tracks["row"] = row.loc[list(zip(tracks["track_id"], tracks["t"], strict=True))].to_numpy()
    of_id = tracks.set_index("id")["row"]
    tracks = tracks[tracks["parent_id"] >= 0]
    truth = true_links(nodes)
    before = of_id.loc[tracks["parent_id"]]
    right = [pair in truth for pair in zip(before, tracks["row"], strict=True)]
    return tracks.assign(right=right)


@pytest.mark.parametrize("seed", range(2))
def test_a_reliability_is_about_how_often_such_links_are_right(seed):
    """Cells go far for how near they lie, so that some links are wrong."""
    links = judged(moving(300, 10, step=4.5, missed=0.05, seed=seed), max_distance=20)
    right, sure = links["right"], links["reliability"]
    assert 0.02 < 1 - right.mean() < 0.2
    assert roc_auc_score(right, sure) > 0.93
    for low, high in ((0, 0.3), (0.3, 0.8), (0.8, 1.01)):
        part = sure.between(low, high, inclusive="left")
        assert part.sum() > 20
        assert right[part].mean() == pytest.approx(sure[part].mean(), abs=0.2)


def test_what_cannot_be_mistaken_is_sure():
    links = judged(moving(100, 10, step=0.5, missed=0, divide=0))
    assert links["right"].all()
    assert links["reliability"].min() > 0.95


def test_a_daughter_beside_her_sister_is_surer_than_one_found_beside_another_cell():
    mother = [(t, 50.0, 50.0, 1, -1) for t in range(4)]
    aside = {"like": (46.0, 54.0), "unlike": (50.0, 58.0)}
    sure = {}
    for name, (one, other) in aside.items():
        daughters = [(4, one, 50.0, 2, 1), (4, other, 50.0, 3, 1)]
        columns = ["t", "y", "x", "track_id", "parent_track_id"]
        table = pd.DataFrame([*mother, *daughters], columns=columns)
        table = table.assign(z=0.0, area=100, label=table.groupby("t").cumcount() + 1)
        tracks = to_tracks(table, FLAT)
        sure[name] = tracks.loc[tracks["track_id"] > 1, "reliability"]
    assert sure["like"].min() > 0.8
    assert sure["unlike"].max() < 0.5


def test_three_daughters_do_not_stand_in_each_others_way():
    """Other tools may give them; none of them takes what is left to the cells around."""
    rows = [(t, 50.0, 50.0, 1, -1) for t in range(4)]
    rows += [(t, y, 50.0, n, 1) for t in (4, 5) for n, y in ((2, 45.0), (3, 50.0), (4, 55.0))]
    rows += [(t, 300.0, 50.0, 5, -1) for t in range(6)]
    table = pd.DataFrame(rows, columns=["t", "y", "x", "track_id", "parent_track_id"])
    table = table.assign(z=0.0, area=100, label=table.groupby("t").cumcount() + 1)
    tracks = to_tracks(table, FLAT).set_index(["track_id", "t"])["reliability"]
    daughters = tracks.loc[[2, 3, 4], 4]
    assert daughters.between(0.5, 1).all()
    assert daughters.max() - daughters.min() < 0.1
    assert tracks[5].min() > 0.9


def test_a_jump_is_less_sure_than_a_step():
    rows = [(t, 40.0 * cell, t + (25 if cell == 2 and t > 4 else 0), cell) for t in range(9)
            for cell in range(1, 6)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["t", "y", "x", "track_id"])
    table = table.assign(z=0.0, area=100, parent_track_id=-1, label=table["track_id"])
    tracks = to_tracks(table, FLAT).set_index(["track_id", "t"])["reliability"]
    assert tracks.idxmin() == (2, 5)
    assert tracks[2, 5] < 0.5 * tracks[2, 4]


@pytest.mark.parametrize("frames", [1, 3])
def test_without_links_all_is_sure(frames):
    table = pd.DataFrame(
        {"id": range(1, 4), "parent_id": -1, "t": np.arange(3) % frames, "area": 9}
    ).assign(z=0.0, y=[0.0, 30, 60], x=0.0)
    assert reliability(table, FLAT).tolist() == [1, 1, 1]
