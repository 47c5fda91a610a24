from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import Job, params
from napari_dynaclr.comparison.labels import find_labels
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.errors import InvalidInput


def labels(dataset, **settings):
    return find_labels(dataset, params("compare", **settings), Job())


def states_of(truth, dataset):
    """True state of our cells, by FOV and id: that of the true cell in the same place."""
    table = pd.read_csv(truth / "annotations.csv")
    found = {}
    for fov in dataset.fovs:
        ours = dataset.workspace.tracks(fov)
        theirs = table[table["fov_name"] == fov.name]
        for cell in ours.itertuples():
            here = theirs[theirs["t"] == cell.t]
            distance = np.hypot(here["y"] - cell.y, here["x"] - cell.x)
            if len(here) and distance.min() < 3:
                found[fov.name, cell.id] = here.loc[distance.idxmin(), "infection_state"]
    return found


def test_clicks_are_drawn_from_the_truth_anew_and_never_held_out(processed, truth):
    found = labels(processed, truth=str(truth), held_out=("B/1/1",), clicks=20, draws=3)
    assert found.held_out == ("B/1/1",)
    assert set(found.tested["fov_name"]) == {"B/1/1"}
    assert set(found.tested["state"]) == {"infected", "uninfected"}
    assert found.positive == "infected"
    states = states_of(truth, processed)
    for row in found.known.itertuples():
        assert row.state == states.get((row.fov_name, row.id), row.state)
    assert len(found.known) > 0.95 * len(states)
    assert len(found.learnt) == 3
    for learnt in found.learnt:
        assert learnt["state"].value_counts().to_dict() == {"infected": 10, "uninfected": 10}
        assert "B/1/1" not in set(learnt["fov_name"])
        assert not learnt.duplicated().any()
    assert not found.learnt[0].equals(found.learnt[1])
    again = labels(processed, truth=str(truth), held_out=("B/1/1",), clicks=20, draws=3)
    for one, other in zip(found.learnt, again.learnt, strict=True):
        pd.testing.assert_frame_equal(one, other)
    other = labels(processed, truth=str(truth), held_out=("B/1/1",), clicks=20, draws=3, seed=1)
    assert not found.learnt[0].equals(other.learnt[0])
    assert "B/1" in found.how


def test_left_to_itself_it_holds_out_what_shows_every_state(processed, truth):
    """Well A/1 is mock: there is no second well with infected cells, but a second FOV."""
    assert labels(processed, truth=str(truth)).held_out == ("B/1/1",)
    csv = truth / "annotations.csv"
    assert labels(processed, truth=str(csv)).held_out == ("B/1/1",), "the file will do"


def test_wells_are_held_out_whole_where_two_show_every_state(processed, truth, tmp_path):
    table = pd.read_csv(truth / "annotations.csv")
    mixed = table["fov_name"].str.startswith("A/1") & (table["t"] > 5)
    table.loc[mixed, "infection_state"] = "infected"
    table.to_csv(tmp_path / "truth.csv", index=False)
    found = labels(processed, truth=str(tmp_path / "truth.csv"))
    assert found.held_out == ("B/1/0", "B/1/1")


def test_where_nothing_can_be_held_out_one_is_asked_for_it(processed, truth):
    with pytest.raises(InvalidInput, match="name wells or FOVs with held_out"):
        labels(processed.select(["B/1/0"]), truth=str(truth))
    with pytest.raises(InvalidInput, match="held out are all 'uninfected' by infection"):
        labels(processed, truth=str(truth), held_out=("A/1",))
    with pytest.raises(InvalidInput, match="to learn from are none by infection"):
        labels(processed, truth=str(truth), held_out=("A/1", "B/1"))


def test_the_truth_of_other_cells_is_one_line(processed, truth, tmp_path):
    table = pd.read_csv(truth / "annotations.csv")
    table.assign(y=table["y"] + 5000).to_csv(tmp_path / "far.csv", index=False)
    with pytest.raises(InvalidInput, match="within 6 um of a tracked one"):
        labels(processed, truth=str(tmp_path / "far.csv"))
    table.drop(columns="infection_state").to_csv(tmp_path / "lacks.csv", index=False)
    with pytest.raises(InvalidInput, match="lacks the column infection_state"):
        labels(processed, truth=str(tmp_path / "lacks.csv"))


def test_without_a_truth_the_annotations_are_cross_validated(processed):
    found = labels(processed)
    table = current_annotations(processed)
    assert len(found.known) == len(found.tested) == len(table)
    assert found.learnt == ()
    assert found.held_out == ()
    held = labels(processed, held_out=("B/1/1",))
    assert set(held.tested["fov_name"]) == {"B/1/1"}
    (learnt,) = held.learnt
    assert len(learnt) + len(held.tested) == len(table)


def test_without_any_annotation_there_is_nothing_to_score(dataset, processed):
    found = labels(processed, task="division")
    assert found.known.empty
    assert found.how == "nothing is annotated for division"
