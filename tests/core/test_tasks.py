from __future__ import annotations

import pytest

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tasks import (
    TASKS,
    Task,
    find_task,
    new_states,
    refuse_typos,
    task_of_column,
)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_known_task_is_found_by_name_and_by_column(task):
    assert find_task(task.name) is task
    assert find_task(task.column) is task
    assert task_of_column(task.column) is task


def test_columns_and_states_are_those_of_napari_iohub():
    assert {task.column: set(task.state_names) for task in TASKS} == {
        "cell_division_state": {"mitosis", "interphase"},
        "infection_state": {"infected", "uninfected"},
        "organelle_state": {"remodel", "noremodel"},
        "cell_death_state": {"dead", "alive"},
    }


def test_any_other_name_is_a_task_of_the_users_own():
    assert find_task("shape") == Task("shape", "shape_state")
    assert task_of_column("shape_state") == Task("shape", "shape_state")


@pytest.mark.parametrize("column", ["track_id", "_state", "state", ""])
def test_other_columns_belong_to_no_task(column):
    assert task_of_column(column) is None


def test_a_misspelt_state_of_a_task_of_ones_own_is_refused():
    shape = Task("shape", "shape_state", new_states("Round", "elongated"))
    assert find_task("shape", [shape]) is task_of_column("shape_state", [shape]) is shape
    refuse_typos(["Round", "elongated", "unknown", "square"], shape, "table.csv")
    with pytest.raises(InvalidInput, match=r"'round' is no state of shape: did you mean 'Round'\?"):
        refuse_typos(["round"], shape, "table.csv")
