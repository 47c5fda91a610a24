from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.taskbook import (
    check_tasks,
    complete_tasks,
    found_states,
    read_tasks,
    tasks_file,
    with_states,
    write_tasks,
)
from napari_dynaclr.core.tasks import PALETTE, TASKS, State, Task, find_task, new_states

SHAPE = Task(
    "shape",
    "shape_state",
    (State("round", "#123456", "r"), State("flat & wide", "#abcdef", "")),
    carry_forward=True,
)


@pytest.fixture
def own(plate, tmp_path):
    """A workspace that nothing has been written to."""
    return open_dataset(plate, tmp_path / "own.dynaclr").workspace


def test_without_a_file_they_are_the_default_ones_and_nothing_is_written(own):
    assert read_tasks(own) == TASKS
    assert not own.path.exists()


def test_tasks_come_back_as_they_were_written(own, plate):
    tasks = (*TASKS[:2], SHAPE)
    write_tasks(own, tasks)
    assert read_tasks(own) == tasks
    again = open_dataset(plate, own.path).workspace
    assert read_tasks(again) == tasks, "the folder is a workspace, though no stage has run"
    assert json.loads((own.path / "workspace.json").read_text())["channels"][0] == "Phase"
    assert [path.name for path in own.path.glob(".*")] == []
    text = tasks_file(own).read_text()
    assert json.loads(text)["version"] == 1
    assert '"name": "flat & wide"' in text


def own_task(**changes):
    return (replace(SHAPE, **changes),)


def with_state(**changes):
    return own_task(states=(SHAPE.states[0], replace(SHAPE.states[1], **changes)))


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ((), "There is no task"),
        (own_task(name="../up"), r"'../up' cannot be the name of a task: use letters"),
        (own_task(name=""), "'' cannot be the name"),
        (own_task(name="infection_state"), "is that of the task 'infection'"),
        (own_task(name="cell_division"), "is that of the task 'division': choose another name"),
        (own_task(column="form"), "its column must be called shape_state"),
        ((SHAPE, replace(SHAPE, name="Shape", column="Shape_state")), "called 'shape'"),
        (own_task(states=SHAPE.states[:1]), "'shape' needs two states at least"),
        (with_state(name="Round"), "two states are called 'round'"),
        (with_state(name="unknown"), "cannot be called 'unknown'"),
        (with_state(name="None"), "cannot be called 'None', tables would take it for no state"),
        (with_state(name=" flat"), "cannot be a state"),
        (with_state(name="a\nb"), "cannot be a state"),
        (with_state(name=""), "cannot be a state"),
        (with_state(colour="red"), "the colour 'red' of 'flat & wide' is none"),
        (with_state(colour="#12345"), "write it as #D55E00"),
        (with_state(key="F1"), "the key 'F1' of 'flat & wide' is not one printable character"),
        (with_state(key=" "), "not one printable character"),
        (with_state(key="R"), "two states have the key 'r'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_one_line_and_not_written(own, tasks, said):
    with pytest.raises(InvalidInput, match=said) as refused:
        write_tasks(own, tasks)
    assert "\n" not in str(refused.value)
    assert not own.path.exists()


@pytest.mark.parametrize("state", ["NA", "nan", "N/A", "null", "NULL", "NaN", "#N/A", "<NA>"])
def test_what_pandas_reads_as_a_blank_is_no_name_of_a_state(state, tmp_path):
    pd.DataFrame({"s": [state, "x"]}).to_csv(tmp_path / "a.csv")
    assert pd.read_csv(tmp_path / "a.csv")["s"].isna().any()
    with pytest.raises(InvalidInput, match="no state"):
        check_tasks(with_state(name=state))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ("{", "is damaged"),
        ('{"version": 1}', "is damaged"),
        ('{"version": 1, "tasks": [{"name": "a"}]}', "tasks.0.states: Field required"),
        ('{"version": 1, "tasks": []}', "There is no task"),
        ('{"version": 2, "tasks": "new"}', "written by a newer version .* update napari-dynaclr"),
    ],
)
def test_a_damaged_or_newer_file_is_told_in_one_line(own, text, said):
    write_tasks(own, TASKS)
    tasks_file(own).write_text(text)
    with pytest.raises(InvalidInput, match=said) as refused:
        read_tasks(own)
    assert "\n" not in str(refused.value)
    assert str(tasks_file(own)) in str(refused.value)
    if "newer" not in said:
        assert "delete it to get the default tasks" in str(refused.value)


def test_no_text_at_all(own):
    write_tasks(own, TASKS)
    tasks_file(own).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match=r"damaged \(no text\)"):
        read_tasks(own)


def test_states_found_in_data_get_free_colours_and_keys():
    task = with_states(SHAPE, ["long", "round", "", "unknown", "tiny", "long"])
    assert task.state_names == ("round", "flat & wide", "long", "tiny")
    assert task.states[:2] == SHAPE.states
    assert [state.key for state in task.states] == ["r", "", "1", "2"]
    assert [state.colour for state in task.states[2:]] == list(PALETTE[:2])
    assert with_states(SHAPE, ["round", ""]) is SHAPE
    check_tasks([task])


def test_many_states_run_out_of_keys_and_begin_the_colours_anew():
    task = with_states(Task("phase", "phase_state"), [f"s{i}" for i in range(12)])
    assert [state.key for state in task.states] == [*"123456789", "", "", ""]
    assert {state.colour for state in task.states} == set(PALETTE)
    check_tasks([task])


def test_imported_tasks_join_the_known_ones_and_can_be_kept():
    found = {"death": ["alive", "dying"], "tilt": ["tilted"], "nothing": ["unknown"]}
    tasks = complete_tasks(TASKS, found)
    assert [task.name for task in tasks] == [*(task.name for task in TASKS), "tilt"]
    assert tasks[3].state_names == ("alive", "dead", "dying")
    assert tasks[3].states[2] == State("dying", PALETTE[2], "3")
    assert tasks[4].state_names == ("not tilted", "tilted")
    check_tasks(tasks)


def test_states_are_counted_by_task():
    table = pd.DataFrame(
        {"fov_name": "A/1/0", "id": [1, 2, 3, 4], "annotator": "ada",
         "infection_state": ["infected", "infected", None, ""], "tilt_state": [None, None, 0, "x"]}
    )  # fmt: skip
    assert found_states(table) == {"infection": {"infected": 2}, "tilt": {"0": 1, "x": 1}}
    assert found_states(table.iloc[:0]) == {"infection": {}, "tilt": {}}


def test_unknown_can_be_said_of_every_task_on_key_0_if_that_is_free():
    assert find_task("death").choices[-1] == State("unknown", "#999999", "0")
    taken = replace(SHAPE, states=(*SHAPE.states, State("zero", "#000000", "0")))
    assert taken.choices[-1].key == ""
    assert taken.colour("zero") == "#000000"
    assert taken.colour("unknown") == taken.colour("never heard of") == "#999999"


def test_the_default_tasks_can_be_kept():
    check_tasks(TASKS)
    for task in TASKS:
        assert task.states == new_states(*task.state_names)
        assert [state.key for state in task.states] == ["1", "2"]
    options = {task.name: (task.carry_forward, task.inherit) for task in TASKS}
    assert options == {
        "infection": (True, True),
        "division": (False, False),
        "organelle": (False, False),
        "death": (True, False),
    }
