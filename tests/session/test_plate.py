from __future__ import annotations

import pytest

from napari_dynaclr import segment
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.journal import Journal, Mark
from napari_dynaclr.session.plate import STEPS, latest, plate_status

NAMES = ("A/1/0", "A/1/1", "B/1/0", "B/1/1")


def mark(fov, state="infected"):
    return Mark(fov, 1, 1, 0, 0.0, 0.0, 0.0, "infection", state)


def test_nothing_has_been_done_at_first(dataset):
    assert plate_status(dataset) == {name: set() for name in NAMES}
    assert not dataset.workspace.path.exists(), "looking writes nothing"


def test_a_step_shows_in_the_fovs_it_was_done_in(dataset):
    segment(dataset.select(["B/1/0"]))
    assert plate_status(dataset) == {
        "A/1/0": set(), "A/1/1": set(), "B/1/0": {"segmented"}, "B/1/1": set(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("result", "step"),
    [
        ("stain", "stained"),
        ("segmentation", "segmented"),
        ("tracks", "tracked"),
        ("embeddings.features", "embedded"),
        ("embeddings.dynaclr", "embedded"),
        ("projection.features.pca", "mapped"),
        ("predictions.infection", "predicted"),
    ],
)
def test_each_result_is_a_step_of_its_fov(dataset, result, step):
    dataset.workspace.mark_complete(result, dataset["A/1/1"], "key")
    assert plate_status(dataset) == {name: {step} if name == "A/1/1" else set() for name in NAMES}
    dataset.workspace.forget(result, dataset["A/1/1"])
    assert plate_status(dataset) == {name: set() for name in NAMES}


def test_a_plate_that_is_done(processed):
    everything = {"segmented", "tracked", "embedded", "mapped", "predicted", "annotated"}
    assert plate_status(processed) == dict.fromkeys(NAMES, everything)


def test_annotations_count_where_they_stand(dataset):
    journal = Journal(dataset.workspace.journal)
    journal.add([mark("A/1/0"), mark("B/1/1"), mark("Z/9/9")])
    status = plate_status(dataset)
    assert {name for name, done in status.items() if done == {"annotated"}} == {"A/1/0", "B/1/1"}
    assert list(status) == list(NAMES), "a FOV that is not of the plate is left out"
    journal.add([mark("A/1/0", "")])
    assert plate_status(dataset)["A/1/0"] == set()
    journal.undo()
    journal.undo()
    assert plate_status(dataset) == {name: set() for name in NAMES}


def test_a_selection_shows_its_own_fovs(processed):
    assert set(plate_status(processed.select(["B/*"]))) == {"B/1/0", "B/1/1"}


def test_strange_files_in_the_ledger_do_not_matter(dataset):
    dataset.workspace.mark_complete("tracks", dataset["A/1/0"], "key")
    ledger = dataset.workspace.path / "progress"
    (ledger / ".DS_Store").write_text("x")
    (ledger / "tracks" / ".DS_Store").write_text("x")
    (ledger / "tracks" / "A_1_1.json.tmp").write_text("x")
    (ledger / "tracks.zarr").write_text("a file in the place of a folder")
    (ledger / "no such result").mkdir()
    (ledger / "no such result" / "A_1_1.json").write_text("{}")
    assert plate_status(dataset) == {name: {"tracked"} if name == "A/1/0" else set()
                                     for name in NAMES}  # fmt: skip


def test_a_damaged_journal_is_told(dataset):
    dataset.workspace.path.mkdir()
    dataset.workspace.journal.write_text("{\n{}\n")
    with pytest.raises(InvalidInput, match="line 1 is damaged"):
        plate_status(dataset)


def test_the_step_a_fov_has_come_to():
    assert latest(set()) == ""
    assert latest({"tracked", "segmented"}) == "tracked"
    assert latest({"annotated", "stained"}) == "annotated"
    for i, step in enumerate(STEPS):
        assert latest(set(STEPS[: i + 1])) == step


def test_what_is_out_of_date_does_not_count(processed):
    processed.workspace.mark_complete("segmentation", processed["B/1/0"], "made anew")
    status = plate_status(processed)
    assert status["B/1/0"] == {"segmented", "annotated"}
    assert "predicted" in status["B/1/1"]
