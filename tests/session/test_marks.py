from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from effort import calls
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr import params, segment, track
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.journal import Journal, Mark
from napari_dynaclr.session.cells import Cells, load_cells
from napari_dynaclr.session.marks import Given, Marks, read_marks

NAME = "B/1/0"


def mark(node, state, *, fov="A/1/0", task="infection", carried=False):
    return Mark(fov, node, node, 0, 0.0, 0.0, 0.0, task, state, "key", carried)


some_marks = st.lists(
    st.builds(
        mark,
        st.integers(1, 5),
        st.sampled_from(["infected", "uninfected", "unknown", ""]),
        fov=st.sampled_from(["A/1/0", "A/1/1"]),
        task=st.sampled_from(["infection", "division"]),
        carried=st.booleans(),
    )
)


@given(some_marks)
@settings(deadline=None)
def test_the_last_mark_of_a_cell_holds(entered):
    marks, expected = Marks().with_marks(entered), {}
    for one in entered:
        expected[one.task, one.fov_name, one.id] = one
    expected = {place: one for place, one in expected.items() if one.state}
    for task in ("infection", "division"):
        here = {k[1:]: one for k, one in expected.items() if k[0] == task}
        assert {(f, n): g for f, n, g in marks.of(task)} == {
            place: Given(one.state, one.carried) for place, one in here.items()
        }
        assert marks.counts(task) == Counter(one.state for one in here.values())
        assert marks.tally(task) == Counter(Given(one.state, one.carried) for one in here.values())
        for fov in ("A/1/0", "A/1/1"):
            assert marks.explicit(task, fov) == {
                n: one.state for (f, n), one in here.items() if f == fov and not one.carried
            }
    assert set(marks.tasks) == {place[0] for place in expected}
    assert marks.fov_names == {place[1] for place in expected}


@given(some_marks)
@settings(deadline=None)
def test_codes_are_the_states_of_the_cells_that_are_shown(entered):
    cells = Cells(
        fovs=("A/1/0", "A/1/1"),
        fov=np.repeat(np.arange(2, dtype=np.int32), 3),
        track=np.tile([1, 2, 3], 2),
        t=np.zeros(6, np.int64),
        id=np.array([3, 1, 4, 2, 9, 1]),
        parent=np.full(6, -1),
        position=np.zeros((6, 3), np.float32),
    )
    marks = Marks().with_marks(entered)
    states = ("uninfected", "infected")
    expected = [marks.get(cells.name(i), int(cells.id[i]), "infection") for i in range(6)]
    assert marks.codes(cells, "infection", states).tolist() == [
        states.index(one.state) if one and one.state in states else -1 for one in expected
    ]
    assert len(marks.codes(Cells(), "infection", states)) == 0


def test_the_states_of_a_fov_can_be_taken_from_elsewhere():
    before = Marks().with_marks([mark(1, "infected"), mark(2, "infected", fov="A/1/1")])
    before = before.with_marks([mark(3, "mitosis", task="division")])
    other = Marks().with_marks([mark(2, "uninfected"), mark(2, "uninfected", fov="A/1/1")])
    marks = before.with_fovs({"A/1/0"}, other)
    assert sorted(marks.of("infection")) == [
        ("A/1/0", 2, Given("uninfected", False)),
        ("A/1/1", 2, Given("infected", False)),
    ]
    assert marks.tasks == ["infection"]
    assert before.tasks == ["infection", "division"], "those before are as they were"


@given(some_marks, some_marks)
@settings(deadline=None)
def test_marks_that_a_job_reads_do_not_change(entered, further):
    marks = Marks().with_marks(entered)
    tasks = ("infection", "division")
    before = [(list(marks.of(task)), marks.tally(task)) for task in tasks]
    after = marks.with_marks(further)
    after.with_marks([mark(1, "")])
    assert [(list(marks.of(task)), marks.tally(task)) for task in tasks] == before
    assert [list(after.of(task)) for task in tasks] == [
        list(Marks().with_marks([*entered, *further]).of(task)) for task in tasks
    ]


def test_the_work_of_counting_does_not_grow_with_the_marks():
    def effort(count):
        marks = Marks().with_marks([mark(i, "infected", carried=i % 3 > 0) for i in range(count)])
        return calls(lambda: (marks.tally("infection"), marks.counts("infection")))

    assert effort(10_000) == effort(100)


# -- after the cells have been segmented and tracked anew ---------------------


def marks_at(dataset, nodes, state, carried=False):
    key = dataset.workspace.key("tracks", dataset[NAME])
    return [
        Mark(NAME, n.id, n.track_id, n.t, n.z, n.y, n.x, "infection", state, key, carried)
        for n in nodes.itertuples()
    ]


def distant(a, b):
    """Distance in pixels of each of some nodes from the nearest of others."""
    return np.hypot(*(np.subtract.outer(a[x].to_numpy(), b[x].to_numpy()) for x in "yx")).min(1)


@pytest.fixture
def anew(processed):
    """A FOV of which other cells have the ids now; its journal, and its nodes before and now."""
    workspace = processed.workspace
    workspace.journal.unlink()
    one = processed.select([NAME])
    before = workspace.tracks(processed[NAME]).query("t == 4")
    journal = Journal(workspace.journal)
    journal.add(marks_at(processed, before[::2], "infected"), "ada")
    journal.add(marks_at(processed, before[1::2], "infected", carried=True), "ada")
    # Of the upper half of the cells only the lower ids are left, so that ids move on.
    segment(one, params("segment", sensitivity=1.3))
    track(one)
    now = workspace.tracks(processed[NAME]).query("t == 4")
    assert len(now) > 3
    return processed, journal, before, now


def test_marks_keep_whether_someone_looked(anew):
    dataset, _, before, now = anew
    marks = read_marks(dataset)
    cells = load_cells(dataset, "", Job())
    found = list(marks.of("infection"))
    assert len(found) > 3
    for _, node, given_ in found:
        (row,) = cells.find(NAME, [node])
        where = np.hypot(*(before[["y", "x"]].to_numpy() - cells.position[row, 1:]).T)
        assert given_.carried == bool(where.argmin() % 2), "as of the cell it was made on"
    assert set(marks.explicit("infection", NAME)) == {n for _, n, g in found if not g.carried}
    assert {type(node) for _, node, _ in found} == {int}
    assert {node for _, node, _ in found} <= set(now["id"])


def test_a_mark_on_an_id_of_today_leaves_those_of_older_tracks_alone(anew):
    """The id of a cell is another cell's after tracking again: neither may lose its mark."""
    dataset, journal, before, now = anew
    marked = current_annotations(dataset)
    same = now[now["id"].isin(before["id"][::2]) & ~now["id"].isin(marked["id"])]
    node = same[:1] if len(same) else now[now["id"].isin(before["id"][::2])][:1]
    journal.add(marks_at(dataset, node, "uninfected"), "bob")
    after = read_marks(dataset)
    changed = int(node["id"].iloc[0])
    assert after.get(NAME, changed, "infection") == Given("uninfected", False)
    kept = {n for n in marked["id"] if n != changed}
    assert kept <= {n for _, n, g in after.of("infection") if g.state == "infected"}


def test_clearing_clears_what_was_marked_on_older_tracks(anew):
    dataset, journal, _, now = anew
    marked = set(current_annotations(dataset)["id"])
    journal.add(marks_at(dataset, now, ""))
    assert list(read_marks(dataset).of("infection")) == []
    assert current_annotations(dataset).empty
    journal.undo()
    assert {n for _, n, _ in read_marks(dataset).of("infection")} == marked


def test_what_follows_does_not_cover_what_someone_looked_at(anew):
    """Both belong to one cell now: a look at it counts for more, whichever came first."""
    dataset, journal, before, _ = anew
    looked = {n for _, n, g in read_marks(dataset).of("infection") if not g.carried}
    old = [m for m, _ in journal.latest() if not m.carried]
    journal.add([Mark(**{**vars(m), "id": m.id + 500, "state": "uninfected", "carried": True})
                 for m in old])  # fmt: skip
    marks = read_marks(dataset)
    assert {marks.get(NAME, n, "infection") for n in looked} == {Given("infected", False)}
    assert len(before)


def test_the_table_and_the_marks_agree(anew):
    dataset, *_ = anew
    table = current_annotations(dataset)
    states = dict(zip(table["id"], table["infection_state"], strict=True))
    assert {n: g.state for _, n, g in read_marks(dataset).of("infection")} == states
    rows = table.set_index("id")
    nodes = dataset.workspace.tracks(dataset[NAME]).set_index("id").loc[rows.index]
    for column in ("track_id", "t", "y", "x"):
        assert (rows[column] == nodes[column]).all()


def test_without_tracks_marks_keep_the_ids_they_were_made_on(anew):
    dataset, journal, before, _ = anew
    dataset.workspace.forget("tracks", dataset[NAME])
    marks = read_marks(dataset)
    assert {n for _, n, _ in marks.of("infection")} == set(before["id"])
    assert marks.read_to == journal.position == dataset.workspace.journal.stat().st_size


def test_tables_of_fovs_without_older_marks_are_not_read(processed, monkeypatch):
    expected = set(current_annotations(processed)["id"])
    monkeypatch.setattr(type(processed.workspace), "tracks", lambda *_: pytest.fail("read"))
    assert {n for _, n, _ in read_marks(processed).of("infection")} == expected
