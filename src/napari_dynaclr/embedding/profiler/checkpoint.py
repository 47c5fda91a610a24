"""A profiler from a file of weights, and to one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.profiler.architecture import ProfilerConfig
from napari_dynaclr.embedding.profiler.network import ProfilerNet
from napari_dynaclr.embedding.profiler.recipe import ProfilerRecipe
from napari_dynaclr.learning.checkpoint import read_checkpoint, refuse_mismatch, save_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NETWORK = "sslprofiler"


@dataclass(frozen=True)
class LoadedProfiler:
    """A profiler with its weights.

    Attributes
    ----------
    network
        Ready, on the CPU.
    recipe
        What its images have to be like.
    """

    network: ProfilerNet
    recipe: ProfilerRecipe


def load_profiler(path: Path) -> LoadedProfiler:
    """Build the profiler that a file holds.

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
    about = checkpoint.about
    if about.get("network") != _NETWORK:
        raise InvalidInput(
            f"{path} holds no profiler: choose weights that 'train' made with the method profiler."
        )
    names = {one.name for one in fields(ProfilerConfig)}
    try:
        config = ProfilerConfig(**{name: about[name] for name in names})
    except (KeyError, TypeError):
        raise InvalidInput(
            f"{path} does not say properly which profiler it holds: save it again."
        ) from None
    recipe = ProfilerRecipe.of(about, str(path))
    if None in (recipe.source_channels, recipe.unit, recipe.normalization):
        raise InvalidInput(f"{path} does not say what images it takes: save it again.")
    network = ProfilerNet(config)
    refuse_mismatch(path, config.describe(), network.state_dict(), checkpoint.state)
    network.load_state_dict(checkpoint.state, strict=True)
    return LoadedProfiler(network.eval(), recipe)


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
    known = {"network": _NETWORK, **asdict(network.config), **recipe.model_dump(mode="json")}
    save_weights(path, network, {**known, **(about or {})})
