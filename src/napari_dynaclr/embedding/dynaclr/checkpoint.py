"""An encoder from a file of weights, and to one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder
from napari_dynaclr.embedding.dynaclr.shapes import infer_config
from napari_dynaclr.learning.checkpoint import read_checkpoint, refuse_mismatch, save_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder with its weights.

    Attributes
    ----------
    network
        Ready to embed, on the CPU.
    told
        What was inferred, a sentence each, for the user.
    about
        See :class:`~napari_dynaclr.learning.checkpoint.Checkpoint`.
    """

    network: ContrastiveEncoder
    told: list[str]
    about: dict[str, Any]


def load_encoder(path: Path, depth: int | None = None) -> LoadedEncoder:
    """Build the encoder that a file holds the weights of.

    Parameters
    ----------
    path
        See :func:`~napari_dynaclr.learning.checkpoint.read_checkpoint`.
    depth
        Slices of its patches; by default what the file says, else the least that its
        stem takes.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or holds another network, or the depth does not
        fit the weights.
    """
    checkpoint = read_checkpoint(path)
    state = _old_head(checkpoint.state)
    said = _said_config(path, checkpoint.about)
    if said is not None:
        config, told = said, [f"The weights say of themselves: {said.describe()}."]
        if depth not in (None, said.depth):
            raise InvalidInput(f"{path} takes {said.depth} slices, not {depth}.")
    else:
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        config, told = infer_config(shapes, str(path), depth)
    network = ContrastiveEncoder(config)
    what = f"an encoder with {config.backbone} as DynaCLR has it"
    refuse_mismatch(path, what, network.state_dict(), state)
    network.load_state_dict(state, strict=True)
    return LoadedEncoder(network.eval(), told, checkpoint.about)


def _said_config(path: Path, about: Mapping[str, Any]) -> EncoderConfig | None:
    """Return the shape that a file of this project says of itself; None for other files."""
    if "backbone" not in about:
        return None
    names = {one.name for one in fields(EncoderConfig)}
    given = {name: value for name, value in about.items() if name in names}
    try:
        for name in ("kernel", "stride"):
            z, y, x = map(int, given[name])
            given[name] = (z, y, x)
        return EncoderConfig(**given)
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(
            f"{path} does not say properly which network it holds: save it again."
        ) from None


def _old_head(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the newer projection head's weights as the older one's: the layers are the same."""
    newer = "projection.backbone."
    return {
        f"projection.{name.removeprefix(newer)}" if name.startswith(newer) else name: value
        for name, value in state.items()
    }


def save_encoder(
    path: Path, network: ContrastiveEncoder, about: Mapping[str, Any] | None = None
) -> None:
    """Save an encoder as safetensors, with what is needed to use it.

    viscy-models loads the weights as they are.

    Parameters
    ----------
    path
        File to write, atomically.
    network
        The encoder.
    about
        What else to say of it, such as channels, patch size and normalisation: the
        fields of :class:`~napari_dynaclr.embedding.dynaclr.recipe.Recipe`.
    """
    save_weights(path, network, {**asdict(network.config), **(about or {})})
