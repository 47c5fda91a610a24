"""The network for virtual staining of a given shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.staining.fcmae import FCMAE
from napari_dynaclr.staining.unext2 import UNeXt2

if TYPE_CHECKING:
    from napari_dynaclr.staining.architecture import StainerConfig
    from napari_dynaclr.staining.blocks import Stainer


def build(config: StainerConfig) -> Stainer:
    """Build a network with random weights; nothing is downloaded.

    Parameters
    ----------
    config
        Its shape.
    """
    return UNeXt2(config) if config.kind == "unext2" else FCMAE(config)
