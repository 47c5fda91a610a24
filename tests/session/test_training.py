from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from napari_dynaclr.core.job import Figures
from napari_dynaclr.session import Session
from napari_dynaclr.session.training import Kind, Training, kind_of, last_run, read_figures
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


def test_networks_are_told_apart_by_what_their_files_say(dataset):
    folder = dataset.workspace.path / "weights"
    folder.mkdir(parents=True)
    kinds = {
        "encoder": {"backbone": "convnext_tiny"},
        "stainer": {"stainer": {"kind": "unext2", "backbone": "convnextv2_tiny"}},
        "masked": {"stainer": {"kind": "fcmae", "pretraining": True}},
        "tracker": {"kind": "cellect"},
        "arrow": {"kind": "tap"},
    }
    for name, about in kinds.items():
        metadata = {"napari_dynaclr": json.dumps(about)}
        save_file({"a": np.zeros(1)}, folder / f"{name}.safetensors", metadata)
    (folder / "cut.safetensors").write_bytes(b"\xff" * 20)
    (folder / ".hidden.safetensors").touch()
    found = networks(dataset.workspace)
    stems = [[Path(one).stem for one in kind] for kind in astuple(found)]
    known = [["masked"], ["tracker"], ["arrow"]]
    assert stems == [["cut", "encoder"], ["cut", "stainer"], *known]
    assert kind_of(folder / "none.safetensors") is Kind.UNKNOWN


def test_only_the_newest_pictures_are_kept():
    training = Training(Path("somewhere"), "mine", 10)
    for epoch in (1, 2, 3):
        shown = {} if epoch == 3 else {"Phase": np.full((2, 2), epoch, np.float32)}
        training = training.plus(Figures(epoch, {"loss": 1.0}, shown))
    assert training.pictures["Phase"].max() == 2
    assert [dict(one.pictures) for one in training.figures] == [{}, {}, {}]
