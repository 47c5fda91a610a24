"""What was made from tracks goes along when they are corrected: vectors, maps, predictions.

What belongs to a cell that is deleted is set aside, for the deletion may be undone: vectors,
maps and states in the shard itself, so that they are gone when an embedding is made anew,
rows of the tables of predictions in a table beside (:mod:`napari_dynaclr.core.set_aside`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.atomic import clear_replaced, remove, write_csv
from napari_dynaclr.core.set_aside import MADE_FROM, read_set_aside
from napari_dynaclr.core.shards import SET_ASIDE, nodes, read_shard, write_shard

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.workspace import Workspace

_RENEWED = ("track_id", "parent_track_id", "parent_id")


def carry_shard(
    workspace: Workspace, name: str, fov: Fov, tracks: pd.DataFrame, key: str, job: Job
) -> None:
    """Give the cells of an embedding their tracks of today, and set those aside that are gone.

    Cells that come back have what they had, unless a map or predictions were made without
    them since. Cells that were added have no vector yet: a note says so, and the embedding
    counts as to be made again, though it is shown until then.

    Parameters
    ----------
    workspace, name, fov
        Which embedding.
    tracks
        The corrected tracks.
    key
        Key of the tracks; an embedding of others is left alone.
    job
        For the note.
    """
    result = f"embeddings.{name}"
    # What an interrupted run left has the cells in the order of the table before.
    left = workspace.path / ".partial" / result / fov.file_name
    if left.exists():
        remove(left)
    made_from = workspace.made_from(result, fov).get("tracks")
    if made_from != key or not workspace.shard(name, fov).exists():
        return
    shard = read_shard(workspace.shard(name, fov))
    clear_replaced(workspace.shard(name, fov))
    here_now = len(shard)
    shard, lost = _with_set_aside(shard, _stamp(workspace, name, fov))
    held = nodes(shard)
    found = _rows(held, tracks)
    here, rows = tracks[found >= 0], found[found >= 0]
    gone = np.setdiff1d(np.arange(len(held)), rows)
    missing = len(tracks) - len(here)
    if missing:
        cells = "1 added cell has" if missing == 1 else f"{missing} added cells have"
        job.note(
            f"FOV {fov.name}: {cells} no embedding '{name}' yet: run 'embed' again to make it."
        )
    edited = bool(missing or len(gone) or len(lost))
    if edited:
        # First, for a run that is killed here.
        workspace.amend(result, fov, edited=True)
    same = len(rows) == here_now and np.array_equal(rows, np.arange(here_now))
    if not same or any((held[one][rows].to_numpy() != here[one]).any() for one in _RENEWED):
        carried = shard[rows].copy()
        for one in (one for one in here if one in held):
            carried.obs[one] = here[one].to_numpy()
        if len(gone) or len(lost):
            aside = shard[gone].copy()
            aside.uns.clear()
            stamp = _stamp(workspace, name, fov)
            carried.uns[SET_ASIDE] = {"cells": aside, "lost": lost, "stamp": stamp}
        write_shard(workspace.shard(name, fov), carried)
    if not edited and workspace.edited(result, fov):
        workspace.amend(result, fov, edited=None)


def _with_set_aside(shard: ad.AnnData, stamp: str) -> tuple[ad.AnnData, NDArray[np.int64]]:
    """Join a shard with the cells that were set aside; also the ids of those that are void.

    They are void once another map or other predictions are in the shard than when they were
    set aside, for those know nothing of them.
    """
    import anndata as ad

    aside: dict[str, Any] | None = shard.uns.pop(SET_ASIDE, None)
    if aside is None:
        return shard, np.empty(0, np.int64)
    lost = np.asarray(aside["lost"], np.int64)
    cells = aside["cells"]
    if str(aside["stamp"]) != stamp:
        return shard, np.union1d(lost, nodes(cells)["id"].to_numpy(np.int64))
    if not len(cells):
        return shard, lost
    # A shard without cells, when all were deleted, has nothing to be joined with.
    joined = ad.concat([shard, cells], merge="same") if len(shard) else cells.copy()
    joined.var, joined.uns = shard.var, shard.uns
    return joined, lost


def _stamp(workspace: Workspace, name: str, fov: Fov) -> str:
    """Tell which maps and predictions are in a shard."""
    progress = workspace.path / "progress"
    results = [
        one.name
        for kind in ("projection", "predictions")
        for one in progress.glob(f"{kind}.{name}.*")
    ]
    return json.dumps(
        [(one, workspace.key(one, fov), workspace.finished(one, fov)) for one in sorted(results)]
    )


def _rows(held: pd.DataFrame, tracks: pd.DataFrame) -> NDArray[np.intp]:
    """Return the row that each cell of the tracks has in a table, -1 where it has none, (N,).

    An id is never given to another cell, also if the first was taken back.
    """
    row = {int(node): row for row, node in enumerate(held["id"])}
    return np.array([row.get(int(node), -1) for node in tracks["id"]], np.intp)


def carry_predictions(workspace: Workspace, fov: Fov, tracks: pd.DataFrame, key: str) -> None:
    """Do the same with the tables of predictions.

    Parameters
    ----------
    workspace, fov
        Which.
    tracks
        The corrected tracks.
    key
        Key of the tracks: what was set aside of others does not come back.
    """
    for file in sorted((workspace.path / "predictions").glob("[!.]*.csv")):
        # Another process may carry those of another FOV, or predict.
        with workspace.lock():
            _carry_table(workspace, file.stem, fov, tracks, key)


def _carry_table(workspace: Workspace, task: str, fov: Fov, tracks: pd.DataFrame, key: str) -> None:
    import pandas as pd

    file, beside = workspace.predictions(task), workspace.set_aside(task)
    name = fov.name.encode()
    # A glance: most tables are large, and many know nothing of the FOV.
    if not any(one.exists() and name in one.read_bytes() for one in (file, beside)):
        return
    # As text: the numbers of other FOVs stay as they are to the last digit.
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    columns = [str(one) for one in table]
    aside = read_set_aside(workspace, task, columns)
    ours = table["fov_name"] == fov.name
    back = aside[(aside["fov_name"] == fov.name) & (aside[MADE_FROM] == key)]
    known = pd.concat([table[ours], back[columns]]).drop_duplicates("id", ignore_index=True)
    held = known.assign(id=known["id"].astype(np.int64))
    found = _rows(held, tracks)
    there = known.iloc[found[found >= 0]].assign(
        track_id=tracks["track_id"][found >= 0].astype(str).to_numpy()
    )
    first = int(np.argmax(ours)) if ours.any() else len(table)
    before, after = table.iloc[:first], table.iloc[first:][~ours.iloc[first:]]
    new = pd.concat([before, there[columns], after], ignore_index=True)
    gone = known[~known.index.isin(found)].assign(**{MADE_FROM: key})
    # First, and never less: a run that is killed between the two has lost nothing, and what
    # is in both counts as it is in the table.
    kept = pd.concat([gone, aside]).drop_duplicates(["fov_name", "id"], ignore_index=True)
    if not kept.equals(aside):
        write_csv(beside, kept)
    if not new.equals(table):
        write_csv(file, new)
