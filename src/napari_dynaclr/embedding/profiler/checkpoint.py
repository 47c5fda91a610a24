"""A profiler from a file of weights, and to one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_dynaclr.embedding.profiler.network import ProfilerNet
from napari_dynaclr.embedding.profiler.recipe import NETWORK, ProfilerRecipe, take_description
from napari_dynaclr.learning.checkpoint import read_checkpoint, refuse_mismatch, save_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_EVENNESS = ("mean", "deviation")


def load_profiler(path: Path) -> tuple[ProfilerNet, ProfilerRecipe]:
    """Build the profiler that a file holds, on the CPU, and say what its images have to be like.

    Parameters
    ----------
    path
        Written by :func:`save_profiler`: the paper has published no weights.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or holds another network.
    """
    checkpoint = read_checkpoint(path)
    config, recipe = take_description(checkpoint.about, path)
    network = ProfilerNet(config)
    # Profilers of the first days took channels as they are, which is what a new network does.
    as_they_are = {name: one for name, one in network.named_buffers() if name in _EVENNESS}
    state = as_they_are | checkpoint.state
    refuse_mismatch(path, config.describe(), network.state_dict(), state)
    network.load_state_dict(state, strict=True)
    return network.eval(), recipe


def save_profiler(
    path: Path,
    network: ProfilerNet,
    recipe: ProfilerRecipe,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Save a profiler as safetensors, with what is needed to use it.

    Parameters
    ----------
    path
        File to write, atomically.
    network
        The network: of a training, that of the teacher.
    recipe
        What its images have to be like.
    about
        What else to say of it.
    """
    known = {"network": NETWORK, **asdict(network.config), **recipe.model_dump(mode="json")}
    save_weights(path, network, {**known, **(about or {})})
