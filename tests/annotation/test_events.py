from __future__ import annotations

import pandas as pd
import pytest

from napari_dynaclr import Job, annotate, params
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.core.tables import EVENT_COLUMNS


def listed(dataset, fov_name, rows):
    """Write events (t, z, y, x, score) as the first of a FOV."""
    fov = dataset[fov_name]
    table = pd.DataFrame(rows, columns=["t", "z", "y", "x", "score"])
    table = table.assign(rank=range(1, len(table) + 1), id=-1, track_id=-1)
    dataset.workspace.prepare(dataset.channels)
    write_csv(dataset.workspace.events_csv("tap", fov), table[EVENT_COLUMNS])
    dataset.workspace.mark_complete("events.tap", fov, "key")


@pytest.fixture
def cells(processed):
    """Some cells of two FOVs far from each other, each an event; the later FOV's score more."""
    found = {}
    for name, best in (("A/1/0", 1.0), ("B/1/0", 2.0)):
        tracks = processed.workspace.tracks(processed[name])
        chosen = tracks[tracks["t"] == 4].head(4).reset_index(drop=True)
        rows = [(4, c.z, c.y, c.x, best - 0.1 * i) for i, c in enumerate(chosen.itertuples())]
        listed(processed, name, rows)
        found[name] = chosen
    return found


@pytest.fixture
def both(processed, cells):
    return processed.select(list(cells))


def divided(table):
    return table[table["cell_division_state"].notna()]


def test_the_first_events_of_all_fovs_become_dividing_cells(both, cells):
    table = divided(annotate(both, params("annotate", "events", count=5)))
    assert set(table["cell_division_state"]) == {"mitosis"}
    assert table["id"][table["fov_name"] == "B/1/0"].tolist() == sorted(cells["B/1/0"]["id"])
    assert table["id"][table["fov_name"] == "A/1/0"].tolist() == [cells["A/1/0"]["id"][0]]


def test_it_is_one_action_that_can_be_undone_and_repeated_without_effect(both):
    given = params("annotate", "events", count=3, annotator="ada")
    before = len(divided(annotate(both, given)))
    journal = Journal(both.workspace.journal)
    assert before == 3
    marks = [m for m, a in journal.latest() if a.annotator == "ada"]
    assert {mark.task for mark in marks} == {"division"}
    position = journal.position
    annotate(both, given)
    assert Journal(both.workspace.journal).position == position
    assert len(journal.undo().marks) == 3


def test_ranks_are_of_a_fov(both, cells):
    one = both.select(["A/1/0"])
    table = divided(annotate(one, params("annotate", "events", ranks=(2, 4))))
    assert set(table["id"]) == set(cells["A/1/0"]["id"].iloc[[1, 3]])
    with pytest.raises(InvalidInput, match="FOV A/1/0 has no event of rank 9: it has 4"):
        annotate(one, params("annotate", "events", ranks=(9,)))


def test_another_task_and_state(both):
    table = annotate(both, params("annotate", "events", count=2, task="death", state="dead"))
    assert (table["cell_death_state"] == "dead").sum() == 2
    with pytest.raises(InvalidInput, match="did you mean 'dead'"):
        annotate(both, params("annotate", "events", task="death", state="ded"))
    with pytest.raises(InvalidInput, match="Which state of fusion is meant"):
        annotate(both, params("annotate", "events", task="fusion"))


def test_events_without_a_cell_are_left_out_and_counted(processed):
    tracks = processed.workspace.tracks(processed["A/1/0"])
    cell = tracks[tracks["t"] == 4].iloc[0]
    at = (4, cell.z, cell.y, cell.x, 3.0)
    nowhere = (4, 0, -500.0, 0.0, 2.0)
    listed(processed, "A/1/0", [at, nowhere])
    one = processed.select(["A/1/0"])
    job = Job()
    table = divided(annotate(one, params("annotate", "events"), job))
    assert table["id"].tolist() == [cell["id"]]
    assert job.notes[-1].startswith("1 of 2 events are accepted as mitosis")
    listed(processed, "A/1/0", [nowhere])
    with pytest.raises(InvalidInput, match="None of 1 events is within 10 um"):
        annotate(one, params("annotate", "events"))
    listed(processed, "A/1/0", [])
    with pytest.raises(InvalidInput, match="No event was found"):
        annotate(one, params("annotate", "events"))


def test_a_cell_is_annotated_at_its_own_place(processed):
    fov = processed["A/1/0"]
    tracks = processed.workspace.tracks(fov)
    cell = tracks[tracks["t"] == 4].iloc[0]
    beside = cell.y + 2 / fov.scale[1]
    listed(processed, "A/1/0", [(4, cell.z, beside, cell.x, 1.0)])
    annotate(processed.select(["A/1/0"]), params("annotate", "events", annotator="ada"))
    (mark,) = [m for m, a in Journal(processed.workspace.journal).latest() if a.annotator == "ada"]
    assert mark.id == cell.id
    assert (mark.t, mark.z, mark.y, mark.x) == (4, cell.z, cell.y, cell.x)


def test_what_is_missing_is_said(dataset):
    one = dataset.select(["A/1/0"])
    with pytest.raises(MissingInput, match=r"No likely events 'tap' found.*run 'find' first"):
        annotate(one, params("annotate", "events"))
    listed(dataset, "A/1/0", [(1, 0, 5.0, 5.0, 1.0)])
    with pytest.raises(MissingInput, match="No tracks found for FOV A/1/0: run 'track' first"):
        annotate(one, params("annotate", "events"))
    assert not dataset.workspace.journal.exists()
