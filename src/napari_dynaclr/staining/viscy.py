"""Shapes of networks as viscy-models' arguments say them.

Lightning's checkpoints hold these under ``hyper_parameters``; presets use the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.staining.architecture import Kind, StainerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

ARCHITECTURES: dict[str, Kind] = {
    "fcmae": "fcmae",
    "FullyConvolutionalMAE": "fcmae",
    "UNeXt2_2D": "fcmae",
    "UNeXt2": "unext2",
    "unext2": "unext2",
}
"""VisCy's names of architectures."""

_NAMES = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "in_stack_depth": "depth",
    "stem_kernel_size": "stem",
    "decoder_conv_blocks": "decoder_blocks",
}
_OWN_NAMES: dict[Kind, dict[str, str]] = {
    "fcmae": {
        "encoder_blocks": "blocks",
        "dims": "dims",
        "encoder_drop_path_rate": "drop_path",
        "pretraining": "pretraining",
        "head_conv": "head_conv",
        "head_conv_expansion_ratio": "head_expansion",
        "head_conv_pool": "head_pool",
    },
    "unext2": {
        "out_stack_depth": "out_depth",
        "backbone": "backbone",
        "decoder_upsample_pre_conv": "upsample_conv",
        "head_expansion_ratio": "head_expansion",
        "head_pool": "head_pool",
        "drop_path_rate": "drop_path",
    },
}
# viscy-models' own where nothing is said, and other than ours.
_DEFAULTS: dict[Kind, dict[str, Any]] = {
    "fcmae": {"depth": 5, "stem": (5, 4, 4), "decoder_blocks": 1, "pretraining": True},
    "unext2": {"out_channels": 1, "depth": 5, "stem": (5, 4, 4), "head_pool": False},
}


def translate(kind: Kind, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Say viscy-models' arguments in the names of :class:`StainerConfig`.

    Parameters
    ----------
    kind
        Which network they are of.
    arguments
        By their names there; what is None is left out, and what shapes no network is
        ignored.
    """
    names = _NAMES | _OWN_NAMES[kind]
    return {
        names[name]: value
        for name, value in arguments.items()
        if name in names and value is not None
    }


def config_of(architecture: str, arguments: Mapping[str, Any], source: str) -> StainerConfig:
    """Return the shape of the network that viscy-models makes of some arguments.

    Parameters
    ----------
    architecture
        VisCy's name.
    arguments
        See :func:`translate`; its defaults where they say nothing.
    source
        Where they are from, for messages.

    Raises
    ------
    InvalidInput
        If there is no such network, or it is not known here.
    """
    kind = ARCHITECTURES.get(architecture)
    if kind is None:
        raise InvalidInput(
            f"{source} is a network '{architecture}', which is not known here: choose a UNeXt2 or "
            "an FCMAE (fcmae, UNeXt2_2D)."
        )
    if arguments.get("decoder_mode", "pixelshuffle") != "pixelshuffle":
        raise InvalidInput(
            f"{source} has a decoder of the mode '{arguments['decoder_mode']}', which is not known "
            "here: choose a network with pixelshuffle, as all published ones have it."
        )
    found = {**_DEFAULTS[kind], **translate(kind, arguments), "kind": kind}
    return StainerConfig.from_dict(found, source)
