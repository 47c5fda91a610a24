"""GEFF, the graph exchange file format: nodes and links as Zarr, through the geff package.

Source: https://liveimagetrackingtools.org/geff, version 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.errors import InvalidInput, MissingExtra
from napari_dynaclr.core.multiscale import first_line
from napari_dynaclr.core.tables import LINK_COLUMNS, parent_ids, validate_tracks
from napari_dynaclr.tracking.exchange.found import Found
from napari_dynaclr.tracking.tracklets import tracklets

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov

_MICROMETERS = {
    "micrometer": 1.0, "micron": 1.0, "microns": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0,
    "nanometer": 1e-3, "nm": 1e-3, "millimeter": 1e3, "mm": 1e3, "meter": 1e6,
}  # fmt: skip


def micrometers(unit: str | None) -> float | None:
    """Return how many um a unit of length is; None for pixels, or where nothing is said.

    Raises
    ------
    InvalidInput
        If the unit is not known.
    """
    name = (unit or "").strip().lower()
    if name in ("", "pixel", "pixels", "px"):
        return None
    if name not in _MICROMETERS:
        raise InvalidInput(
            f"Positions in '{unit}' cannot be placed in the image: give them in pixels or um."
        )
    return _MICROMETERS[name]


def _package() -> Any:
    try:
        import geff
    except ModuleNotFoundError:
        raise MissingExtra("geff", "evaluation") from None
    return geff


def read_geff(path: Path, fov: Fov) -> Found:
    """Read the nodes and links of one GEFF.

    Its links say what follows what; where it has ``track_id`` and ``parent_track_id`` of ours
    that agree with them, tracks keep their numbers.

    Parameters
    ----------
    path
        The folder.
    fov
        The FOV that it is of.

    Raises
    ------
    MissingExtra
        If the geff package is not installed.
    InvalidInput
        If it is no valid GEFF, or not of cells that divide.
    """
    _package()
    from geff.core_io import read_to_memory

    try:
        graph = read_to_memory(path)
    except (ValueError, KeyError, FileNotFoundError, TypeError) as error:
        raise InvalidInput(f"{path} is no valid GEFF: {first_line(error)}.") from None
    if not len(graph["node_ids"]):
        raise InvalidInput(f"{path} holds no cells: check the path.")
    props = {
        name: values["values"]
        for name, values in graph["node_props"].items()
        if values["missing"] is None or not values["missing"].any()
    }
    table = _places(graph["metadata"], props, path, fov)
    table["id"] = graph["node_ids"].astype(np.int64)
    links = _links(graph, table, path)
    known = _own_tracks(table, props, links)
    if known is None:
        track, parent = tracklets(table["t"].to_numpy(), links, path)
        known = table.assign(track_id=track, parent_track_id=parent)
    if "reliability" in props:
        known["reliability"] = props["reliability"].astype(float)
    return Found(validate_tracks(known, path))


def _places(meta: Any, props: dict[str, NDArray[Any]], path: Path, fov: Fov) -> pd.DataFrame:
    """Return ``t``, ``z``, ``y``, ``x`` in pixels, and ``radius`` in um where there is one."""
    axes = {axis.name: axis for axis in meta.axes or []}
    found: dict[str, NDArray[Any]] = {}
    for axis in axes.values():
        if axis.name not in props:
            continue
        letter = "t" if axis.type == "time" else str(axis.name)[-1].lower()
        if letter == "t":
            found["t"] = props[axis.name]
        elif letter in "zyx":
            unit = micrometers(axis.unit)
            size = fov.scale["zyx".index(letter)]
            found[letter] = props[axis.name] * (1.0 if unit is None else unit / size)
    for letter in "tzyx":  # without axes, what is called so
        if letter not in found and letter in props:
            found[letter] = props[letter]
    lacking = [letter for letter in "tyx" if letter not in found]
    if lacking:
        raise InvalidInput(f"{path} says no {' and no '.join(lacking)} of its cells: add the axes.")
    radius = props.get(meta.sphere or "radius")
    if radius is not None:
        unit = next((micrometers(a.unit) for a in axes.values() if a.type == "space"), None)
        found["radius"] = radius * (fov.scale[2] if unit is None else unit)
    return pd.DataFrame(found)


def _links(graph: Any, table: pd.DataFrame, path: Path) -> NDArray[np.int64]:
    """Return the links as rows of the table, the earlier node first."""
    ids = pd.Index(table["id"])
    if not ids.is_unique:
        raise InvalidInput(f"{path} has two cells of the same id: correct it.")
    links = ids.get_indexer(graph["edge_ids"].astype(np.int64).ravel()).reshape(-1, 2)
    if (links < 0).any():
        raise InvalidInput(f"{path} has a link to a cell that is not there: correct it.")
    if not graph["metadata"].directed:
        time = table["t"].to_numpy()[links]
        links = np.where((time[:, :1] > time[:, 1:]), links[:, ::-1], links)
    return np.asarray(links, np.int64)


def _own_tracks(
    table: pd.DataFrame, props: dict[str, NDArray[Any]], links: NDArray[np.int64]
) -> pd.DataFrame | None:
    """Return the table with the tracks that are written in it, if they are those of the links."""
    if not {"track_id", "parent_track_id"} <= set(props):
        return None
    known = table.assign(track_id=props["track_id"], parent_track_id=props["parent_track_id"])
    ordered = known.sort_values(["track_id", "t"], ignore_index=True)
    parents = parent_ids(ordered)
    ids = table["id"].to_numpy()
    said = {(a, b) for a, b in zip(parents, ordered["id"], strict=True) if a >= 0}
    return known if said == set(map(tuple, ids[links].tolist())) else None


def write_geff(path: Path, tracks: pd.DataFrame, fov: Fov) -> None:
    """Write the tracks of one FOV, in pixels, with the voxel size as the axes' scale.

    Parameters
    ----------
    path
        An empty folder.
    tracks
        Valid tracks.
    fov
        Gives voxel size and frame interval.

    Raises
    ------
    MissingExtra
        If the geff package is not installed.
    """
    geff = _package()
    from geff.core_io import write_arrays
    from geff_spec.utils import axes_from_lists

    ids = tracks["id"].to_numpy(np.uint64)
    linked = tracks["parent_id"].to_numpy() >= 0
    links = np.column_stack([tracks["parent_id"].to_numpy()[linked].astype(np.uint64), ids[linked]])
    names = ["t", "z", "y", "x", "track_id", "parent_track_id", *LINK_COLUMNS]
    node_props = {name: _prop(tracks[name]) for name in names if name in tracks}
    interval = fov.frame_interval
    axes = axes_from_lists(
        ["t", "z", "y", "x"],
        axis_types=["time", "space", "space", "space"],
        axis_units=[None, "pixel", "pixel", "pixel"],
        axis_scales=[interval, *fov.scale],
        scaled_units=["second" if interval else None, *["micrometer"] * 3],
    )
    # A tracklet is a whole unbranched path: not so where a mother has one daughter only.
    mothers = tracks.drop_duplicates("track_id").query("parent_track_id >= 0")
    whole = not (mothers["parent_track_id"].value_counts() == 1).any()
    meta = geff.GeffMetadata(
        directed=True,
        axes=axes,
        node_props_metadata={},
        edge_props_metadata={},
        track_node_props={"tracklet": "track_id"} if whole else None,
    )
    write_arrays(path, ids, node_props, links, {}, meta, overwrite=True)


def _prop(values: pd.Series) -> Any:
    return {"values": values.to_numpy(), "missing": None}
