from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.session import Session
from napari_dynaclr.session.cells import load_cells
from napari_dynaclr.session.events import (
    DIVIDES,
    DIVIDES_NOT,
    DIVISION,
    MOST,
    Event,
    EventList,
    event_names,
    read_events,
)
from napari_dynaclr.session.marks import read_marks

FOV = "B/1/0"


def write(dataset, fov_name, rows, name="tap", inputs=None):
    """Write events (t, z, y, x, score, id) as 'find' does."""
    fov = dataset[fov_name]
    table = pd.DataFrame(rows, columns=["t", "z", "y", "x", "score", "id"])
    table["rank"] = np.arange(1, len(table) + 1)
    table["track_id"] = -1
    write_csv(dataset.workspace.events_csv(name, fov), table)
    dataset.workspace.mark_complete(f"events.{name}", fov, "key", inputs or {})


def look(dataset, name="tap", fovs=(FOV,)):
    return read_events(dataset, name, fovs, Job())


@pytest.fixture
def session(processed):
    made = Session()
    made.open(processed)
    made.show(processed[FOV])
    made.set_cells(load_cells(processed.select([FOV]), "features", Job()), read_marks(processed))
    return made


def event_on(session, row, node=-1):
    cells = session.cells
    return Event(FOV, int(cells.t[row]), tuple(map(float, cells.position[row])), 1.0, node)


# -- the list ----------------------------------------------------------------


def test_the_share_by_chance_is_of_all_that_are_read_and_of_nothing_less(dataset):
    write(dataset, FOV, [(1, 0, 0, 0, 0.9, -1), (2, 0, 0, 0, 0.3, -1)])
    write(dataset, "A/1/0", [(1, 0, 0, 0, 0.6, -1), (3, 0, 0, 0, 0.5, -1)])
    assert {one.by_chance for one in look(dataset).places} == {None}, "not looked for backwards"
    home, nothing = dataset.workspace, {"t": [], "z": [], "y": [], "x": [], "score": []}
    write_csv(home.backwards_csv("tap", dataset[FOV]), pd.DataFrame(nothing))
    assert [one.by_chance for one in look(dataset).places] == [0.5, 0.5]
    assert {one.by_chance for one in look(dataset, fovs=(FOV, "A/1/0")).places} == {None}
    backwards = {name: [0.4] for name in nothing}
    write_csv(home.backwards_csv("tap", dataset["A/1/0"]), pd.DataFrame(backwards))
    both = look(dataset, fovs=(FOV, "A/1/0")).places
    assert [one.by_chance for one in both] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.5])


def test_events_of_several_fovs_are_one_list_the_likeliest_first(dataset):
    dataset.workspace.prepare(dataset.channels)
    write(dataset, "A/1/0", [(1, 0, 5.0, 6.0, 0.5, -1), (2, 0, 7.0, 8.0, 0.1, -1)])
    write(dataset, FOV, [(3, 0, 9.0, 10.0, 0.3, 7)])
    assert event_names(dataset) == ["tap"]
    found = look(dataset, fovs=["A/1/0", FOV, "A/1/1"])
    assert [(one.fov_name, one.t, one.score) for one in found.places] == [
        ("A/1/0", 1, 0.5), (FOV, 3, 0.3), ("A/1/0", 2, 0.1),
    ]  # fmt: skip
    assert found.places[1].position == (0, 9, 10)
    assert found.places[1].id == 7
    assert (found.total, found.missing) == (3, ("A/1/1",))


def test_no_more_are_listed_than_a_person_looks_at(dataset):
    dataset.workspace.prepare(dataset.channels)
    write(dataset, FOV, [(t % 9, 0, 1.0, t, 1 / (t + 1), -1) for t in range(MOST + 7)])
    found = look(dataset)
    assert (len(found.places), found.total) == (MOST, MOST + 7)
    assert found.places[0].score == 1


def test_events_of_cells_that_are_no_more_are_missing(processed):
    write(processed, FOV, [(1, 0, 5.0, 6.0, 0.5, 3)], inputs={"tracks": "of another day"})
    assert look(processed).missing == (FOV,)
    write(processed, FOV, [(1, 0, 5.0, 6.0, 0.5, 3)])
    assert look(processed).missing == ()


def test_who_looks_at_an_event_goes_on_looking_at_it():
    places = tuple(Event(FOV, t, (0, 0, 0), 1.0) for t in range(4))
    before = EventList("tap", places[:3], 2)
    assert before.renewed(EventList("tap", places[::-1])).current == places[2]
    assert before.renewed(EventList("tap", places[:2])).position == -1


# -- the cell that is meant ---------------------------------------------------


def test_the_cell_is_the_named_one_while_the_tracks_are_those(session):
    rows = session.cells.at(FOV, 4)
    one, other = int(rows[0]), int(rows[1])
    event = event_on(session, one, int(session.cells.id[other]))
    tracks = {FOV: session.cells.keys[FOV]}
    session.events.set_found(EventList("tap", (event,), 0, 1, tracks))
    assert session.events.row_of(event) == other
    session.events.set_found(EventList("tap", (event,), 0, 1, {FOV: "older"}))
    assert session.events.row_of(event) == one, "the nearest: ids are of other cells"


def test_no_cell_is_meant_where_none_is_near(session):
    event = replace(event_on(session, int(session.cells.at(FOV, 4)[0])), position=(0, -500, -500))
    assert session.events.row_of(event) == -1
    assert "No tracked cell is near" in session.events.hindrance(event)
    assert not session.events.judge(event, DIVIDES)
    assert session.last_said == session.events.hindrance(event)


def test_of_a_fov_that_is_not_tracked_one_line_says_so(dataset):
    session = Session()
    session.open(dataset)
    session.show(dataset[FOV])
    assert "B/1/0 is not tracked" in session.events.hindrance()
    event = Event(FOV, 1, (0, 5, 5), 1.0)
    assert not session.events.judge(event, DIVIDES)
    assert "\n" not in session.last_said
    assert session.events.verdict(event) == ""


# -- verdicts -----------------------------------------------------------------


def test_a_verdict_is_an_annotation_and_on_disk_at_once(session, processed):
    row = int(session.cells.at(FOV, 4)[0])
    event = event_on(session, row)
    session.set_task("infection")
    assert session.events.judge(event, DIVIDES)
    assert session.events.verdict(event) == DIVIDES
    [mark] = [
        one for one, _ in Journal(processed.workspace.journal).latest() if one.task == DIVISION
    ]
    assert (mark.fov_name, mark.id, mark.task, mark.state) == (
        FOV, int(session.cells.id[row]), DIVISION, DIVIDES,
    )  # fmt: skip
    assert session.task.name == "infection", "of whatever task one is annotating"
    session.events.judge(event, DIVIDES_NOT)
    assert session.events.verdict(event) == DIVIDES_NOT
    session.annotator.undo()
    assert session.events.verdict(event) == DIVIDES
    session.annotator.undo()
    assert session.events.verdict(event) == ""


# -- clicks and keys are for one thing -----------------------------------------


def test_clicks_go_through_events_or_annotate_or_correct(session):
    events, heard = session.events, []
    events.mode_changed.connect(lambda: heard.append(events.active))
    session.corrections.set_active(True)
    events.set_active(True)
    assert not session.corrections.active
    session.set_state("infected")
    assert not events.active
    events.set_active(True)
    assert session.state == ""
    session.corrections.set_active(True)
    assert heard == [True, False, True, False]


def test_another_dataset_has_other_events(session):
    session.events.set_found(EventList("tap", (Event(FOV, 1, (0, 0, 0), 1.0),), 0, 1))
    session.open(None)
    assert session.events.found == EventList()
