"""The vectors of all fields of a plate, made where they are not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_dynaclr.core.atomic import atomic_file
from napari_dynaclr.core.conditions import find_conditions, plate_name
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.runs import claimed, pending, result_key, source_key
from napari_dynaclr.profiling.pooling import Profiles

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.profiles import ProfileParams, Profiler
    from napari_dynaclr.core.registry import Method
    from napari_dynaclr.core.workspace import Workspace

_LACKING = 0.5
"""A dimension is left out where more of the fields than this have no finite value of it."""


def make_vectors(
    dataset: Dataset, method: Method, params: ProfileParams, profiler: Profiler, job: Job
) -> dict[str, str]:
    """Make the vectors of the fields of a plate that are not there yet, field by field.

    They are kept in the plate's own workspace and depend neither on conditions nor on how
    they are pooled.

    Returns
    -------
    dict
        Key of the vectors of each FOV, by its name.
    """
    workspace, name = dataset.workspace, params.kept_as()
    result = _vectors(name)
    inputs = {fov.name: profiler.inputs(fov) for fov in dataset.fovs}
    keys = {
        fov.name: result_key(
            method,
            params.of_vectors(),
            source_key(fov),
            *_as_made(workspace, fov, inputs[fov.name]),
            *profiler.weights,
        )
        for fov in dataset.fovs
    }
    for fov in dataset.fovs:
        if not _file(workspace, name, fov).exists():  # a person deleted it
            workspace.forget(result, fov)
    done, todo = pending(dataset, result, keys)
    work = job.track(todo, f"profile {dataset.root.name}", len(dataset.fovs), len(done))
    for fov in claimed(workspace, result, work):
        found = list(profiler.field_vectors(fov, job))
        names = [str(one) for one in profiler.columns(fov).index]
        times = np.array([t for t, _, _ in found], np.int64)
        cells = np.array([cells for _, _, cells in found], np.int64)
        vectors = np.zeros((len(found), len(names)), np.float32)
        for row, (_, vector, _) in enumerate(found):
            vectors[row] = vector
        workspace.forget(result, fov)
        with atomic_file(_file(workspace, name, fov)) as temporary:
            np.savez(temporary, t=times, cells=cells, vectors=vectors, names=np.array(names, "U"))
        workspace.mark_complete(result, fov, keys[fov.name], inputs[fov.name])
    return keys


def _as_made(workspace: Workspace, fov: Fov, inputs: dict[str, str]) -> list[str]:
    """Keys of inputs, and when they were made: cells that a person deletes change no key."""
    return [f"{key}|{workspace.finished(name, fov)}" for name, key in inputs.items()]


def _vectors(name: str) -> str:
    return f"profile_vectors.{name}"


def _file(workspace: Workspace, name: str, fov: Fov) -> Path:
    return workspace.profile(name) / "vectors" / f"{fov.file_name}.npz"


def gather(plates: list[Dataset], params: ProfileParams, job: Job) -> Profiles:
    """Read the vectors of the fields of all plates.

    Dimensions that most fields have no finite value of are left out, and fields that then have
    none of some other; the job is told.

    Raises
    ------
    InvalidInput
        If fields differ in their dimensions, plates share a name, or there is no vector, or
        none without NaN.
    """
    called = [plate_name(plate) for plate in plates]
    same = next((name for name in called if called.count(name) > 1), None)
    if same:
        raise InvalidInput(f"Two plates are called '{same}': rename the folder of one of them.")
    parts: list[NDArray[np.float32]] = []
    tables: list[pd.DataFrame] = []
    names: list[str] = []
    first = ""
    for plate, called_so in zip(plates, called, strict=True):
        conditions = find_conditions(plate, params.conditions)
        for fov in plate.fovs:
            with np.load(_file(plate.workspace, params.kept_as(), fov), allow_pickle=False) as held:
                here, vectors = held["names"].tolist(), held["vectors"]
                table = pd.DataFrame({"t": held["t"], "cells": held["cells"]})
            if first and here != names:
                raise _differ(f"{called_so} {fov.name}", here, first, names)
            names, first = here, first or f"{called_so} {fov.name}"
            parts.append(vectors)
            tables.append(_described(table, fov, called_so, conditions[fov.well]))
    obs = pd.concat(tables, ignore_index=True)
    if obs.empty:
        raise InvalidInput("No field has a cell at any time point: there is nothing to profile.")
    if obs["hours"].isna().all():
        obs = obs.drop(columns="hours")
    return _finite(Profiles(np.concatenate(parts), obs, names), job)


def _finite(fields: Profiles, job: Job) -> Profiles:
    bad = ~np.isfinite(fields.vectors)
    if not bad.any():
        return fields
    kept = bad.mean(axis=0) <= _LACKING
    whole = ~bad[:, kept].any(axis=1)
    if not kept.any() or not whole.any():
        raise InvalidInput(
            "No field has finite values of the dimensions: check the images, and make the "
            "embedding anew with 'embed'."
        )
    if not kept.all():
        names = [name for name, one in zip(fields.names, kept, strict=True) if not one]
        some = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        job.note(
            f"Left out: {len(names)} of {len(kept)} dimensions, of which most fields and times "
            f"have no finite value ({some})."
        )
    if not whole.all():
        lost = fields.obs[~whole]
        job.note(
            f"Left out: {len(lost)} of {len(whole)} fields and times, which have no finite value "
            f"of some dimension, such as FOV {lost['fov_name'].iloc[0]} at time point "
            f"{lost['t'].iloc[0]}."
        )
    names = [name for name, one in zip(fields.names, kept, strict=True) if one]
    obs = fields.obs[whole].reset_index(drop=True)
    return Profiles(fields.vectors[np.ix_(whole, kept)], obs, names)


def _described(table: pd.DataFrame, fov: Fov, plate: str, condition: str) -> pd.DataFrame:
    row, _, column = fov.well.partition("/")
    seconds = fov.frame_interval
    hours = np.nan if seconds is None else table["t"] * seconds / 3600.0
    return pd.DataFrame(
        {
            "fov_name": fov.name,
            "t": table["t"],
            "plate": plate,
            "well": fov.well,
            "row": row,
            "column": column,
            "condition": condition,
            "hours": hours,
            "cells": table["cells"],
            "fields": 1,
        }
    )


def _differ(place: str, here: list[str], first: str, names: list[str]) -> InvalidInput:
    unlike = next((a for a, b in zip(here, names, strict=False) if a != b), "")
    what = f"such as '{unlike}'" if unlike else "as the others"
    return InvalidInput(
        f"{place} has {len(here)} dimensions, {what}, and {first} has {len(names)} others: make "
        "both from the same channels, with the same settings and weights."
    )
