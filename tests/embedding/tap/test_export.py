"""Networks of ours for users of the public TAP code."""

from __future__ import annotations

import pytest
import torch
from commands import succeed

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.tap.checkpoint import save_tap
from napari_dynaclr.embedding.tap.export import export_weights
from napari_dynaclr.embedding.tap.folder import load_folder
from napari_dynaclr.learning.checkpoint import save_weights


@pytest.fixture
def trained(dataset, arrow):
    network = arrow(maps=16, features=16)
    dataset.workspace.prepare(dataset.channels)
    save_tap(dataset.workspace.trained("divisions"), network, {"source_channel": "Nuclei"})
    return network


def test_a_network_is_exported_by_its_name_or_file(dataset, trained, tmp_path):
    export_weights(dataset, tmp_path / "a", "divisions")
    export_weights(dataset, tmp_path / "b", str(dataset.workspace.trained("divisions")))
    export_weights(dataset, tmp_path / "c", str(tmp_path / "b"))
    for name in "abc":
        state = load_folder(tmp_path / name).state_dict()
        assert all(torch.equal(value, state[key]) for key, value in trained.state_dict().items())


def test_the_command_line_does_it_too(dataset, trained, tmp_path):
    where = ("--workspace", dataset.workspace.path, "--network", "divisions")
    ran = succeed("export", dataset.root, "weights", tmp_path / "out", *where)
    assert ran.out == f"export: wrote {tmp_path / 'out'}\n"
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "model_kwargs.yaml",
        "model_state.pt",
    ]


def test_what_cannot_be_exported_is_said_in_one_line(dataset, trained, tmp_path):
    with pytest.raises(InvalidInput, match="no network 'mine': there are divisions; a path"):
        export_weights(dataset, tmp_path / "out", "mine")
    save_weights(dataset.workspace.trained("encoder"), trained, {"backbone": "convnext_tiny"})
    with pytest.raises(InvalidInput, match="is no TAP network"):
        export_weights(dataset, tmp_path / "out", "encoder")
    assert not (tmp_path / "out").exists()
