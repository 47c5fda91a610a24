"""A CELLECT model from files of weights, and to one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.learning.checkpoint import (
    Checkpoint,
    read_checkpoint,
    refuse_mismatch,
    save_weights,
)
from napari_dynaclr.tracking.cellect import published
from napari_dynaclr.tracking.cellect.architecture import CellectConfig, Downsampling
from napari_dynaclr.tracking.cellect.model import Cellect
from napari_dynaclr.tracking.cellect.recipe import PUBLISHED, Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

_KIND = "cellect"


@dataclass(frozen=True)
class LoadedCellect:
    """A model with its weights.

    Attributes
    ----------
    model
        Ready to use, on the CPU.
    recipe
        What its images have to be like.
    told
        What the user should know, a sentence each.
    """

    model: Cellect
    recipe: Recipe
    told: tuple[str, ...]


def load_cellect(path: Path) -> LoadedCellect:
    """Build the model that a file, or three published ones, hold the weights of.

    Parameters
    ----------
    path
        ``.safetensors`` of this project, or the network ("U-ext...pth") of a published model,
        whose MLPs lie beside it under the names they were published with.

    Raises
    ------
    InvalidInput
        If a file cannot be read, holds another network, or is missing.
    """
    checkpoint = read_checkpoint(path)
    downsampling = published.layout(checkpoint.state)
    if downsampling is not None:
        return _load_published(path, checkpoint, downsampling)
    if checkpoint.about.get("kind") != _KIND:
        hint = (
            "it is an MLP of a published model, name its network (U-ext...) instead"
            if published.is_mlp(checkpoint.state)
            else "choose a model of 'train cellect', or a published network (U-ext...)"
        )
        raise InvalidInput(f"{path} is no CELLECT model: {hint}.")
    config = _said_config(path, checkpoint.about)
    model = _filled(path, config, checkpoint.state)
    recipe = Recipe.of(checkpoint.about, str(path))
    return LoadedCellect(model, recipe, (f"{path.name}: {config.describe()}.",))


def _said_config(path: Path, about: Mapping[str, Any]) -> CellectConfig:
    names = {one.name for one in fields(CellectConfig)}
    try:
        return CellectConfig(**{name: value for name, value in about.items() if name in names})
    except TypeError:
        raise InvalidInput(
            f"{path} does not say properly which network it holds: save it again."
        ) from None


def _filled(path: Path, config: CellectConfig, state: Mapping[str, Tensor]) -> Cellect:
    model = Cellect(config)
    refuse_mismatch(path, config.describe(), model.state_dict(), state)
    model.load_state_dict(dict(state), strict=True)
    model.eval()
    return model


def _load_published(path: Path, network: Checkpoint, downsampling: Downsampling) -> LoadedCellect:
    config = published.config(downsampling)
    files = published.beside(path)
    missing = [file.name for file in files.values() if not file.is_file()]
    if missing or not files:
        wanted = " and ".join(missing) or "EX... and EN... (and it U-ext...)"
        raise InvalidInput(
            f"{path} is CELLECT's network alone: put its MLPs beside it, named as published "
            f"({wanted})."
        )
    state: dict[str, Tensor] = published.rename_network(network.state, downsampling)
    for ours, file in files.items():
        found = read_checkpoint(file).state
        if not published.is_mlp(found):
            raise InvalidInput(f"{file} is no MLP of CELLECT: get it again from where it came.")
        state |= published.rename_mlp(found, ours)
    told = (
        f"{path.name}: published weights of CELLECT, {downsampling}; three files, all weights "
        "found by name and size.",
        "They do not say at which voxel size they were trained: set the cell diameter.",
    )
    return LoadedCellect(_filled(path, config, state), PUBLISHED, told)


def save_cellect(path: Path, model: Cellect, about: Mapping[str, Any] | None = None) -> None:
    """Save a model as safetensors, with what is needed to use it.

    Parameters
    ----------
    path
        File to write, atomically.
    model
        The model.
    about
        What else to say of it: the fields of
        :class:`~napari_dynaclr.tracking.cellect.recipe.Recipe`, and how it was trained.
    """
    save_weights(path, model, {**(about or {}), "kind": _KIND, **asdict(model.config)})
