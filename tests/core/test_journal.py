from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.journal import UNKNOWN, Journal, Mark


def mark(node, state="infected", task="infection", fov="A/1/0"):
    return Mark(fov, node, node % 100, 3, 0.0, 10.5, 20.25, task, state)


def states(journal):
    return {key: entry[0].state for key, entry in journal.states().items()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "annotations.jsonl"


def test_every_action_is_on_disk_before_the_call_returns(path, monkeypatch):
    synced = []
    original = os.fsync

    def fsync(number):
        original(number)
        synced.append((os.fstat(number).st_size, path.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    journal = Journal(path)
    steps = [lambda: journal.add([mark(1)]), journal.undo, journal.redo]
    for count, step in enumerate(steps, start=1):
        step()
        assert len(synced) == count, "one line, one fsync"
        size, content = synced[-1]
        assert content.count(b"\n") == count
        assert size == len(content)
        assert states(Journal(path)) == states(journal)


def test_the_file_only_ever_grows(path):
    journal, before = Journal(path), b""
    for step in (
        lambda: journal.add([mark(1)]),
        journal.undo,
        journal.redo,
        lambda: journal.add([mark(1, "")]),
        lambda: journal.add([mark(2), mark(3)]),
        journal.undo,
    ):
        step()
        now = path.read_bytes()
        assert now.startswith(before)
        assert len(now) > len(before)
        before = now


def test_no_byte_of_the_last_line_whose_loss_costs_an_earlier_click(path):
    """Kill -9 anywhere in the write: what was there stays, and the next click is kept."""
    journal = Journal(path)
    journal.add([mark(1)], "Zoë")
    journal.add([mark(2, "uninfected")], "Zoë")
    start = path.stat().st_size
    journal.add([mark(3, "größer")], "Zoë")
    whole = path.read_bytes()
    earlier = {("A/1/0", 1, "infection"): "infected", ("A/1/0", 2, "infection"): "uninfected"}
    third = {("A/1/0", 3, "infection"): "größer"}
    fourth = {("A/1/0", 4, "infection"): "next"}
    for cut in range(start, len(whole) + 1):
        path.write_bytes(whole[:cut])
        survivor = Journal(path)
        complete = cut >= len(whole) - 1  # only the line feed may be missing
        expected = earlier | (third if complete else {})
        assert states(survivor) == expected
        survivor.add([mark(4, "next")])
        assert states(survivor) == states(Journal(path)) == expected | fourth


def test_a_second_crash_right_after_the_first_is_survived_too(path):
    journal = Journal(path)
    journal.add([mark(1)])
    kept = states(journal)
    start = path.stat().st_size
    journal.add([mark(2)])
    path.write_bytes(path.read_bytes()[: start + 40])
    Journal(path).add([mark(3)])
    whole = path.read_bytes()
    for cut in range(start + 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        again = Journal(path)
        assert states(again) == kept
        again.add([mark(4)])
        assert set(states(Journal(path))) == {*kept, ("A/1/0", 4, "infection")}


@pytest.mark.parametrize(
    "damage", [b"{", b"[1]\n", b'{"op": "delete"}\n', b'{"op": "undo"}\n', b"\xff\n"]
)
def test_damage_before_the_last_line_is_told_with_its_number(path, damage):
    Journal(path).add([mark(1)])
    line = path.read_bytes()
    path.write_bytes(damage.rstrip(b"\n") + b"\n" + line)
    with pytest.raises(InvalidInput, match="line 1 is damaged: restore the file from a backup"):
        Journal(path)


def test_a_missing_or_empty_file_holds_nothing(path):
    assert states(Journal(path)) == {}
    path.write_bytes(b"")
    journal = Journal(path)
    assert states(journal) == {}
    assert journal.undo() is None
    assert journal.redo() is None
    assert path.read_bytes() == b"", "nothing to undo writes nothing"


def test_no_marks_are_no_action(path):
    journal = Journal(path)
    journal.add([])
    assert not path.exists()


ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.lists(
                st.tuples(
                    st.integers(1, 3), st.sampled_from(["infected", "uninfected", UNKNOWN, ""])
                ),
                min_size=1,
                max_size=3,
            ),
        ),
        st.sampled_from([("undo", None), ("redo", None), ("reopen", None)]),
    ),
    max_size=14,
)


@given(actions=ACTIONS)
@settings(max_examples=40, deadline=None)
def test_undo_and_redo_follow_the_model(tmp_path_factory, actions):
    """The model: a list of done and of undone actions; reopening the file changes nothing."""
    path = tmp_path_factory.mktemp("journal") / "annotations.jsonl"
    journal = Journal(path)
    done, undone = [], []
    for name, argument in actions:
        if name == "add":
            journal.add([mark(node, state) for node, state in argument])
            done.append(argument)
            undone.clear()
        elif name == "reopen":
            journal = Journal(path)
        else:
            source, target = (done, undone) if name == "undo" else (undone, done)
            action = journal.undo() if name == "undo" else journal.redo()
            assert (action is None) == (not source)
            if source:
                target.append(source.pop())
                assert [(m.id, m.state) for m in action.marks] == target[-1]
        expected = {}
        for step in done:
            expected.update({("A/1/0", node, "infection"): state for node, state in step})
        expected = {key: state for key, state in expected.items() if state}
        assert states(journal) == expected
    assert states(Journal(path)) == states(journal)


def test_unknown_is_a_state_and_an_empty_state_is_none(path):
    journal = Journal(path)
    journal.add([mark(1, UNKNOWN), mark(2, "infected")])
    assert states(journal)["A/1/0", 1, "infection"] == UNKNOWN
    assert ("A/1/0", 3, "infection") not in states(journal)
    journal.add([mark(1, "")])
    assert set(states(journal)) == {("A/1/0", 2, "infection")}
    journal.undo()
    assert states(journal)["A/1/0", 1, "infection"] == UNKNOWN


def test_tasks_and_fovs_are_kept_apart(path):
    journal = Journal(path)
    journal.add([mark(1, "infected"), mark(1, "mitosis", "division"), mark(1, "dead", fov="B/1/0")])
    assert states(journal) == {
        ("A/1/0", 1, "infection"): "infected",
        ("A/1/0", 1, "division"): "mitosis",
        ("B/1/0", 1, "infection"): "dead",
    }


def test_an_import_repeated_adds_nothing(path):
    journal = Journal(path)
    marks = [mark(1), mark(2, "uninfected")]
    journal.add(journal.new_only(marks))
    assert journal.new_only(marks) == []
    changed = mark(2, "infected")
    assert journal.new_only([mark(1), changed, mark(3)]) == [changed, mark(3)]


def test_journals_without_the_word_carried_are_read(path):
    journal = Journal(path)
    journal.add([mark(1)])
    text = path.read_text()
    assert '"carried": false' in text
    path.write_text(text.replace(', "carried": false', ""))
    assert Journal(path).states() == journal.states()


def test_a_look_at_a_cell_is_new_where_its_state_was_carried(path):
    journal = Journal(path)
    journal.add([replace(mark(1), carried=True)])
    assert Journal(path).states()["A/1/0", 1, "infection"][0].carried
    assert journal.new_only([mark(1)]) == [mark(1)]


def test_who_and_when_are_written(path):
    journal = Journal(path)
    journal.add([mark(1)], "ada")
    entry = json.loads(path.read_text())
    assert entry["annotator"] == "ada"
    assert entry["date"].endswith("+00:00")
    (_, action), *_ = journal.states().values()
    assert (action.annotator, action.date) == ("ada", entry["date"])
