"""The names of weights in CELLECT's published files, and ours.

Facts about the layout of files, read off the public code (github.com/zzz333za/CELLECT); the
code itself is not used. A published model is three files: the network ("U-ext..."), the
interframe MLP ("EX...") and the intraframe MLP ("EN..."). There are two layouts of the network,
strided and max-pooled, told apart by the name of one weight.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_dynaclr.tracking.cellect.architecture import CellectConfig, Downsampling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_STRIDED, _POOLED = "conv3d_c2.weight", "conv3d_c2.1.weight"
_HEAD = "cx.weight"
_UNUSED = re.compile(r"(bnx|bny|outc)\.")
"""Layers that the files of MLPs hold and nothing computes with."""

_UP = "norm_lrelu_upscale_conv_norm_lrelu"
_ENTRY = {
    "conv3d_c1_1": "entry.first",
    "conv3d_c1_2": "entry.second",
    "lrelu_conv_c1.1": "entry.third",
    f"{_UP}_l0.3": "ups.0.conv",
    "conv3d_l0": "bottom",
    "conv_norm_lrelu_l4.0": "joins.3.conv",
    "conv3d_l4": "predict",
    "ds2_1x1_conv3d": "coarse.0",
    "ds3_1x1_conv3d": "coarse.1",
}
_OWN = {
    "conv_norm_lrelu_f.0": "gather.conv",
    "conv3d_f": "mix",
    "conv_norm_lrelu_f1.0": "blend.conv",
    "conv3d_f1": "embed",
}
_MLP = {
    "c1": "wide",
    "c2": "narrow",
    "bnc": "compared_norm",
    "cx": "compared",
    "fc": "join",
    "bn7": "join_norm",
    "fc2": "hidden",
    "out": "out",
    **{f"l{i + 1}": f"views.{i}" for i in range(6)},
    **{f"bn{i + 1}": f"view_norms.{i}" for i in range(6)},
}


def layout(names: Iterable[str]) -> Downsampling | None:
    """Tell the layout of a published network by its weights' names; None if it is none."""
    known = set(names)
    if _POOLED in known:
        return "pooled"
    return "strided" if _STRIDED in known else None


def is_mlp(names: Iterable[str]) -> bool:
    """Whether these are the names of the weights of a published MLP."""
    return _HEAD in set(names)


def config(downsampling: Downsampling) -> CellectConfig:
    """Return the shape of the published models."""
    return CellectConfig(downsampling=downsampling)


def network_names(downsampling: Downsampling) -> dict[str, str]:
    """Return our name of each of the network's weights by the published one."""
    inner = ".1" if downsampling == "pooled" else ""
    names = {**_OWN}
    names |= {before: f"main.{ours}" for before, ours in _unet(inner, refined=True).items()}
    names |= {
        f"lnet.{before}": f"enhance.{ours}" for before, ours in _unet("", refined=False).items()
    }
    return {f"{before}.weight": f"net.{ours}.weight" for before, ours in names.items()}


def _unet(inner: str, *, refined: bool) -> dict[str, str]:
    names = dict(_ENTRY)
    for level in range(2, 6):
        place = f"downs.{level - 2}"
        names[f"conv3d_c{level}{inner}"] = f"{place}.down{inner}"
        names[f"norm_lrelu_conv_c{level}.2"] = f"{place}.shared"
        if refined:
            names[f"conv3d_c{level}s1"] = f"{place}.refine"
            names[f"conv3d_c{level}s2{inner}"] = f"{place}.shortcut{inner}"
    for step in range(1, 4):
        names[f"conv_norm_lrelu_l{step}.0"] = f"joins.{step - 1}.conv"
        names[f"conv3d_l{step}"] = f"narrows.{step - 1}"
        names[f"{_UP}_l{step}.3"] = f"ups.{step}.conv"
    return names


def rename_network[Value](
    state: Mapping[str, Value], downsampling: Downsampling
) -> dict[str, Value]:
    """Give a published network's weights our names; names that are not known stay as they are."""
    names = network_names(downsampling)
    return {names.get(name, f"net.{name}"): value for name, value in state.items()}


def rename_mlp[Value](state: Mapping[str, Value], ours: str) -> dict[str, Value]:
    """Give a published MLP's weights our names, and leave out what nothing computes with.

    Parameters
    ----------
    state
        Weights by published name.
    ours
        "inter" or "intra".
    """
    renamed = {}
    for name, value in state.items():
        if _UNUSED.match(name):
            continue
        layer, _, rest = name.partition(".")
        renamed[f"{ours}.mlp.{_MLP.get(layer, layer)}.{rest}"] = value
    return renamed


def beside(network: Path) -> dict[str, Path]:
    """Return where the MLPs of a published network should be: beside it, named alike.

    Parameters
    ----------
    network
        The network's file, named "U-ext+-..." as it was published.

    Returns
    -------
    dict
        Files by "inter" and "intra"; empty if the name is none of theirs.
    """
    if not network.name.startswith("U-ext"):
        return {}
    rest = network.name.removeprefix("U-ext")
    return {
        "inter": network.with_name(f"EX{rest}"),
        "intra": network.with_name(f"EN{rest}"),
    }
