from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.tables import TRACK_COLUMNS
from napari_dynaclr.session import Session
from napari_dynaclr.session.cells import load_cells
from napari_dynaclr.session.marks import read_marks
from napari_dynaclr.session.table import cell_table


def table_of(session):
    return cell_table(session.cells, session.selection, session.tasks, session.marks)


@pytest.fixture
def session(processed):
    made = Session()
    made.open(processed)
    made.show(processed["B/1/0"])
    made.set_cells(load_cells(processed, "features", Job()), read_marks(processed))
    return made


def test_a_row_per_cell_with_all_that_is_known(session, processed):
    table = table_of(session)
    assert list(table) == [
        "fov_name", *TRACK_COLUMNS, "selected", "PCA1", "PCA2", "infection_state",
        "predicted_infection", "confidence_infection",
    ]  # fmt: skip
    assert len(table) == len(session.cells)
    tracks = pd.concat([processed.workspace.tracks(fov) for fov in processed.fovs])
    for column in ("track_id", "t", "id", "parent_track_id"):
        np.testing.assert_array_equal(table[column], tracks[column])
    np.testing.assert_allclose(table[["y", "x"]], tracks[["y", "x"]], rtol=1e-5)


def test_states_are_those_of_the_annotations(session, processed):
    given = table_of(session).query("infection_state != ''")
    table = current_annotations(processed)
    columns = ["fov_name", "t", "id", "infection_state"]
    pd.testing.assert_frame_equal(
        given[columns].sort_values(columns[:3], ignore_index=True),
        table[columns].astype(given[columns].dtypes),
    )


def test_predictions_are_those_of_the_file(session, processed):
    table = table_of(session)
    file = pd.read_csv(processed.workspace.predictions("infection"))
    both = table.merge(file, on=["fov_name", "id"], suffixes=("", "_in_file"))
    assert len(both) == len(table) == len(file)
    assert (both["predicted_infection"] == both["predicted_infection_in_file"]).all()
    assert both["confidence_infection"].tolist() == pytest.approx(both["confidence"], rel=1e-4)
    assert table["confidence_infection"].between(0.5, 1).all()


def test_doubt_is_a_state_and_selection_a_column(session):
    session.set_task("death")
    session.annotate([3], "unknown")
    session.select([3, 5])
    table = table_of(session)
    assert table.loc[3, "cell_death_state"] == "unknown"
    assert np.flatnonzero(table["selected"]).tolist() == [3, 5]


def test_a_task_that_is_not_known_here_is_left_out(session):
    session.set_tasks(session.tasks[1:])
    assert "infection_state" not in table_of(session)


def test_what_is_not_predicted_is_blank_not_the_last_state(session, processed):
    processed.workspace.forget("embeddings.features", processed["A/1/0"])
    session.set_cells(load_cells(processed, "features", Job()))
    table = table_of(session).query("fov_name == 'A/1/0'")
    assert set(table["predicted_infection"]) == {""}
    assert table["confidence_infection"].isna().all()
    assert table[["PCA1", "PCA2"]].isna().all(axis=None)


def test_it_survives_a_round_trip_through_a_file(session, tmp_path):
    table = table_of(session)
    table.to_csv(tmp_path / "cells.csv", index=False)
    again = pd.read_csv(tmp_path / "cells.csv", keep_default_na=False)
    assert (again["infection_state"] == table["infection_state"]).all()
    assert (again["id"] == table["id"]).all()


def test_no_cells_are_an_empty_table():
    table = table_of(Session())
    assert table.empty
    assert list(table) == ["fov_name", *TRACK_COLUMNS, "selected"]
