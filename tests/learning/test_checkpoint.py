"""Files of weights, whichever network they are of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.learning.checkpoint import read_checkpoint, refuse_mismatch, save_weights


def test_weights_come_back_with_what_was_said_of_them(tmp_path):
    network = nn.Linear(3, 2)
    path = tmp_path / "network.safetensors"
    save_weights(path, network, {"kind": "line", "stem": [1, 2, 2]})
    found = read_checkpoint(path)
    assert found.about == {"kind": "line", "stem": [1, 2, 2]}
    assert found.hyper == {}
    assert all(torch.equal(found.state[name], one) for name, one in network.state_dict().items())


def test_hyper_parameters_of_lightning_are_told(tmp_path):
    path = tmp_path / "network.ckpt"
    state = {f"model.{name}": one for name, one in nn.Linear(3, 2).state_dict().items()}
    hyper = {"architecture": "fcmae", "model_config": {"in_channels": 1}}
    torch.save({"state_dict": state, "hyper_parameters": hyper}, path)
    found = read_checkpoint(path)
    assert found.hyper == hyper
    assert sorted(found.state) == ["bias", "weight"]


def test_other_weights_are_refused_by_the_first_that_differs(tmp_path):
    path = tmp_path / "other.ckpt"
    wanted = nn.Linear(3, 2).state_dict()
    with pytest.raises(InvalidInput, match=r"other\.ckpt is not a line: it lacks 'bias'\."):
        refuse_mismatch(path, "a line", wanted, {"weight": wanted["weight"]})
    with pytest.raises(InvalidInput, match="it also has 'slope' and 1 more"):
        refuse_mismatch(
            path, "a line", wanted, {**wanted, "slope": torch.ones(1), "x": torch.ones(1)}
        )
    with pytest.raises(InvalidInput, match="it has in another size 'weight'"):
        refuse_mismatch(path, "a line", wanted, {**wanted, "weight": torch.ones(3, 3)})
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        refuse_mismatch(path, "a line", wanted, {**wanted, "bias": torch.full((2,), torch.nan)})
