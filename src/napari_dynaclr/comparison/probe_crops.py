"""Labelled crops of two frames: cells that divide between them, and cells that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_dynaclr.comparison.labels import NothingToHoldOut, hold_out
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.core.tasks import UNKNOWN, find_task
from napari_dynaclr.embedding.tap.images import prepare
from napari_dynaclr.evaluation.events import of_tracks, true_tracks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_dynaclr.comparison.probes import ProbesParams
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.tap.recipe import Stacks

DIVIDING, OTHER = "dividing", "other"


@dataclass(frozen=True)
class Crops:
    """Pairs of crops with what is known of them.

    Attributes
    ----------
    pixels
        Normalised as TAP sees them, (N, 2, Y, X).
    dividing
        Whether a cell divides in the middle, (N,).
    held_out
        Whether they are of FOVs that nothing is learnt from, (N,).
    where
        Names of these FOVs.
    """

    pixels: NDArray[np.float32]
    dividing: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    where: tuple[str, ...]


def gather(
    dataset: Dataset,
    params: ProbesParams,
    channel: Callable[[Fov], str],
    step: int,
    stacks: Stacks,
    job: Job,
) -> Crops:
    """Choose crops in all FOVs and read them, each frame once.

    Parameters
    ----------
    dataset
        The movies.
    params
        Settings of the comparison.
    channel
        Which channel is shown of a FOV.
    step
        Frames from the first to the second crop of a pair.
    stacks
        What becomes of images with depth.
    job
        Progress and cancelling.

    Raises
    ------
    InvalidInput
        If nothing divides, or nothing could be held out.
    MissingInput
        If a FOV has not been tracked, where divisions are those of its tracks.
    """
    truth = open_dataset(params.truth) if params.truth else None
    generator = np.random.default_rng(params.seed)
    annotated = None if truth or params.known == "tracks" else _annotated(dataset)
    tables, dividing_there = [], 0
    for fov in job.track(dataset.fovs, "choose crops"):
        if annotated is None:
            known = _known(dataset, truth, fov, params, step)
        else:
            known = annotated[annotated["fov_name"] == fov.name]
        dividing_there += int((known["state"] == DIVIDING).sum())
        tables.append(_drawn(known, fov, params, step, generator))
    table = _fewer(pd.concat(tables, ignore_index=True), params.crops, generator)
    if not (table["state"] == DIVIDING).any():
        none = "no cell is known to divide"
        if dividing_there:
            none = (
                f"none of the {dividing_there} that are known is far enough from the border and "
                "the end of the movie"
            )
        raise InvalidInput(
            f"No crop of a dividing cell could be had, for {none}: choose FOVs in which more cells "
            "divide, or a smaller patch_size."
        )
    try:
        where = hold_out(dataset, params.held_out, table, "division")
    except NothingToHoldOut:
        raise InvalidInput(_too_few(dataset, table)) from None
    away = table["fov_name"].isin(where).to_numpy()
    for part, what in ((~away, "to learn from"), (away, "held out")):
        if table["state"][part].nunique() < 2:
            raise InvalidInput(
                f"The crops {what} do not show both dividing and other cells. "
                f"{_too_few(dataset, table)}"
            )
    size = params.patch_size
    pixels = np.empty((len(table), 2, size, size), np.float32)
    for name, members in job.track(list(table.groupby("fov_name").indices.items()), "read crops"):
        fov, rows = dataset[str(name)], np.asarray(members)
        _read(fov, channel(fov), table.iloc[rows], rows, step, stacks, pixels)
    dividing = (table["state"] == DIVIDING).to_numpy(bool)
    return Crops(pixels, dividing, away, where)


def _too_few(dataset: Dataset, table: pd.DataFrame) -> str:
    """Say how many crops there are of each FOV, and how many it takes."""
    of_kind = [table["fov_name"][table["state"] == kind] for kind in (DIVIDING, OTHER)]
    counts = [
        f"{name} {(of_kind[0] == name).sum()} and {(of_kind[1] == name).sum()}"
        for name in dataset.fov_names[:12]
    ]
    more = ", ..." if len(dataset.fov_names) > 12 else ""
    return (
        "Two FOVs are needed at least, each with a crop of a dividing cell and one of another: one "
        f"to learn from, one to be held out. There are {', '.join(counts)}{more}. Choose further "
        "FOVs, or longer movies."
    )


def _known(
    dataset: Dataset, truth: Dataset | None, fov: Fov, params: ProbesParams, step: int
) -> pd.DataFrame:
    """List cells with their ``state``, at the first of the two frames."""
    tracks = true_tracks(truth, fov) if truth is not None else dataset.workspace.tracks(fov)
    divisions = of_tracks(tracks, fov.scale)
    mothers = [place[0] / fov.scale for place in divisions.places]
    cells = tracks[["t", "z", "y", "x"]].assign(state=OTHER)
    if not mothers:
        return cells
    # Two frames that far apart show a division if it happens at any step between them.
    dividing = [
        pd.DataFrame(mothers, columns=["z", "y", "x"]).assign(t=divisions.t - before)
        for before in range(step)
    ]
    found = pd.concat(dividing, ignore_index=True).assign(state=DIVIDING)
    found = found[found["t"] >= 0]
    places = np.array(mothers)[:, 1:]
    y, x = (np.abs(cells[axis].to_numpy()[:, None] - places[:, i]) for i, axis in enumerate("yx"))
    late = cells["t"].to_numpy()[:, None] - divisions.t
    near = (np.maximum(y, x) < params.patch_size) & (late >= -step - 1) & (late <= step + 1)
    far: pd.DataFrame = cells[~near.any(axis=1)]
    return pd.concat([found, far], ignore_index=True)


def _annotated(dataset: Dataset) -> pd.DataFrame:
    """List the annotated cells of all FOVs with their ``state``."""
    task = find_task("division", read_tasks(dataset.workspace))
    table = current_annotations(dataset)
    said = table.get(task.column, pd.Series("", index=table.index)).fillna("")
    table = table[~said.isin(["", UNKNOWN])]
    state = np.where(said[table.index] == task.state_names[0], OTHER, DIVIDING)
    found: pd.DataFrame = table[["fov_name", "t", "z", "y", "x"]].assign(state=state)
    return found


def _drawn(
    known: pd.DataFrame,
    fov: Fov,
    params: ProbesParams,
    step: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Keep crops that are whole, and as many of other cells as the settings say."""
    half = params.patch_size // 2
    inside = known["t"] + step < fov.shape[0]
    for axis, size in zip("yx", fov.shape[2:], strict=True):
        corner = known[axis].round() - half
        inside &= (corner >= 0) & (corner + params.patch_size <= size)
    known = known[inside].assign(fov_name=fov.name)
    dividing = known[known["state"] == DIVIDING]
    others = known[known["state"] == OTHER]
    count = min(len(others), max(1, params.others * len(dividing)))
    rows = np.sort(generator.choice(len(others), count, replace=False))
    return pd.concat([dividing, others.iloc[rows]], ignore_index=True)


def _fewer(table: pd.DataFrame, most: int, generator: np.random.Generator) -> pd.DataFrame:
    """Leave out crops at random where there are too many to be kept in memory."""
    if len(table) <= most:
        return table
    rows = generator.choice(len(table), most, replace=False)
    return table.iloc[np.sort(rows)].reset_index(drop=True)


def _read(
    fov: Fov,
    channel: str,
    table: pd.DataFrame,
    rows: NDArray[np.intp],
    step: int,
    stacks: Stacks,
    pixels: NDArray[np.float32],
) -> None:
    size = pixels.shape[-1]
    first = table["t"].to_numpy(int)
    corners = (table[["y", "x"]].round().to_numpy() - size // 2).astype(int)
    depth = table["z"].round().to_numpy(int)
    times = sorted(set(first) | set(first + step))
    for t, frame in fov.frames([channel], times):
        image = prepare(frame[0], stacks)
        for side, there in enumerate((first == t, first + step == t)):
            for i in np.flatnonzero(there):
                (y, x), z = corners[i], min(depth[i], len(image) - 1)
                pixels[rows[i], side] = image[z, y : y + size, x : x + size]
