"""Weights of networks in files: Lightning's, plain state dicts, safetensors.

Files of PyTorch are only ever read with ``weights_only=True``: a pickle that asks for
code to be run is refused, and the code does not run.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from napari_dynaclr.core.atomic import atomic_file
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weight_files import METADATA, WeightKind, check_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

# What torch raises on files that are not what they begin like.
_UNREADABLE = (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes
    ----------
    state
        Weights by name, without Lightning's prefix.
    about
        What a file of this project says of itself: shape of the network, channels,
        patch size, normalisation; empty for others.
    hyper
        ``hyper_parameters`` of a checkpoint of Lightning's; empty where there are none.
    """

    state: dict[str, Tensor]
    about: dict[str, Any] = field(default_factory=dict)
    hyper: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the weights in a file.

    Parameters
    ----------
    path
        ``.ckpt`` of Lightning, ``.pt`` or ``.pth`` with a state dict, ``.safetensors``;
        told apart by content.

    Raises
    ------
    InvalidInput
        If the file is cut short, no checkpoint, or asks for code to be run.
    """
    kind = check_whole(path)
    if kind is WeightKind.SAFETENSORS:
        return _read_safetensors(path)
    content = read_plain(path)
    hyper = content.get("hyper_parameters") if isinstance(content, dict) else None
    return Checkpoint(_weights(content, path), hyper=dict(hyper) if isinstance(hyper, dict) else {})


def read_plain(path: Path) -> Any:
    """Read a file of PyTorch's, tensors and plain values only: nothing in it is run.

    Raises
    ------
    InvalidInput
        If it is cut short, no file of PyTorch's, or asks for code to be run.
    """
    try:
        # As a file, not a path: torch goes by the name, which need not tell the form.
        with path.open("rb") as file, warnings.catch_warnings():
            # It warns of unusual pickles, and then refuses them.
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidInput(_refusal(path, str(error))) from None
    except _UNREADABLE as error:
        cut = "corrupted" in str(error) or "EOF" in str(error) or isinstance(error, EOFError)
        what = "is cut short or damaged: get it again" if cut else "is no checkpoint of PyTorch"
        raise InvalidInput(f"{path} {what}.") from None


def _refusal(path: Path, reason: str) -> str:
    named = re.search(r"GLOBAL (\w+(?:\.\w+)+)", reason)
    if named is None:
        return f"{path} is no checkpoint of PyTorch."
    wanted = named.group(1)
    return (
        f"{path} is a pickle that asks for {wanted}, which could run code: it was not run. Ask its "
        "author for a plain state dict or a .safetensors file."
    )


def _read_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        about = json.loads(metadata.get(METADATA, "{}"))
    except (SafetensorError, ValueError) as error:
        raise InvalidInput(f"{path} is damaged ({error}): get it again.") from None
    return Checkpoint(_weights(state, path), about if isinstance(about, dict) else {})


def _weights(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the weights in what a file holds, under the network's own names."""
    found = content if isinstance(content, dict) else {}
    for name in ("state_dict", "model"):  # Lightning's, and that of ConvNeXt's authors
        found = found[name] if isinstance(found.get(name), dict) else found
    state = {
        str(name).replace("_orig_mod.", ""): value
        for name, value in dict(found).items()
        if isinstance(value, torch.Tensor)
    }
    if not state:
        raise InvalidInput(f"{path} holds no weights: choose a checkpoint of a network.")
    ours = {name for name in state if name.startswith("model.")}
    if ours:  # Lightning's; losses and auxiliary heads stand beside the network
        state = {name.removeprefix("model."): state[name] for name in ours}
    return state


def refuse_mismatch(
    path: Path, what: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> None:
    """Check that a file's weights are those of a network, key for key.

    Parameters
    ----------
    path
        The file.
    what
        What it should hold, as in "an encoder with convnext_tiny as DynaCLR has it".
    wanted, found
        Weights of the network, and of the file.

    Raises
    ------
    InvalidInput
        Naming the first of the weights that are missing, too many, or of another size.
    """
    lacks, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    other = [n for n in wanted if n in found and wanted[n].shape != found[n].shape]
    for names, how in ((lacks, "lacks"), (extra, "also has"), (other, "has in another size")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InvalidInput(
                f"{path} is not {what}: it {how} '{names[0]}'{more}. Choose another checkpoint."
            )
    if not all(bool(torch.isfinite(value).all()) for value in found.values()):
        raise InvalidInput(f"{path} holds weights that are NaN or infinite: choose another one.")


def save_weights(path: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
    """Save a network's weights as safetensors, with what is needed to use them.

    Parameters
    ----------
    path
        File to write, atomically.
    network
        The network.
    about
        What to say of it; plain values.
    """
    from safetensors.torch import save

    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    with atomic_file(path) as temporary:
        # Not save_file, whose files nobody else on a cluster may read.
        temporary.write_bytes(save(state, metadata={METADATA: json.dumps(dict(about))}))
