"""The shape of an encoder, told from its weights: Lightning files do not say it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.dynaclr.architecture import BACKBONES, EncoderConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    Shapes = Mapping[str, tuple[int, ...]]

_STEM = "stem.conv.weight"
_HEAD = ("projection.0.weight", "projection.3.weight")


def infer_config(
    shapes: Shapes, source: str, depth: int | None = None
) -> tuple[EncoderConfig, list[str]]:
    """Tell the shape of an encoder from those of its weights.

    The stem's stride does not show: it is taken to be the kernel, as in every
    published encoder.

    Parameters
    ----------
    shapes
        Of the weights, by name.
    source
        Where they are from, for messages.
    depth
        Slices of its patches, where that is known.

    Returns
    -------
    tuple
        The shape, and what was inferred, a sentence each.

    Raises
    ------
    InvalidInput
        If they are those of another network, or do not go with that depth.
    """
    backbone = _backbone(shapes, source)
    stem = shapes.get(_STEM, ())
    missing = [name for name in _HEAD if len(shapes.get(name, ())) != 2]
    if len(stem) != 5 or missing:
        raise InvalidInput(
            f"{source} is no whole DynaCLR encoder: it lacks '{missing[0] if missing else _STEM}'. "
            "Choose another checkpoint."
        )
    out, channels, *kernel = stem
    levels, rest = divmod(BACKBONES[backbone].width, out)
    if rest:
        raise InvalidInput(
            f"{source} is not an encoder with {backbone} as DynaCLR has it: its stem has {out} "
            "channels. Choose another checkpoint."
        )
    least = levels * kernel[0]
    most = least + kernel[0] - 1
    if depth is not None and not least <= depth <= most:
        takes = f"{least}" if least == most else f"{least} to {most}"
        raise InvalidInput(f"{source} takes {takes} slices, not {depth}: set the depth to {least}.")
    size = (kernel[0], kernel[1], kernel[2])
    config = EncoderConfig(
        backbone=backbone,
        channels=channels,
        depth=depth or least,
        kernel=size,
        stride=size,
        hidden=shapes[_HEAD[0]][0],
        projection=shapes[_HEAD[1]][0],
    )
    told = f"Read off the weights: {config.describe()}, stem {size}."
    if depth is None and most > least:
        told += f" Depths up to {most} would also fit: set the depth if it was trained with more."
    return config, [told]


def _backbone(shapes: Shapes, source: str) -> str:
    """Recognise the backbone by the names and sizes of its weights."""
    if any(name.startswith(("encoder_stages.", "decoder.")) for name in shapes):
        raise InvalidInput(
            f"{source} is a network for virtual staining, not a DynaCLR encoder: choose another "
            "checkpoint."
        )
    if "encoder.layer1.0.conv1.weight" in shapes:
        blocks = tuple(_blocks(shapes, rf"encoder\.layer{i + 1}\.(\d+)\.") for i in range(4))
        wide = "encoder.layer1.0.conv3.weight" in shapes
        found = "resnet50" if wide and blocks == BACKBONES["resnet50"].blocks else None
    else:
        found = _convnext(shapes)
    if found is None:
        raise InvalidInput(
            f"{source} is not a DynaCLR encoder that is known here ({', '.join(BACKBONES)}): "
            "choose another checkpoint."
        )
    return found


def _convnext(shapes: Shapes) -> str | None:
    blocks = tuple(_blocks(shapes, rf"encoder\.stages\.{i}\.blocks\.(\d+)\.") for i in range(4))
    second = "encoder.stages.0.blocks.0.mlp.grn.weight" in shapes
    width = shapes.get("encoder.stages.0.blocks.0.conv_dw.weight", (0,))[0]
    for name, backbone in BACKBONES.items():
        if (
            name.startswith("convnext")
            and second == name.startswith("convnextv2")
            and (blocks, width) == (backbone.blocks, backbone.width)
        ):
            return name
    return None


def _blocks(shapes: Shapes, pattern: str) -> int:
    return len({found.group(1) for name in shapes if (found := re.match(pattern, name))})
