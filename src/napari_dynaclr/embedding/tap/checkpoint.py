"""A TAP network from a file or folder, and to a file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.tap.architecture import TapConfig
from napari_dynaclr.embedding.tap.folder import load_folder
from napari_dynaclr.embedding.tap.network import TimeArrowNet
from napari_dynaclr.embedding.tap.recipe import TapRecipe
from napari_dynaclr.embedding.tap.source import KIND, is_public, not_tap
from napari_dynaclr.learning.checkpoint import read_checkpoint, refuse_mismatch, save_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class LoadedTap:
    """A TAP network with its weights.

    Attributes
    ----------
    network
        In eval mode, on the CPU.
    recipe
        What its images have to be like.
    about
        See :class:`~napari_dynaclr.learning.checkpoint.Checkpoint`.
    told
        What the user should know, a sentence each.
    """

    network: TimeArrowNet
    recipe: TapRecipe = field(default_factory=TapRecipe)
    about: Mapping[str, Any] = field(default_factory=dict)
    told: tuple[str, ...] = ()


def load_tap(path: Path) -> LoadedTap:
    """Build the TAP network that a file or folder holds.

    Parameters
    ----------
    path
        ``.safetensors`` of this project, or a folder of the public code's (or the file with
        the weights in it), see :mod:`~napari_dynaclr.embedding.tap.folder`.

    Raises
    ------
    InvalidInput
        If it cannot be read, or holds another network.
    """
    if is_public(path):
        network = load_folder(path)
        told: tuple[str, ...] = (
            f"{path}: {network.config.describe()}, of the public code.",
            "Such weights do not say what they were trained on: choose the channel and how far "
            "apart the frames of a pair are as there.",
        )
        return LoadedTap(network, told=told)
    checkpoint = read_checkpoint(path)
    if checkpoint.about.get("kind") != KIND:
        raise not_tap(path)
    config = _said_config(path, checkpoint.about)
    network = TimeArrowNet(config)
    refuse_mismatch(path, config.describe(), network.state_dict(), checkpoint.state)
    network.load_state_dict(checkpoint.state, strict=True)
    told = (f"{path.name}: {config.describe()}.",)
    recipe = TapRecipe.of(checkpoint.about, str(path))
    return LoadedTap(network.eval(), recipe, checkpoint.about, told)


def _said_config(path: Path, about: Mapping[str, Any]) -> TapConfig:
    names = {one.name for one in fields(TapConfig)}
    try:
        return TapConfig(**{name: value for name, value in about.items() if name in names})
    except TypeError:
        raise InvalidInput(
            f"{path} does not say properly which network it holds: save it again."
        ) from None


def save_tap(path: Path, network: TimeArrowNet, about: Mapping[str, Any] | None = None) -> None:
    """Save a TAP network as safetensors, with what is needed to use it.

    Parameters
    ----------
    path
        File to write, atomically.
    network
        The network.
    about
        What else to say of it: the fields of
        :class:`~napari_dynaclr.embedding.tap.recipe.TapRecipe`, and how it was trained.
    """
    save_weights(path, network, {**(about or {}), "kind": KIND, **asdict(network.config)})
