"""From fields to wells and conditions: what is pooled, scaled and aligned, in plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.profiling.grid import to_nine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Profiles:
    """Vectors of one level, and what each is of.

    Attributes
    ----------
    vectors
        (N, D) float32.
    obs
        N rows: ``plate``, ``well``, ``fov_name``, ``t``, ``condition``, ``cells``, ``fields``,
        as far as they apply.
    names
        Of the D dimensions.
    """

    vectors: NDArray[np.float32]
    obs: pd.DataFrame
    names: list[str]

    def __len__(self) -> int:
        return len(self.vectors)


def standardize(fields: Profiles, how: str, controls: str) -> Profiles:
    """Scale every dimension, plate by plate.

    Parameters
    ----------
    fields
        Of all plates.
    how
        "none", "plate" or "controls".
    controls
        The condition that is scaled to.

    Raises
    ------
    InvalidInput
        If a plate has no field of that condition, or only one.
    """
    if how == "none":
        return fields
    vectors = np.empty_like(fields.vectors)
    for plate, rows in fields.obs.groupby("plate", sort=False).indices.items():
        usual = rows
        if how == "controls":
            held = fields.obs["condition"].to_numpy()[rows]
            usual = rows[held == controls]
            if len(usual) < 2:
                known = ", ".join(sorted({str(one) for one in held} - {""})) or "none"
                raise InvalidInput(
                    f"Plate {plate} has fewer than two fields and times of the control condition "
                    f"'{controls}': its conditions are {known}. Name one with controls=."
                )
        vectors[rows] = _scaled(fields.vectors[rows], fields.vectors[usual])
    return Profiles(vectors, fields.obs, fields.names)


def _scaled(vectors: NDArray[np.float32], usual: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = usual.mean(axis=0, dtype=np.float64)
    deviation = usual.std(axis=0, dtype=np.float64)
    # A dimension that never changes says nothing, and must not become rounding errors.
    still = deviation <= 1e-6 * np.abs(mean) + 1e-12
    deviation[still] = 1.0
    scaled = (vectors - mean) / deviation
    scaled[:, still] = 0.0
    return np.asarray(scaled, np.float32)


def wells_over_time(fields: Profiles, squares: Mapping[tuple[str, str], Sequence[str]]) -> Profiles:
    """Pool the fields of each well and time point.

    Parameters
    ----------
    fields
        A row per field and time point.
    squares
        Names of the fields of each well (plate, well), in the order in which they are
        concatenated; empty for the mean.

    Returns
    -------
    Profiles
        A row per well and time point. Where fields are concatenated, time points that lack
        one are left out.
    """
    if not squares:
        return _mean(fields, ["plate", "well", "t"], {"cells": "sum", "fields": "sum"})
    order = {
        (plate, name): place
        for (plate, _), names in squares.items()
        for place, name in enumerate(names)
    }
    vectors, rows = [], []
    for _, group in fields.obs.groupby(["plate", "well", "t"], sort=False):
        plate, well = str(group["plate"].iloc[0]), str(group["well"].iloc[0])
        if len(group) < len(squares[plate, well]):
            continue
        places = [order[plate, str(name)] for name in group["fov_name"]]
        here = group.index.to_numpy()[np.argsort(places)]
        vectors.append(to_nine(fields.vectors[here]).ravel())
        rows.append(
            {**group.iloc[0], "cells": group["cells"].sum(), "fields": group["fields"].sum()}
        )
    names = [f"{place}:{name}" for place in range(9) for name in fields.names]
    if not rows:
        raise InvalidInput(
            "No well has all of its fields at any time point: use across_fields=mean."
        )
    obs = pd.DataFrame(rows).drop(columns="fov_name").reset_index(drop=True)
    return Profiles(np.stack(vectors), obs, names)


def wells(over_time: Profiles) -> Profiles:
    """Pool the time points of each well."""
    return _mean(over_time, ["plate", "well"], {"cells": "sum", "fields": "max"})


def conditions(of_wells: Profiles) -> Profiles:
    """Pool the wells of each condition, those of all plates; without those of none."""
    known = np.flatnonzero(of_wells.obs["condition"].to_numpy() != "")
    held = Profiles(
        of_wells.vectors[known],
        of_wells.obs.iloc[known].assign(wells=1).reset_index(drop=True),
        of_wells.names,
    )
    return _mean(held, ["condition"], {"cells": "sum", "fields": "sum", "wells": "sum"})


def align(profiles: Profiles, alpha: float) -> Profiles:
    """Pull the same well of several plates together: z <- alpha z + (1 - alpha) mean z.

    Section 3.3.3 of sslprofiler.txt. Wells over time are pulled together time by time.

    Parameters
    ----------
    profiles
        Of wells.
    alpha
        1 leaves them as they are.
    """
    by = [name for name in ("well", "t") if name in profiles.obs]
    vectors = profiles.vectors.copy()
    for rows in profiles.obs.groupby(by, sort=False).indices.values():
        centre = vectors[rows].mean(axis=0)
        vectors[rows] = alpha * vectors[rows] + (1 - alpha) * centre
    return Profiles(vectors, profiles.obs, profiles.names)


def _mean(profiles: Profiles, by: list[str], how: Mapping[str, str]) -> Profiles:
    """Average the vectors of each group; groups come in the order of their first row."""
    grouped = profiles.obs.groupby(by, sort=False)
    number = grouped.ngroup().to_numpy()
    count = np.bincount(number)
    place = (np.ones(len(number)), (number, np.arange(len(number))))
    sums = csr_array(place, shape=(len(count), len(number))) @ profiles.vectors
    obs = grouped.agg(dict(how)).reset_index()
    # What is the same for all rows of a group goes along.
    for name in ("row", "column", "condition", "hours"):
        if name in profiles.obs and name not in obs and _is_known(name, by):
            obs[name] = grouped[name].first().to_numpy()
    return Profiles(np.asarray(sums / count[:, None], np.float32), obs, profiles.names)


def _is_known(name: str, by: list[str]) -> bool:
    return "t" in by if name == "hours" else "well" in by
