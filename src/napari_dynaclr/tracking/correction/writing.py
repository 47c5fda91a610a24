"""Corrections brought into the workspace: the tracks, and what was made from them."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.annotations import write_annotations
from napari_dynaclr.core.atomic import (
    clear_replaced,
    remove,
    replace_folder,
    write_csv,
    write_text,
)
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.ledger import AHEAD
from napari_dynaclr.core.plate_writer import list_position
from napari_dynaclr.tracking.correction.carrying import carry_predictions, carry_shard
from napari_dynaclr.tracking.correction.corrector import Corrector
from napari_dynaclr.tracking.correction.drawing import corrected_labels
from napari_dynaclr.tracking.correction.engine import (
    KEPT,
    LINKED,
    engine_key,
    kept_key,
    read_engine,
)
from napari_dynaclr.tracking.correction.journal import Corrections, digest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import zarr

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.workspace import Workspace
    from napari_dynaclr.tracking.correction.engine import Engine
    from napari_dynaclr.tracking.correction.lineages import Lineages

_UNFINISHED = "unfinished"
"""Stands for corrections that are being written: no digest is like it."""


def write_corrections(dataset: Dataset, fovs: Iterable[Fov], job: Job | None = None) -> bool:
    """Bring the corrections of FOVs that are in force into ``tracks.zarr``.

    What the method made is kept as ``linked.zarr`` first, and every write starts from it:
    frames without a change share their pixels with it, where the disk allows. Embeddings
    and predictions go along, and ``annotations.csv`` when all are done. Killed anywhere,
    the tracks count as behind their corrections, and doing it again finishes it.

    Parameters
    ----------
    dataset
        The dataset.
    fovs
        The FOVs.
    job
        Progress and cancelling.

    Returns
    -------
    bool
        Whether there was anything to write.

    Raises
    ------
    MissingInput
        If a FOV has not been tracked, or its tracks are out of date.
    InvalidInput
        If another process is at work on its tracks or embeddings.
    """
    written = False
    try:
        for fov in fovs:
            written |= _write(dataset, fov, job or Job())
    finally:  # of those that are done, if the others are cancelled
        if written and dataset.workspace.journal.exists():
            write_annotations(dataset)
    return written


def _write(dataset: Dataset, fov: Fov, job: Job) -> bool:
    workspace = dataset.workspace
    key = engine_key(workspace, fov)
    journal = Corrections(workspace.corrections)
    now = digest(journal.in_force(fov.name, key))
    # Killed between two names of a folder, it has none.
    workspace.recover_corrected(fov)
    if now == workspace.corrected(fov) and workspace.tracks_csv(fov).exists():
        _settle(workspace, fov, journal, key, now)
        return False
    job.check()
    with ExitStack() as stack:
        results = ["tracks", *_embeddings(workspace)]
        for result in results:
            stack.enter_context(workspace.claim(result, fov))
        corrector = Corrector(dataset, fov.name)
        now = digest(corrector.corrections)
        for line in corrector.refused:
            job.note(f"FOV {fov.name}, left out: {line}")
        # From here on, a run that is killed leaves tracks that count as behind, whatever is
        # undone until the next one.
        workspace.set_head(fov, key, AHEAD)
        _keep(workspace, fov, read_engine(dataset, fov))
        workspace.amend("tracks", fov, corrections=_UNFINISHED)
        engine, lineages = read_engine(dataset, fov), corrector.lineages
        tracks = _build(workspace.correcting(fov), engine, lineages, fov, job)
        with workspace.lock():
            replace_folder(workspace.correcting(fov), workspace.plate("tracks") / fov.name)
        remove(workspace.correcting(fov).parent)
        for result in job.track(results[1:], f"embeddings {fov.name}"):
            carry_shard(workspace, result.partition(".")[2], fov, tracks, key, job)
        carry_predictions(workspace, fov, tracks, key)
        workspace.amend("tracks", fov, corrections=now or None)
        _settle(workspace, fov, journal, key, now)
    return True


def _settle(workspace: Workspace, fov: Fov, journal: Corrections, key: str, written: str) -> None:
    """Note that the tracks have what the journal says, unless it has gone on meanwhile."""
    if workspace.heads(fov):
        with journal.exclusive():
            if digest(journal.in_force(fov.name, key)) == written:
                workspace.set_head(fov, key, written)


def _embeddings(workspace: Workspace) -> list[str]:
    """Return all embeddings that there are or that are being made, as results."""
    found: set[str] = set()
    for place in (workspace.path / "progress", workspace.path / ".partial"):
        found |= {one.name for one in place.glob("embeddings.*")}
    return sorted(found)


def _keep(workspace: Workspace, fov: Fov, engine: Engine) -> None:
    """Keep what the method made, before it is replaced for the first time."""
    plate = workspace.plate(LINKED)
    clear_replaced(plate / fov.name)
    if kept_key(plate / fov.name) == engine.key:
        return
    folder = workspace.partial(LINKED, fov, engine.key) / "image"
    remove(folder)
    _share(engine.folder, folder, without=set())
    shutil.copy2(engine.folder / "tracks.csv", folder / "tracks.csv")
    write_text(folder / KEPT, f'{{"key": "{engine.key}"}}\n')
    with workspace.lock():
        replace_folder(folder, plate / fov.name)
        list_position(plate, fov)
    remove(folder.parent)


def _build(folder: Path, engine: Engine, lineages: Lineages, fov: Fov, job: Job) -> Any:
    """Make the corrected FOV, image and table; the table."""
    import zarr

    remove(folder)
    times = lineages.changed_times()
    array = zarr.open_array(engine.folder / "0", mode="r")
    _share(
        engine.folder, folder, without={engine.folder / "0" / one for one in _chunks(array, times)}
    )
    new = zarr.open_array(folder / "0", mode="r+")
    areas: dict[int, int] = {}
    frames = engine.labels.frames(["labels"], times, allow_empty=True)
    for t, frame in job.track(frames, f"correct {fov.name}", total=len(times)):
        labels, drawn = corrected_labels(frame[0], lineages, t, fov.scale)
        new[t, 0] = labels
        areas |= drawn
    tracks = lineages.tracks
    if "area" in tracks and areas:
        measured = tracks["id"].map(areas)
        tracks["area"] = (
            tracks["area"].where(measured.isna(), measured).astype(tracks["area"].dtype)
        )
    write_csv(folder / "tracks.csv", tracks)
    return tracks


def _chunks(array: zarr.Array[Any], times: Iterable[int]) -> Iterable[str]:
    """Return the names of the chunks of some time points, of which each has its own."""
    grid = [-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True)]
    for t in times:
        for rest in np.ndindex(*grid[1:]):
            yield array.metadata.encode_chunk_key((t, *rest))


_METADATA = {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"}
_TABLES = {"tracks.csv", KEPT}


def _share(source: Path, target: Path, without: set[Path]) -> None:
    """Make a folder of the same pixels, as further names of the same files where possible.

    Metadata are copied; tables, and what is named in ``without``, are left out.
    """
    for file in source.rglob("*"):
        if not file.is_file() or file in without or file.name in _TABLES:
            continue
        to = target / file.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        if file.name in _METADATA:
            shutil.copy2(file, to)
            continue
        try:
            os.link(file, to)
        except OSError:  # not on this disk, or too many names already
            shutil.copy2(file, to)
