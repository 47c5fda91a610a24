"""The folder that the public TAP code keeps a network in: read and written without its pickle.

``model_kwargs.yaml`` says what the network is, ``model_state.pt`` holds its weights.
``model_full.pt`` beside them is a pickle of the whole program, and never opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import yaml

from napari_dynaclr.core.atomic import remove, replace_folder
from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.embedding.tap.architecture import FRAMES, TapConfig
from napari_dynaclr.embedding.tap.network import TimeArrowNet
from napari_dynaclr.embedding.tap.source import KWARGS, STATE, state_file
from napari_dynaclr.learning.checkpoint import read_checkpoint, refuse_mismatch

if TYPE_CHECKING:
    from pathlib import Path

_MAPS = {"unet": 32, "unet_16fmaps": 16}
"""Backbones of the public code that are U-Nets of the paper's kind, and their width."""
_ALWAYS: dict[str, Any] = {
    "projection_head": "minimal_batchnorm",
    "classification_head": "minimal",
    "symmetric": True,
    "n_frames": FRAMES,
    "n_input_channels": 1,
}
"""What else the public code lets one choose, and what of it the paper has chosen."""
_DEFAULTS = {**_ALWAYS, "symmetric": False, "backbone": "unet", "n_features": 16}
"""What the public code takes for what is not said."""


def load_folder(path: Path) -> TimeArrowNet:
    """Read a network that the public code has saved, or :func:`save_folder`.

    Parameters
    ----------
    path
        The folder, or the file with the weights in it.

    Returns
    -------
    TimeArrowNet
        In eval mode, on the CPU.

    Raises
    ------
    InvalidInput
        If a file is missing or cannot be read, or the network is another one than the paper's.
    """
    weights = state_file(path)
    config = _config(weights.with_name(KWARGS))
    network = TimeArrowNet(config)
    state = read_checkpoint(weights).state
    refuse_mismatch(weights, config.describe(), network.state_dict(), state)
    network.load_state_dict(state, strict=True)
    network.eval()
    return network


def _config(file: Path) -> TapConfig:
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        said = None
    if not isinstance(said, dict):
        raise InvalidInput(f"{file} is no table of settings: get the folder again.")
    known = {**_DEFAULTS, **said}
    for name, wanted in _ALWAYS.items():
        if known[name] != wanted:
            raise InvalidInput(
                f"{file.parent} holds a TAP network with {name} {known[name]}: only the paper's "
                f"({name} {wanted}) can be used here."
            )
    if known["backbone"] not in _MAPS:
        raise InvalidInput(
            f"{file.parent} holds a TAP network with the backbone {known['backbone']}: only "
            f"{' and '.join(_MAPS)} can be used here."
        )
    features = known["n_features"]
    if not isinstance(features, int):
        raise InvalidInput(f"{file} says something wrong about n_features: get the folder again.")
    return TapConfig(features=features, maps=_MAPS[known["backbone"]])


def save_folder(path: Path, network: TimeArrowNet) -> None:
    """Write a network so that the public code opens it.

    There, ``TimeArrowNet.from_folder(path, from_state_dict=True)`` loads it.

    Parameters
    ----------
    path
        Folder to make.
    network
        The network.

    Raises
    ------
    InvalidInput
        If there is something of that name already, or the public code has no such network.
    """
    config = network.config
    backbones = [name for name, maps in _MAPS.items() if maps == config.maps]
    if not backbones or config != TapConfig(features=config.features, maps=config.maps):
        raise InvalidInput(
            f"The public TAP code has no such network ({config.describe()}): it knows those with "
            f"{' or '.join(str(maps) for maps in _MAPS.values())} maps, 3 levels down, of one "
            "channel."
        )
    if path.exists():
        raise InvalidInput(f"{path} exists already: choose another name or delete it.")
    said = {"backbone": backbones[0], "n_features": config.features, **_ALWAYS}
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    unfinished = path.with_name(f".{path.name}.new")
    with storage_errors(f"write {path}"):
        remove(unfinished)
        try:
            unfinished.mkdir(parents=True)
            (unfinished / KWARGS).write_text(yaml.safe_dump(said), encoding="utf-8")
            torch.save(state, unfinished / STATE)
            replace_folder(unfinished, path)
        finally:
            remove(unfinished)
