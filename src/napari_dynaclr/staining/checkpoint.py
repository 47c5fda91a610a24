"""Networks for virtual staining, and the files of their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.learning.checkpoint import (
    Checkpoint,
    read_checkpoint,
    refuse_mismatch,
    save_weights,
)
from napari_dynaclr.staining.architecture import StainerConfig
from napari_dynaclr.staining.network import build
from napari_dynaclr.staining.shapes import infer_config, recognise
from napari_dynaclr.staining.viscy import config_of, translate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from napari_dynaclr.staining.blocks import Stainer

_SHAPE = "stainer"
"""What a file of this project says its network's shape under."""


@dataclass(frozen=True)
class LoadedStainer:
    """A network for virtual staining with its weights.

    Attributes
    ----------
    network
        Ready to stain, on the CPU; its shape is ``network.config``.
    told
        What was inferred, a sentence each, for the user.
    about
        What a file of this project says of itself, such as the fields of
        :class:`~napari_dynaclr.staining.recipe.Recipe`; empty for others.
    """

    network: Stainer
    told: list[str]
    about: dict[str, Any]


@dataclass(frozen=True)
class PretrainedEncoder:
    """The encoder of a network, for the training of another.

    Attributes
    ----------
    state
        Its weights, by their names in the whole network: give them to a network's
        ``load_state_dict(..., strict=False)``.
    config
        Shape of the network that it was part of.
    told
        What was inferred, a sentence each, for the user.
    about
        See :class:`LoadedStainer`.
    """

    state: dict[str, Tensor]
    config: StainerConfig
    told: list[str]
    about: dict[str, Any]


def load_stainer(path: Path, known: Mapping[str, Any] | None = None) -> LoadedStainer:
    """Build the network that a file holds the weights of, for staining.

    Parameters
    ----------
    path
        See :func:`~napari_dynaclr.learning.checkpoint.read_checkpoint`.
    known
        What is known of the network, under the names of viscy-models' arguments, such as
        a preset's settings. Used for files that do not say it themselves, and only for
        what does not show in the weights.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or holds another network, or one that was
        pre-trained only and stains nothing.
    """
    loaded = load_network(path, known)
    if loaded.network.config.pretraining:
        raise InvalidInput(
            f"{path} is a pre-trained encoder, which fills in what is hidden of an image and "
            "stains nothing: train a stainer that starts from it, or choose another checkpoint."
        )
    return loaded


def load_pretrained(path: Path) -> PretrainedEncoder:
    """Take the encoder out of a file, be it of a pre-training or of a stainer.

    Parameters
    ----------
    path
        See :func:`load_stainer`.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or holds another network.
    """
    loaded = load_network(path)
    network = loaded.network
    return PretrainedEncoder(network.encoder_state(), network.config, loaded.told, loaded.about)


def load_network(path: Path, known: Mapping[str, Any] | None = None) -> LoadedStainer:
    """Build the network that a file holds the weights of, whatever it was trained for.

    Parameters
    ----------
    path, known
        See :func:`load_stainer`.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or holds another network.
    """
    checkpoint = read_checkpoint(path)
    config, told = _config(path, checkpoint, known or {})
    network = build(config)
    refuse_mismatch(path, f"what it should be ({config.describe()})", network.state_dict(),
                    checkpoint.state)  # fmt: skip
    network.load_state_dict(checkpoint.state, strict=True)
    about = {name: value for name, value in checkpoint.about.items() if name != _SHAPE}
    return LoadedStainer(network.eval(), told, about)


def save_stainer(path: Path, network: Stainer, about: Mapping[str, Any] | None = None) -> None:
    """Save a network as safetensors, with what is needed to use it.

    viscy-models loads the weights as they are.

    Parameters
    ----------
    path
        File to write, atomically.
    network
        The network, a stainer or in pre-training.
    about
        What else to say of it: the fields of
        :class:`~napari_dynaclr.staining.recipe.Recipe`, as plain values.
    """
    save_weights(path, network, {**(about or {}), _SHAPE: network.config.to_dict()})


def _config(
    path: Path, checkpoint: Checkpoint, known: Mapping[str, Any]
) -> tuple[StainerConfig, list[str]]:
    """Settle the shape of a file's network: what it says itself, else what its weights show."""
    said = checkpoint.about.get(_SHAPE)
    if isinstance(said, dict):
        config = StainerConfig.from_dict(said, str(path))
        return config, [f"The weights say of themselves: {config.describe()}."]
    arguments = checkpoint.hyper.get("model_config")
    architecture = checkpoint.hyper.get("architecture")
    if architecture is None and isinstance(arguments, dict):
        architecture = recognise(_shapes(checkpoint), str(path))
    if isinstance(architecture, str) and isinstance(arguments, dict):
        config = config_of(architecture, arguments, str(path))
        return config, [f"The checkpoint says of itself: {config.describe()}."]
    kind = recognise(_shapes(checkpoint), str(path))
    fields = translate(kind, known)
    config, told = infer_config(_shapes(checkpoint), str(path), fields)
    # A stainer gives other channels than it takes; a file of weights alone says no more.
    if (
        kind == "fcmae"
        and "pretraining" not in fields
        and config.out_channels == config.in_channels
    ):
        config = replace(config, pretraining=True)
    return config, told


def _shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in checkpoint.state.items()}
