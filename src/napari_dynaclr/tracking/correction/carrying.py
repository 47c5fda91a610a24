"""What was made from tracks goes along when they are corrected: vectors, maps, predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.atomic import clear_replaced, remove, write_csv
from napari_dynaclr.core.shards import nodes, read_shard, write_shard

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.workspace import Workspace

_RENEWED = ("track_id", "parent_track_id", "parent_id")


def carry_shard(
    workspace: Workspace, name: str, fov: Fov, tracks: pd.DataFrame, key: str, job: Job
) -> None:
    """Give the cells of an embedding their tracks of today, and leave out those that are gone.

    Cells that were added have no vector yet: a note says so, and the embedding counts as
    to be made again, though it is shown until then.

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
    held = nodes(shard)
    place = {node: row for row, node in enumerate(held["id"])}
    here = tracks[tracks["id"].isin(place)]
    rows = np.array([place[node] for node in here["id"]], np.intp)
    missing = len(tracks) - len(here)
    if missing:
        cells = "1 added cell has" if missing == 1 else f"{missing} added cells have"
        job.note(
            f"FOV {fov.name}: {cells} no embedding '{name}' yet: run 'embed' again to make it."
        )
    if missing or len(here) < len(held):
        # First, for a run that is killed here.
        workspace.amend(result, fov, edited=True)
    same = np.array_equal(rows, np.arange(len(held)))
    if same and all((held[one].to_numpy() == here[one].to_numpy()).all() for one in _RENEWED):
        return
    carried = shard[rows].copy()
    for one in (one for one in here if one in held):
        carried.obs[one] = here[one].to_numpy()
    write_shard(workspace.shard(name, fov), carried)


def carry_predictions(workspace: Workspace, fov: Fov, tracks: pd.DataFrame) -> None:
    """Do the same with the tables of predictions.

    Parameters
    ----------
    workspace, fov
        Which.
    tracks
        The corrected tracks.
    """
    import pandas as pd

    track = tracks.set_index("id")["track_id"]
    for file in sorted((workspace.path / "predictions").glob("[!.]*.csv")):
        # As text: the numbers of other FOVs stay as they are to the last digit.
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        ours = table["fov_name"] == fov.name
        there = table[ours].assign(node=table["id"].astype(np.int64), t_=table["t"].astype(int))
        there = there[there["node"].isin(track.index)]
        there = there.assign(track=there["node"].map(track)).sort_values(["track", "t_"])
        there["track_id"] = there["track"].astype(str)
        first = int(np.argmax(ours)) if ours.any() else 0
        before, after = table.iloc[:first], table.iloc[first:][~ours.iloc[first:]]
        new = pd.concat([before, there[table.columns], after], ignore_index=True)
        if not new.equals(table):
            write_csv(file, new)
