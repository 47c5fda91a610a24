"""The shape of a network for virtual staining, told from its weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.staining.architecture import BACKBONES, Kind, StainerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    Shapes = Mapping[str, tuple[int, ...]]

_STEMS: dict[Kind, str] = {"fcmae": "encoder.stem.conv3d.weight", "unext2": "stem.conv.weight"}
_STAGES: dict[Kind, str] = {"fcmae": "encoder.stages.", "unext2": "encoder_stages.stages_"}
_DECODER = "decoder.decoder_stages."
_UNSEEN = ("drop_path", "pretraining", "head_pool")


def recognise(shapes: Shapes, source: str) -> Kind:
    """Tell which network weights are of, by their names.

    Parameters
    ----------
    shapes
        Of the weights, by name.
    source
        Where they are from, for messages.

    Raises
    ------
    InvalidInput
        If they are those of another network.
    """
    kinds: tuple[Kind, ...] = ("fcmae", "unext2")
    for kind in kinds:
        if len(shapes.get(_STEMS[kind], ())) == 5 and any(
            name.startswith(_STAGES[kind]) for name in shapes
        ):
            return kind
    if any(name.startswith("projection.") for name in shapes):
        other = "a DynaCLR encoder, which embeds cells"
    elif "stem.conv.weight" in shapes or any(n.startswith("encoder.") for n in shapes):
        other = "another network, or not all of one"
    else:
        other = "another network"
    raise InvalidInput(
        f"{source} is {other}, and not for virtual staining: choose weights of an FCMAE or a "
        "UNeXt2."
    )


def infer_config(
    shapes: Shapes, source: str, known: Mapping[str, Any] | None = None
) -> tuple[StainerConfig, list[str]]:
    """Tell the shape of a network from those of its weights.

    Parameters
    ----------
    shapes
        Of the weights, by name.
    source
        Where they are from, for messages.
    known
        Fields of :class:`StainerConfig` that are known otherwise; only those that do not
        show in the weights are taken from it.

    Returns
    -------
    tuple
        The shape, and what was inferred, a sentence each.

    Raises
    ------
    InvalidInput
        If they are those of another network.
    """
    kind = recognise(shapes, source)
    known = dict(known or {})
    try:
        seen = _encoder(kind, shapes, source) | _decoder(kind, shapes, known)
    except (KeyError, IndexError, ZeroDivisionError):
        raise InvalidInput(
            f"{source} holds not all of the weights of a network for virtual staining: choose "
            "another checkpoint."
        ) from None
    told = []
    if len(seen.get("fitting", ())) > 1:
        told.append(f"Depths of {' or '.join(map(str, seen['fitting']))} slices fit.")
    if seen.get("head_conv", kind == "unext2") and "head_pool" not in known:
        told.append(
            "Whether its head averages neighbouring pixels does not show in the weights: taken to "
            "be so, as in the published ones."
        )
    unseen = {name: known[name] for name in _UNSEEN if name in known}
    config = StainerConfig.from_dict({**seen, **unseen, "kind": kind}, source)
    return config, [f"Read off the weights: {config.describe()}.", *told]


def _encoder(kind: Kind, shapes: Shapes, source: str) -> dict[str, Any]:
    """Fields that the encoder's weights show; the depth is the least that fits."""
    out, channels, *stem = shapes[_STEMS[kind]]
    prefix = _STAGES[kind]
    numbers = _numbers(shapes, prefix)
    blocks = tuple(len(_numbers(shapes, f"{prefix}{i}.blocks.")) for i in numbers)
    conv = "dwconv" if kind == "fcmae" else "conv_dw"
    dims = tuple(shapes[f"{prefix}{i}.blocks.0.{conv}.weight"][0] for i in numbers)
    found: dict[str, Any] = {"in_channels": channels, "stem": tuple(stem)}
    found["depth"] = dims[0] // out * stem[0]
    if kind == "fcmae":
        return found | {"dims": dims, "blocks": blocks}
    second = any(".grn." in name for name in shapes if name.startswith("encoder_stages."))
    for name, backbone in BACKBONES.items():
        same = (backbone.dims, backbone.blocks) == (dims, blocks)
        if same and second == name.startswith("convnextv2"):
            return found | {"backbone": name}
    raise InvalidInput(
        f"{source} has an encoder that is not known here ({', '.join(BACKBONES)}): choose another "
        "checkpoint."
    )


def _decoder(kind: Kind, shapes: Shapes, known: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that the weights of decoder and head show, and a depth that fits them."""
    prefix = f"{_DECODER}{_numbers(shapes, _DECODER)[-1]}."
    blocks = len(_numbers(shapes, f"{prefix}conv.blocks."))
    decoded = shapes[f"{prefix}conv.blocks.{blocks - 1}.mlp.fc2.weight"][0]
    found: dict[str, Any] = {"decoder_blocks": blocks}
    out, _, *stem = shapes[_STEMS[kind]]
    if "head.conv.1.weight" in shapes:
        four_channels, middle, *_ = shapes["head.conv.1.weight"]
        channels = four_channels // 4
        depth = decoded // (4 * shapes["head.conv.0.conv.weight"][1]) - 2
        found |= {"out_channels": channels, "head_expansion": middle // four_channels}
        if kind == "unext2":
            convolved = f"{prefix}upsample.pixelshuffle.conv_block.weight" in shapes
            return found | {"out_depth": depth, "upsample_conv": convolved}
        return found | {"head_conv": True, "depth": depth}
    product = decoded // stem[1] ** 2
    first = shapes[f"{_STAGES[kind]}0.blocks.0.dwconv.weight"][0]
    least = first // out * stem[0]
    fitting = [n for n in range(least, least + stem[0]) if product % n == 0]
    if known.get("depth") in fitting:
        fitting = [known["depth"]]
    depth = fitting[0]
    return found | {"depth": depth, "out_channels": product // depth, "fitting": fitting}


def _numbers(shapes: Shapes, prefix: str) -> list[int]:
    """Return the numbers that follow on a prefix in the names of weights."""
    pattern = re.compile(rf"{re.escape(prefix)}(\d+)\.")
    return sorted({int(found[1]) for name in shapes if (found := pattern.match(name))})
