from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import annotate, classify, embed, params, segment, track
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.journal import Journal


@pytest.fixture
def marked(processed, tmp_path):
    """Every cell of one time point of one FOV annotated, and nothing else."""
    processed.workspace.journal.unlink()
    nodes = processed.workspace.tracks(processed["B/1/0"]).query("t == 4")
    points = nodes[["t", "y", "x"]].assign(fov_name="B/1/0", state="infected")
    points.to_csv(tmp_path / "all.csv", index=False)
    return processed, params("annotate", path=str(tmp_path / "all.csv")), points


def test_marks_stay_with_their_cells_when_segmentation_numbers_them_anew(marked):
    dataset, points, clicked = marked
    annotate(dataset, points)
    segment(dataset, params("segment", sensitivity=1.3))
    track(dataset)
    found = current_annotations(dataset)
    assert len(found) == len(clicked)
    places = found[["y", "x"]].to_numpy()
    distance = np.linalg.norm(places[:, None] - clicked[["y", "x"]].to_numpy()[None], axis=2)
    assert distance.min(axis=1).max() < 5, "each where it was clicked"
    annotate(dataset, points)
    assert len(current_annotations(dataset)) == len(clicked), "and none twice"


def test_an_embedding_of_older_tracks_is_refused(processed):
    segment(processed, params("segment", sensitivity=1.3))
    with pytest.raises(MissingInput, match=r"Out of date.*Run 'track' again"):
        embed(processed)
    track(processed)
    with pytest.raises(MissingInput, match=r"Out of date.*Run 'embed' again"):
        classify(processed)


def test_a_selection_leaves_the_tables_of_the_others_whole(processed, tmp_path):
    before = pd.read_csv(processed.workspace.predictions("infection"))
    one = processed.select(["A/1/0"])
    table = classify(one)
    assert set(table["fov_name"]) == {"A/1/0"}
    after = pd.read_csv(processed.workspace.predictions("infection"))
    pd.testing.assert_frame_equal(after, before)
    whole = current_annotations(processed)
    pd.testing.assert_frame_equal(current_annotations(one), whole)


def test_two_processes_may_undo_the_same_click(marked):
    dataset, points, _ = marked
    annotate(dataset, points)
    one, other = Journal(dataset.workspace.journal), Journal(dataset.workspace.journal)
    one.undo()
    other.undo()
    assert Journal(dataset.workspace.journal).states() == {}
    one.redo()
    assert len(Journal(dataset.workspace.journal).states()) > 0


def test_work_on_the_same_fov_at_once_is_refused(processed):
    with (
        processed.workspace.claim("segmentation", processed.fovs[0]),
        pytest.raises(InvalidInput, match="Another process is working"),
    ):
        segment(processed, params("segment", sensitivity=1.3))
