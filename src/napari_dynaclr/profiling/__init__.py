"""Profiling: one vector per field, well and condition, for whole wells to be compared."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import pending, recorded, result_key

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.core.profiles import Profiler


def profile(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Profile fields, wells and conditions (sslprofiler.txt, Section 3.3).

    Writes ``profiles/<name>/<level>.zarr``, an AnnData each: ``field`` has a row per FOV and
    time point, ``well_time`` per well and time point, ``well`` and ``condition`` one for each.
    ``obs`` says what a row is of and how many cells it was made from; ``obsm`` has maps; in
    ``uns`` is what it was made from and whether it was aligned between plates.

    FOVs are gone through one after the other, and what is known of one is kept, so that an
    interrupted run goes on and other conditions or another way of pooling cost nothing anew.

    Parameters
    ----------
    dataset
        The plate, or FOVs of it. What is made of some replaces what was made of all.
    params
        Settings of a profiling method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        ``fov_name``, ``t``, ``plate``, ``well``, ``row``, ``column``, ``condition``, ``hours``
        (where frames are so many apart), ``cells`` and ``fields`` of every field's profile.

    Raises
    ------
    MissingInput
        If what profiles are made from has not been made, such as the embedding.
    InvalidInput
        If plates do not go together, the conditions table cannot be used, or fields cannot
        be pooled as was asked for; the message says why.
    """
    from napari_dynaclr.core.conditions import FILE, find_conditions, keep_conditions
    from napari_dynaclr.core.dataset import open_dataset
    from napari_dynaclr.core.profiles import LEVELS, ProfileParams, made_of, profile_rows
    from napari_dynaclr.profiling.gathering import gather, make_vectors
    from napari_dynaclr.profiling.levels import check_plates, write_levels

    job = job or Job()
    method, chosen = resolve("profile", params)
    params = cast("ProfileParams", chosen)
    module, workspace, name = method.load(), dataset.workspace, params.kept_as()
    result = f"profiles.{name}"
    with recorded(dataset, method, params) as entry:
        job.check()
        plates = [dataset, *(open_dataset(path) for path in params.also)]
        check_plates(plates, params)
        conditions = [find_conditions(plate, params.conditions) for plate in plates]
        if not params.conditions and not (workspace.path / FILE).exists():
            job.note(
                "There is no table of conditions, so that each row of the plate counts as one: "
                "name a table with conditions=."
            )
        keys: list[str] = []
        profilers: list[Profiler] = []
        for plate in plates:
            plate.workspace.prepare(plate.channels)
            if params.conditions:
                keep_conditions(plate, params.conditions)
            with ExitStack() as stack:
                profiler = stack.enter_context(module.open_profiler(plate, params, job))
                made = make_vectors(plate, method, params, profiler, job)
            keys += made.values()
            profilers.append(profiler)
        entry["weights_sha256"] = list(profilers[0].weights)
        key = result_key(method, params, *dataset.fov_names, *keys, conditions)
        _, todo = pending(dataset, result, dict.fromkeys(dataset.fov_names, key))
        whole = all((workspace.profile(name) / f"{level}.zarr").exists() for level in LEVELS)
        if todo or not whole:
            fields = gather(plates, params)
            with workspace.claim(result, dataset.fovs[0]):
                # Void from here on, also those of FOVs that were not selected now.
                for fov in dataset.whole.fovs:
                    workspace.forget(result, fov)
                further = {
                    str(plate.root.absolute()): {fov.name: one.inputs(fov) for fov in plate.fovs}
                    for plate, one in zip(plates[1:], profilers[1:], strict=True)
                }
                about = {"method": method.name, "key": key, "further_plates": made_of(further)}
                write_levels(plates, params, about, profilers[0], fields, job)
                for fov in dataset.fovs:
                    made_from = profilers[0].inputs(fov)
                    workspace.mark_complete(result, fov, key, made_from)
    return profile_rows(workspace.profiles(name, "field"))
