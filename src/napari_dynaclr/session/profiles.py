"""Profiles of fields and wells as points: which are shown, how coloured, and where they lead."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from psygnal import Signal

from napari_dynaclr.core.conditions import FILE, plate_name
from napari_dynaclr.core.profiles import LEVELS as ALL_LEVELS
from napari_dynaclr.core.profiles import other_conditions, outdated_plates, profile_rows
from napari_dynaclr.profiling.maps import FEWEST
from napari_dynaclr.session.colours import by_category, by_value, distinct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.session.colours import Palette
    from napari_dynaclr.session.session import Session

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

LEVELS = {"field": "field", "well_time": "well at a time", "well": "well"}
"""What a point can be, by the names that the workspace has for it."""

COLOURS = {
    "condition": "condition",
    "well": "well",
    "hours": "time (hours)",
    "t": "time point",
    "fov_name": "field",
    "cells": "number of cells",
    "plate": "plate",
}
"""What points can be coloured by, by column."""

_NUMBERS = ("hours", "t", "cells")
_MAPS = ("phate", "umap", "pca")


@dataclass(frozen=True)
class ProfileMap:
    """Profiles of one level, a row each.

    Attributes
    ----------
    name, level
        Which profile, and one of :data:`LEVELS`.
    rows
        What each is of: ``plate``, ``well``, ``condition``, and ``fov_name``, ``t``, ``hours``,
        ``cells`` and ``fields`` as far as they apply.
    maps
        By name: (N, 2), NaN where a profile has no place on it.
    source
        What was profiled, in words.
    aligned
        Whether plates were aligned with each other.
    missing
        FOVs of the dataset that have no profile, one that is out of date, or other conditions
        now, and further plates of which something was made anew since.
    key
        What it was made from; another one where it was made anew.
    made
        How it was made, in words: of what, standardised how, under which conditions.
    finished
        When, as ISO 8601 in UTC.
    lacking
        Why there are principal components only, in words; "" if there is another map or none
        was wanted.
    """

    name: str = ""
    level: str = "field"
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    maps: dict[str, Array] = field(default_factory=dict)
    source: str = ""
    aligned: bool = False
    missing: tuple[str, ...] = ()
    key: str = ""
    made: str = ""
    finished: str = ""
    lacking: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def choices(self) -> list[str]:
        """Return the columns of :data:`COLOURS` that tell these profiles apart."""
        return [
            name
            for name in COLOURS
            if name in self.rows and self.rows[name].dropna().nunique() > (name == "plate")
        ]

    def paint(self, column: str) -> Palette:
        """Colour the profiles by a column; the first there is where that is not among them."""
        known = self.choices()
        column = column if column in known else next(iter(known), "")
        if not column:
            return by_category(np.full(len(self), -1), (), (), "")
        values, title = self.rows[column], COLOURS[column]
        if column in _NUMBERS:
            return by_value(values.to_numpy(np.float32), title, robust=False)
        names = list(dict.fromkeys(values.dropna().astype(str)))
        number = {name: i for i, name in enumerate(names)}
        codes = np.array([number.get(str(one), -1) for one in values], np.int64)
        return by_category(codes, names, distinct(len(names)), title)

    def at(
        self, fov_name: str, t: int, dataset: Dataset
    ) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Rows of the profiles that a FOV of a dataset at a time point is part of."""
        rows, well = self.rows, fov_name.rpartition("/")[0]
        if not len(rows):
            return np.zeros(0, np.intp)
        mine = rows["fov_name"] == fov_name if self.level == "field" else rows["well"] == well
        if "t" in rows:
            mine = mine & (rows["t"] == t)
        if "plate" in rows:  # other plates have wells and fields of the same names
            mine = mine & rows["plate"].isin(["", plate_name(dataset)])
        return np.flatnonzero(mine.to_numpy(bool))

    def course(self, row: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Rows of the same field or well over time, in its order; none where time is pooled."""
        rows = self.rows
        if "t" not in rows:
            return np.zeros(0, np.intp)
        of = "fov_name" if self.level == "field" else "well"
        same = (rows[of] == rows[of].iloc[row]).to_numpy(bool)
        if "plate" in rows:
            same = same & (rows["plate"] == rows["plate"].iloc[row]).to_numpy(bool)
        found = np.flatnonzero(same)
        return found[np.argsort(rows["t"].to_numpy()[found], kind="stable")]

    def describe(self, row: int) -> str:
        """Say in a line what a profile is of."""
        about = self.rows.iloc[row]
        where = f"FOV {about['fov_name']}" if self.level == "field" else f"well {about['well']}"
        parts = [where]
        if pd.notna(about.get("t")):
            hours = about.get("hours")
            parts.append(f"t={int(about['t'])}" + (f" ({hours:.1f} h)" if pd.notna(hours) else ""))
        if about.get("condition"):
            parts.append(str(about["condition"]))
        if pd.notna(cells := about.get("cells")) and int(cells):
            parts.append(f"{int(cells):,} cells")
        if self.level != "field" and pd.notna(fields := about.get("fields")):
            parts.append(f"{int(fields)} field{'s' * (int(fields) != 1)}")
        return ", ".join(parts)

    def place(self, row: int, dataset: Dataset) -> tuple[str, int | None] | None:
        """Return the FOV and time point that show a profile; None where it is of another plate.

        Of a well, that is its first field; the time point is None where time is pooled.
        """
        about = self.rows.iloc[row]
        if "plate" in self.rows and about["plate"] not in ("", plate_name(dataset)):
            return None
        t = int(about["t"]) if pd.notna(about.get("t")) else None
        if self.level == "field":
            name = str(about["fov_name"])
            return (name, t) if name in dataset.fov_names else None
        inside = [name for name in dataset.fov_names if name.startswith(f"{about['well']}/")]
        return (inside[0], t) if inside else None


def profile_names(dataset: Dataset) -> list[str]:
    """Names of the profiles that a dataset has; touches the disk.

    Not those of which there are only vectors, of an interrupted run or for another plate's profile.
    """
    folder = dataset.workspace.path / "profiles"
    if not folder.is_dir():
        return []
    last = f"{ALL_LEVELS[-1]}.zarr"
    return sorted(path.name for path in folder.iterdir() if (path / last).exists())


def read_profiles(dataset: Dataset, name: str, level: str) -> ProfileMap:
    """Read the profiles of one level, and their maps; in a job.

    Parameters
    ----------
    dataset
        The dataset.
    name
        Of the profile; "" for none.
    level
        One of :data:`LEVELS`.
    """
    if not name:
        return ProfileMap(level=level)
    workspace, result = dataset.workspace, f"profiles.{name}"
    found = workspace.profiles(name, level)
    maps = {
        key.removeprefix("X_"): np.asarray(found.obsm[key])[:, :2].astype(np.float32)
        for key in sorted(found.obsm, key=_rank)
        if np.ndim(found.obsm[key]) == 2 and found.obsm[key].shape[1] >= 2
    }
    missing = tuple(
        fov.name
        for fov in dataset.fovs
        if workspace.key(result, fov) is None or workspace.outdated(result, fov)
    )
    about = found.uns
    changed = other_conditions(dataset, found)
    missing += tuple(
        fov.name for fov in dataset.fovs if fov.well in changed and fov.name not in missing
    )
    missing += outdated_plates(found)
    settings = dict(json.loads(str(about.get("settings", "{}"))))
    return ProfileMap(
        name,
        level,
        profile_rows(found),
        maps,
        str(about.get("source", "")),
        bool(about.get("aligned", False)),
        missing,
        str(about.get("key", "")),
        _made(dataset, str(about.get("source", "")), settings),
        max((workspace.finished(result, fov) for fov in dataset.fovs), default=""),
        _lacking(maps, str(settings.get("map", "none")), len(found)),
    )


def _made(dataset: Dataset, source: str, settings: Mapping[str, Any]) -> str:
    """Say how a profile was made, as far as its map does not show it."""
    table = str(settings.get("conditions", ""))
    if table:
        conditions = f"conditions of {Path(table).name}"
    elif (dataset.workspace.path / FILE).exists():
        conditions = "conditions of the table given before"
    else:
        conditions = "each row of the plate a condition"
    standard = {
        "plate": "standardised by plate",
        "controls": f"standardised to {settings.get('controls', '')}",
    }.get(str(settings.get("standardize", "")), "not standardised")
    fields = ", fields side by side" if settings.get("across_fields") == "concatenate" else ""
    return f"{source}, {standard}{fields}, {conditions}"


def _lacking(maps: Mapping[str, object], wanted: str, rows: int) -> str:
    """Say why a map that was wanted is not there."""
    if wanted in (*maps, "none") or rows >= FEWEST:
        return ""
    if rows == 1:
        return "There is one profile on this level, and nothing to compare it with."
    few = f"{rows} profiles are too few for {wanted.upper()} (from {FEWEST} on)"
    return f"Principal components: {few}."


def _rank(key: str) -> tuple[int, str]:
    name = key.removeprefix("X_")
    return (_MAPS.index(name) if name in _MAPS else len(_MAPS), name)


class Profiles:
    """The profiles that a viewer shows.

    Parameters
    ----------
    session
        Whose dataset they are of.

    Attributes
    ----------
    name, level, map, colour
        What is wanted: a profile, a level, a map and a column to colour by; "" for the first
        there is.
    names
        Profiles that the dataset has.
    shown
        What is shown.
    """

    changed = Signal()
    """Other profiles are shown, or the same in other colours."""

    def __init__(self, session: Session) -> None:
        self.name, self.level, self.map, self.colour = "", "field", "", "condition"
        self.names: list[str] = []
        self.shown = ProfileMap()
        session.dataset_changed.connect(self._closed)

    @property
    def map_name(self) -> str:
        """The map on show: the chosen one if it is there, else the first there is."""
        return self.map if self.map in self.shown.maps else next(iter(self.shown.maps), "")

    def show(self, shown: ProfileMap) -> None:
        """Show other profiles."""
        self.shown = shown
        self.changed.emit()

    def colour_by(self, column: str) -> None:
        """Colour them by another column."""
        self.colour = column
        self.changed.emit()

    def choose_map(self, name: str) -> None:
        """Show another of their maps."""
        self.map = name
        self.changed.emit()

    def _closed(self) -> None:
        self.name, self.names = "", []
        self.show(ProfileMap(level=self.level))
