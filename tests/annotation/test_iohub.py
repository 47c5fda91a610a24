from __future__ import annotations

import pandas as pd
import pytest

from napari_dynaclr import annotate
from napari_dynaclr.annotation.export import export_annotations
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import TRACK_COLUMNS

STATES = ["cell_division_state", "infection_state", "organelle_state", "cell_death_state"]


@pytest.fixture
def fresh(processed):
    """Tracked, and nothing annotated."""
    processed.workspace.journal.unlink()
    processed.workspace.annotations_csv.unlink()
    return processed


def iohub_table(dataset):
    """The CSV of napari-iohub: all nodes, few of them annotated, in columns of its names."""
    parts = [dataset.workspace.tracks(fov).assign(fov_name=fov.name) for fov in dataset.fovs]
    table = pd.concat(parts, ignore_index=True)[["fov_name", *TRACK_COLUMNS]]
    for column in STATES:
        table[column] = pd.Series(pd.NA, index=table.index, dtype=object)
    table.loc[5, "infection_state"] = "infected"
    table.loc[200, "infection_state"] = "uninfected"
    table.loc[7, "infection_state"] = "unknown"
    table.loc[[5, 9], "cell_division_state"] = "mitosis"
    table.loc[11, "organelle_state"] = "noremodel"
    table.loc[13, "cell_death_state"] = "alive"
    return table.assign(annotator="ada", annotation_date="2026-01-02", annotation_version="1")


def run(dataset, table, tmp_path, **values):
    file = tmp_path / "iohub.csv"
    table.to_csv(file, index=False)
    return annotate(dataset, parse("annotate", "iohub", {"path": str(file), **values}))


def given(table):
    """States by node, without blanks."""
    long = table.melt(["fov_name", "id"], [c for c in STATES if c in table], "task", "state")
    long = long.dropna()
    return set(long.itertuples(index=False, name=None))


def test_columns_and_states_of_napari_iohub_are_taken_over(fresh, tmp_path):
    table = iohub_table(fresh)
    found = run(fresh, table, tmp_path)
    expected = {entry for entry in given(table) if entry[3] != "unknown"}
    assert len(expected) == 6
    assert given(found) == expected
    assert set(found["annotator"]) == {"ada"}


def test_an_export_comes_back_the_same(fresh, tmp_path):
    found = run(fresh, iohub_table(fresh), tmp_path)
    target = tmp_path / "export.csv"
    exported = export_annotations(fresh, target)
    assert list(exported)[:9] == ["fov_name", *TRACK_COLUMNS]
    assert {"annotator", "date", "version"} <= set(exported)
    names = sorted(set(found["fov_name"]))
    assert sorted(set(exported["fov_name"])) == names
    assert len(exported) == sum(len(fresh.workspace.tracks(fresh[name])) for name in names)
    fresh.workspace.journal.unlink()
    again = annotate(fresh, parse("annotate", "iohub", {"path": str(target)}))
    assert given(again) == given(found)
    assert given(pd.read_csv(target)) == given(found)


def test_importing_again_adds_nothing(fresh, tmp_path):
    run(fresh, iohub_table(fresh), tmp_path)
    before = fresh.workspace.journal.read_bytes()
    run(fresh, iohub_table(fresh), tmp_path)
    assert fresh.workspace.journal.read_bytes() == before


def test_foreign_ids_are_matched_by_time_and_track(fresh, tmp_path):
    table = iohub_table(fresh)
    expected = {entry for entry in given(table) if entry[3] != "unknown"}
    assert given(run(fresh, table.assign(id=range(len(table))), tmp_path)) == expected


def test_a_table_without_ids_is_matched_by_time_and_track(fresh, tmp_path):
    """Row order says nothing: the annotated rows alone, shuffled."""
    table = iohub_table(fresh)
    expected = {entry for entry in given(table) if entry[3] != "unknown"}
    short = table.drop(columns=["id", "parent_id", "parent_track_id"]).dropna(
        subset=STATES, how="all"
    )
    short = short.sample(frac=1, random_state=1)
    assert given(run(fresh, short, tmp_path)) == expected


def test_blank_ids_are_matched_by_time_and_track(fresh, tmp_path):
    table = iohub_table(fresh)
    expected = {entry for entry in given(table) if entry[3] != "unknown"}
    short = table.dropna(subset=STATES, how="all").assign(id=float("nan"))
    assert given(run(fresh, short, tmp_path)) == expected


def test_rows_of_cells_that_are_gone_are_left_out(fresh, tmp_path):
    table = iohub_table(fresh)
    table.loc[5, "track_id"] = 99_999
    found = run(fresh, table.assign(id=range(len(table))), tmp_path)
    expected = {entry for entry in given(table.drop(index=5)) if entry[3] != "unknown"}
    assert given(found) == expected


def test_names_with_a_leading_slash_are_understood(fresh, tmp_path):
    table = iohub_table(fresh)
    found = run(fresh, table.assign(fov_name="/" + table["fov_name"]), tmp_path)
    assert len(given(found)) == 6


def test_the_name_given_is_used_where_the_table_has_none(fresh, tmp_path):
    table = iohub_table(fresh).drop(columns="annotator")
    assert set(run(fresh, table, tmp_path, annotator="grace")["annotator"]) == {"grace"}


def test_one_table_is_one_action_to_undo(fresh, tmp_path):
    run(fresh, iohub_table(fresh), tmp_path)
    journal = Journal(fresh.workspace.journal)
    assert len(journal.undo().marks) == 6
    assert journal.states() == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=STATES), "no column of states such as infection_state"),
        (lambda t: t.assign(**dict.fromkeys(STATES)), "None of the .* rows .* fits a tracked cell"),
        (lambda t: t.drop(columns="fov_name"), "no column fov_name, but the dataset has 4 FOVs"),
        (lambda t: t.drop(columns="track_id"), "lacks the column track_id"),
        (lambda t: t.assign(t="early"), "'t' is blank or no number"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "the same track_id and t stand there twice"),
        (lambda t: t.assign(fov_name="C/9/9"), "no FOV 'C/9/9'"),
    ],
)
def test_each_fault_of_a_table_is_one_line_and_nothing_is_recorded(
    fresh, tmp_path, change, message
):
    with pytest.raises(InvalidInput, match=message) as raised:
        run(fresh, change(iohub_table(fresh)), tmp_path)
    assert "\n" not in str(raised.value)
    assert not fresh.workspace.journal.exists()


def test_nothing_annotated_is_nothing_to_export(fresh, tmp_path):
    with pytest.raises(InvalidInput, match="nothing to export"):
        export_annotations(fresh, tmp_path / "a.csv")


def test_a_row_that_names_a_cell_of_ours_by_accident_is_not_taken(fresh, tmp_path):
    table = iohub_table(fresh)
    table[["y", "x"]] += 40  # another tool's tracks: the same numbers, other cells
    with pytest.raises(InvalidInput, match="fits a tracked cell"):
        run(fresh, table, tmp_path)
