from __future__ import annotations

import pandas as pd
import pytest
from boxes import FOV, begin, boxes, node

from napari_dynaclr import Job, correct, track
from napari_dynaclr.cli import main
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.tracking.correction.acting import CORRECTION_COLUMNS
from napari_dynaclr.tracking.correction.corrector import Corrector


def edit(dataset, action, *cells, **more):
    return correct(dataset, parse("correct", "edit", {"action": action, "cells": cells, **more}))


def tracks(dataset):
    return dataset.workspace.tracks(dataset.fovs[0])


def test_cells_are_named_by_id_or_by_track_and_time(movie):
    table = edit(movie, "cut", "1@3")
    assert list(table) == CORRECTION_COLUMNS
    assert table[["action", "id", "other_id"]].to_numpy().tolist() == [["cut", node(3, 1), -1]]
    edit(movie, "swap", str(node(2, 2)), "3@2")
    assert len(Corrector(movie, FOV).corrections) == 2
    assert tracks(movie)["track_id"].max() == 5


def test_a_cell_is_added_at_a_place(movie):
    table = edit(movie, "add", place="1, 30, 50", radius=3)
    assert table[["t", "z", "y", "x", "radius"]].to_numpy().tolist() == [[1, 0, 30, 50, 3]]
    assert len(tracks(movie)) == len(tracks(movie).drop_duplicates("id"))
    edit(movie, "undo")
    assert not Corrector(movie, FOV).corrections
    edit(movie, "redo")
    assert node(1, 4) in set(tracks(movie)["id"])


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"action": "cut", "cells": ["1@0"]}, "nothing before it"),
        ({"action": "cut", "cells": ["1@9"]}, "Track 1 has no cell at t=9"),
        ({"action": "cut", "cells": ["one"]}, "'one' names no cell: write its id, or track@t"),
        ({"action": "cut"}, "'cut' takes 1 cell, each as its id or as track@t: 0 given"),
        ({"action": "divide", "cells": ["1@0", "2@2"]}, "'divide' takes 3 cells"),
        ({"action": "add", "cells": []}, "'add' needs a place"),
        ({"action": "add", "place": "1,2"}, "place = '1,2': write t, y, x"),
        ({"action": "cut", "cells": ["1@3"], "place": "1,2,3"}, "'cut' takes no place"),
        ({"action": "accept", "cells": ["1@3"]}, "'accept' needs the kind"),
    ],
)
def test_what_cannot_be_done_is_one_line(movie, given, line):
    with pytest.raises(InvalidInput, match=line) as caught:
        correct(movie, parse("correct", "edit", given))
    assert "\n" not in str(caught.value)
    assert not movie.workspace.corrections.exists()
    assert movie.workspace.runs()[-1]["status"] == "failed"


def test_an_action_on_several_fovs_is_refused(make_plate):
    dataset = begin(make_plate, boxes(), ("A/1/0", "A/1/1"))
    with pytest.raises(InvalidInput, match="2 are chosen: name one with --fov"):
        edit(dataset, "cut", "1@3")
    edit(dataset.select(["A/1/1"]), "cut", "1@3")
    table = correct(dataset)
    assert table["fov_name"].tolist() == ["A/1/1"]


def test_by_default_what_was_done_in_the_viewer_is_written(movie):
    Corrector(movie, FOV).cut(node(3, 1))
    with pytest.raises(MissingInput) as caught:
        tracks(movie)
    assert caught.value.made_by == "correct"
    assert len(correct(movie)) == 1
    assert tracks(movie)["track_id"].max() == 5


def test_a_table_is_done_in_order_and_a_second_time_changes_nothing(movie, tmp_path):
    path = tmp_path / "actions.csv"
    path.write_text(
        "action,id,other_id,third_id,t,y,x,radius,replace\n"
        "swap,1@2,2@2,,,,,,\n"
        "cut,3@4,,,,,,,\n"
        "add,,,,1,30,50,3,\n"
        "link,1@1,1@3,,,,,,true\n"
    )
    first = correct(movie, parse("correct", "table", {"path": str(path)}))
    assert first["action"].tolist() == ["swap", "cut", "add", "link"]
    journal = movie.workspace.corrections.read_bytes()
    table = tracks(movie)
    again = correct(movie, parse("correct", "table", {"path": str(path)}))
    pd.testing.assert_frame_equal(again, first)
    assert movie.workspace.corrections.read_bytes() == journal
    # What is listed can be taken over elsewhere.
    listed = tmp_path / "listed.csv"
    first.to_csv(listed, index=False)
    corrector = Corrector(movie, FOV)
    while corrector.undo():
        pass
    correct(movie, parse("correct", "table", {"path": str(listed)}))
    columns = ["t", "y", "x", "track_id", "parent_track_id"]
    pd.testing.assert_frame_equal(tracks(movie)[columns], table[columns])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("act\ncut\n", "lacks the column action"),
        ("action\n", "has no rows"),
        ("action,id\ncut,1@3\nfly,1@2\n", "row 2: there is no action 'fly': choose of cut, link"),
        ("action,t,y,x\nadd,1,,4\n", "row 1: 'y' is blank or no number"),
        ("action,id,fov_name\ncut,1@3,Z/9/9\n", "has no FOV 'Z/9/9'"),
        ("action,id\ncut,1@3\ncut,1@0\n", "row 2: Track 1 at t=0 has nothing before it"),
    ],
)
def test_faults_of_a_table_are_named_with_their_row(movie, tmp_path, text, line):
    path = tmp_path / "actions.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=line) as caught:
        correct(movie, parse("correct", "table", {"path": str(path)}))
    assert "\n" not in str(caught.value)
    done = len(Corrector(movie, FOV).corrections)
    assert done == (1 if line.startswith("row 2: Track") else 0)


def test_a_file_that_is_not_there_is_one_line(movie, tmp_path):
    with pytest.raises(InvalidInput, match="is no file: check the path of the table of actions"):
        correct(movie, parse("correct", "table", {"path": str(tmp_path / "none.csv")}))


def test_an_action_that_is_done_already_is_noted(movie):
    edit(movie, "cut", "1@3")
    edit(movie, "cut", "2@3")
    notes = []
    job = Job()
    job.note = notes.append
    given = {"action": "cut", "cells": [str(node(3, 1))]}
    correct(movie, parse("correct", "edit", given), job)
    assert "done already: cut track 1 at t=3" in notes
    given = {"action": "cut", "cells": ["1@1"]}
    correct(movie, parse("correct", "edit", given), job)
    assert "cut track 1 at t=1" in notes
    assert len(Corrector(movie, FOV).corrections) == 3


def test_the_command_line_lists_and_does(movie, capsys):
    arguments = [str(movie.root), "--workspace", str(movie.workspace.path)]
    for more in (
        ["--method", "suspects"],
        ["--method", "edit", "--action", "link", "--cells", "1@2", "--cells", "2@4", "--replace"],
        [],
    ):
        with pytest.raises(SystemExit) as left:
            main(["correct", *arguments, *more])
        assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "appears inside the field" in shown
    assert "link" in shown
    assert movie.workspace.evaluation("suspects").exists()


def test_without_tracks_it_names_the_stage_to_run(dataset):
    with pytest.raises(MissingInput, match="run 'track' first"):
        correct(dataset)


def test_new_tracks_are_not_corrected_unasked(movie):
    edit(movie, "delete_track", "1@3")
    table = track(movie, parse("track", "laptrack", {}))
    assert len(table) == len(tracks(movie))
    assert correct(movie).empty


def noted(dataset, action, *cells):
    notes, job = [], Job()
    job.note = notes.append
    correct(dataset, parse("correct", "edit", {"action": action, "cells": cells}), job)
    return [note for note in notes if "done already" in note]


def test_a_command_that_is_repeated_says_that_it_was_done(movie):
    assert not noted(movie, "swap", "1@2", "2@2")
    expected = tracks(movie)
    for cells in (("1@2", "2@2"), (str(node(2, 1)), str(node(2, 2)))):
        assert noted(movie, "swap", *cells) == ["done already: swap track 1 at t=2, track 2 at t=2"]
    pd.testing.assert_frame_equal(tracks(movie), expected)


def test_a_track_number_means_the_cell_that_has_it_now(movie):
    """After the swap 1@3 is another cell than the one before which was cut."""
    edit(movie, "cut", "1@3")
    edit(movie, "link", str(node(2, 1)), str(node(3, 2)), replace=True)
    assert Corrector(movie, FOV).lineages.node(1, 3) == node(3, 2)
    assert not noted(movie, "cut", "1@3")
    assert [one.correction.places[0].id for one in Corrector(movie, FOV).corrections] == [
        node(3, 1), node(2, 1), node(3, 2),
    ]  # fmt: skip


def test_a_table_that_was_killed_goes_on_where_it_was(movie, tmp_path):
    edit(movie, "swap", "1@2", "2@2")
    path = tmp_path / "actions.csv"
    path.write_text("action,id,other_id\nswap,1@2,2@2\ncut,3@4,\n")
    table = correct(movie, parse("correct", "table", {"path": str(path)}))
    assert table["action"].tolist() == ["swap", "cut"]
