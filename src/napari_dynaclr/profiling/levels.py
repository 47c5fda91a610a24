"""The levels of a profile: made from its fields, and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import pandas as pd

from napari_dynaclr.core.conditions import find_conditions, plate_name
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.shards import write_shard
from napari_dynaclr.profiling.grid import in_square
from napari_dynaclr.profiling.maps import maps
from napari_dynaclr.profiling.pooling import (
    Profiles,
    align,
    conditions,
    standardize,
    wells,
    wells_over_time,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.profiles import ProfileParams, Profiler

_ORDER = (
    "fov_name", "t", "plate", "well", "row", "column", "condition", "hours", "cells", "fields",
    "wells",
)  # fmt: skip


def check_plates(plates: Sequence[Dataset], params: ProfileParams) -> None:
    """Check that plates go together, before anything is read.

    Raises
    ------
    InvalidInput
        If there is one plate only to be aligned, the same well is under different conditions
        on plates that are to be, or a well cannot be concatenated.
    """
    if params.standardize == "controls" and not params.controls:
        raise InvalidInput("Which condition are the controls? Name it with controls=.")
    if params.alpha < 1.0:
        if len(plates) < 2:
            raise InvalidInput(
                "Alignment pulls the same well of several plates together, and there is one "
                "plate: name others with also=, or leave it at alpha=1."
            )
        _check_layout(plates, params)
    if params.across_fields == "concatenate":
        squares(plates, params)


def _check_layout(plates: Sequence[Dataset], params: ProfileParams) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for plate in plates:
        for well, condition in find_conditions(plate, params.conditions).items():
            name, before = seen.setdefault(well, (plate_name(plate), condition))
            if before != condition:
                raise InvalidInput(
                    f"Well {well} is '{before}' on {name} and '{condition}' on "
                    f"{plate_name(plate)}: plates of different layout cannot be aligned. "
                    "Leave it at alpha=1."
                )


def squares(
    plates: Sequence[Dataset], params: ProfileParams
) -> dict[tuple[str, str], Sequence[str]]:
    """Return the fields of each well in the order of a square; empty where they are averaged.

    Raises
    ------
    InvalidInput
        If those of a well are no square.
    """
    found: dict[tuple[str, str], Sequence[str]] = {}
    if params.across_fields == "mean":
        return found
    for plate in plates:
        for well in plate.wells:
            fovs = [fov for fov in plate.fovs if fov.well == well]
            order = in_square(fovs, params.field_order)
            found[plate_name(plate), well] = [fovs[i].name for i in order]
    return found


def write_levels(
    plates: Sequence[Dataset],
    params: ProfileParams,
    about: Mapping[str, str],
    profiler: Profiler,
    fields: Profiles,
    job: Job,
) -> None:
    """Pool fields to all levels, map each, and write them.

    Parameters
    ----------
    plates
        The first is the one whose workspace they are written to.
    params, about, profiler
        What the profile follows from, kept with it.
    fields
        A row per field and time point of all plates.
    job
        Progress and cancelling.
    """
    fields = standardize(fields, params.standardize, params.controls)
    over_time = wells_over_time(fields, squares(plates, params))
    whole = len(fields.obs.groupby(["plate", "well", "t"]))
    if whole > len(over_time):
        job.note(
            f"{whole - len(over_time)} of {whole} wells and time points lack a field and were "
            "left out of well_time and well."
        )
    aligned = params.alpha < 1.0
    if aligned:
        over_time = align(over_time, params.alpha)
    by_well = wells(over_time)
    levels = {
        "field": fields,
        "well_time": over_time,
        "well": by_well,
        "condition": conditions(by_well),
    }
    if not len(levels["condition"]):
        raise InvalidInput("No well has a condition: correct the conditions table.")
    if (fields.obs["condition"] == "").any():
        none = fields.obs.loc[fields.obs["condition"] == "", "well"].nunique()
        job.note(f"The conditions table says nothing of {none} wells: they are in no condition.")
    kept = {
        **profiler.about,
        **about,
        "settings": params.model_dump_json(),
        "source": profiler.source,
        "aligned": aligned,
    }
    folder = plates[0].workspace.profile(params.kept_as())
    for level, profiles in job.track(levels.items(), "pool and map"):
        shard = _shard(profiles, {**kept, "level": level})
        shard.obsm.update(maps(profiles.vectors, params.map, job))
        write_shard(folder / f"{level}.zarr", shard)


def _shard(profiles: Profiles, about: dict[str, Any]) -> ad.AnnData:
    obs = profiles.obs[[name for name in _ORDER if name in profiles.obs]].copy()
    parts = ["plate", "fov_name" if "fov_name" in obs else "well"]
    if "well" not in obs:
        parts = ["condition"]
    elif "t" in obs:
        parts.append("t")
    obs.index = pd.Index(["/".join(map(str, row)) for row in obs[parts].to_numpy()])
    return ad.AnnData(
        profiles.vectors, obs=obs, var=pd.DataFrame(index=profiles.names), uns=dict(about)
    )
