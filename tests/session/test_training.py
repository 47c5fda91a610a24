from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from napari_dynaclr.core.job import Figures
from napari_dynaclr.session import Session
from napari_dynaclr.session.training import Training, last_run, read_figures
from napari_dynaclr.session.training import trained as networks


def trained(first, last, **more):
    training = Training(Path("somewhere"), "mine", 10, **more)
    for epoch in range(first, last + 1):
        training = training.plus(Figures(epoch, {"loss": 1 / epoch}))
    return training


def test_a_table_has_a_row_per_epoch():
    table = trained(1, 3).table()
    assert list(table["epoch"]) == [1, 2, 3]
    assert list(table["loss"]) == pytest.approx([1, 1 / 2, 1 / 3])
    assert Training(Path("somewhere"), "mine").table().empty


def test_one_that_goes_on_has_the_epochs_before_it_too():
    earlier = pd.DataFrame({"epoch": [1, 2, 3, 4], "loss": [9.0, 8.0, 7.0, 6.0]})
    # The fourth was not finished when it was stopped, and has been done again.
    table = trained(4, 5, earlier=earlier).table()
    assert list(table["epoch"]) == [1, 2, 3, 4, 5]
    assert list(table["loss"]) == pytest.approx([9, 8, 7, 1 / 4, 1 / 5])


def test_one_that_starts_anew_has_nothing_of_an_earlier_one():
    earlier = pd.DataFrame({"epoch": [1, 2, 3], "loss": [9.0, 8.0, 7.0]})
    assert list(trained(1, 1, earlier=earlier).table()["loss"]) == [1]
    assert trained(1, 0, earlier=earlier).table().empty


def test_views_are_told_of_a_training():
    session, heard = Session(), []
    session.training_changed.connect(lambda: heard.append(session.training))
    session.set_training(trained(1, 2))
    assert [one.name for one in heard] == ["mine"]


def test_figures_and_encoders_are_found_in_the_workspace(dataset):
    workspace = dataset.workspace
    assert networks(workspace).encoders == ()
    assert read_figures(workspace, "mine") is None
    assert last_run(workspace) == ("", False, "")
    folder = workspace.path / "weights" / "mine"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("epoch,loss\n1,0.5\n")
    for name in ("b", "a"):
        (folder.parent / f"{name}.safetensors").touch()
    assert [Path(one).stem for one in networks(workspace).encoders] == ["a", "b"]
    assert read_figures(workspace, "mine").to_dict("list") == {"epoch": [1], "loss": [0.5]}


@pytest.mark.parametrize("text", ["", "epoch\n", "loss\n1\n", "\0\n"])
def test_a_damaged_table_is_none(dataset, text):
    file = dataset.workspace.path / "weights" / "mine" / "metrics.csv"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert read_figures(dataset.workspace, "mine") is None


def test_the_last_run_is_the_last_training(dataset):
    workspace = dataset.workspace
    workspace.prepare(dataset.channels)
    for stage, name, status in (
        ("train", "first", "finished"),
        ("train", "second", "cancelled"),
        ("embed", "third", "finished"),
    ):
        entry = {"stage": stage, "method": "fcmae", "params": {"name": name}, "status": status}
        workspace.record(entry)
    assert last_run(workspace) == ("second", False, "fcmae")
