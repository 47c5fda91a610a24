"""A TAP network of ours for others: as the folder that the public code opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_dynaclr.core.device import require_networks
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.tap.source import state_file

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset


def export_weights(dataset: Dataset, target: str | Path, network: str = "network") -> None:
    """Write a TAP network as the folder that the public TAP code opens.

    There, ``TimeArrowNet.from_folder(target, from_state_dict=True)`` loads it.

    Parameters
    ----------
    dataset
        In whose workspace the network was trained.
    target
        Folder to make.
    network
        Name of the network, or path of a file of weights.

    Raises
    ------
    InvalidInput
        If there is no such network, it is no TAP network, the public code has no such one, or
        the target exists.
    MissingExtra
        If torch is not installed.
    """
    require_networks()
    from napari_dynaclr.embedding.tap.checkpoint import load_tap
    from napari_dynaclr.embedding.tap.folder import save_folder

    trained = dataset.workspace.trained(network)
    source = trained if trained.is_file() else Path(network).expanduser()
    if not source.exists():
        known = sorted(file.stem for file in trained.parent.glob("[!.]*.safetensors"))
        hint = f"there are {', '.join(known)}" if known else "none was trained here"
        raise InvalidInput(
            f"There is no network '{network}': {hint}; a path of a file does as well."
        )
    save_folder(Path(target).expanduser(), load_tap(state_file(source)).network)
