"""Trajectories of mothers and daughters around divisions (dynaclr.txt, 4.1 and Fig. S2)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.figures import zoom_on_most
from napari_dynaclr.core.measures import cosine_distances, smoothness, trajectory_distances
from napari_dynaclr.core.params import Params
from napari_dynaclr.evaluation.report import Report
from napari_dynaclr.evaluation.trajectories import Trajectories, read_trajectories

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

_MOTHER, _DAUGHTERS = "black", ("#0050d0", "#d01010")
"""Colours of the paper's Fig. S2."""

_BACKGROUND = 20_000
"""Cells at most behind the trajectories."""


class DivisionsParams(Params):
    """Settings of the measures around divisions."""

    embedding: str = Field(
        "features",
        title="Embedding",
        description="Which embedding.",
        json_schema_extra={"choices": "embeddings"},
    )
    standardize: bool = Field(
        True,
        title="Standardise",
        description="Scale every dimension to unit variance first, as engineered features with "
        "their different units need; switch off for learned embeddings.",
    )
    frames: int = Field(
        5,
        title="Frames",
        description="Frames before and after a division that are looked at.",
        ge=1,
        le=1000,
    )
    projection: str = Field(
        "",
        title="Map",
        description="Map to draw on, such as phate; one that there is if left out, else the "
        "principal components.",
    )
    drawn: int = Field(
        6, title="Divisions drawn", description="How many divisions are drawn.", ge=1, le=100
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes the random pairs repeatable.",
        ge=0,
        json_schema_extra={"advanced": True},
    )


@dataclass(frozen=True)
class Division:
    """Rows of one division.

    Attributes
    ----------
    mother
        Rows of the mother's track in the order of time, (N,).
    daughters
        Those of each daughter.
    """

    mother: NDArray[np.intp]
    daughters: tuple[NDArray[np.intp], ...]


def measure(dataset: Dataset, params: DivisionsParams, job: Job) -> Report:
    """Measure how the embedding goes through divisions, over all FOVs together.

    Returns
    -------
    Report
        ``metric`` and ``value``; distances are cosine distances (Eq. 1):

        - ``divisions``: their number;
        - ``smoothness_around``: mean distance of successive frames from ``frames`` before
          a division to ``frames`` after it, that from mother to daughter included, over
          that of random frames of all tracks (Eq. 2); ``smoothness``: of all tracks;
        - ``mother_daughter``: from a mother's last frame to a daughter's first;
          ``mother_others``: from there to the other cells of the FOV at that time;
          ``mother_daughter_auc``: how often a daughter is nearer than another cell;
        - ``sisters``, ``sister_others``, ``sisters_auc``: the same between daughters in
          their first frame;
        - ``step_-1``, ``step_0``...: mean distance from the frame before to this one,
          counted from the daughters' first frame, 0.

    Raises
    ------
    InvalidInput
        If no track divides.
    """
    cells = read_trajectories(dataset, params.embedding, params.standardize, job)
    divisions = find_divisions(cells.cells)
    if not divisions:
        raise InvalidInput(
            "No track has two daughters: choose FOVs in which cells divide, or a tracker that "
            "finds divisions."
        )
    job.report("distances")
    adjacent, random = trajectory_distances(
        cells.vectors,
        cells.cells["track"].to_numpy(),
        cells.cells["t"].to_numpy(),
        seed=params.seed,
    )
    steps = distances_by_step(cells, divisions, params.frames)
    around = np.concatenate(list(steps.values()))
    values = {
        "divisions": float(len(divisions)),
        "smoothness_around": smoothness(around, random),
        "smoothness": smoothness(adjacent, random),
        **_families(cells, divisions, job),
        **{f"step_{step}": float(found.mean()) for step, found in steps.items()},
    }
    table = pd.DataFrame({"metric": list(values), "value": list(values.values())})
    levels = {
        "adjacent frames": float(adjacent.mean()),
        "random frames": float(random.mean()),
    }
    return Report(table, {"": _draw(cells, divisions, steps, levels, params)})


def find_divisions(cells: pd.DataFrame) -> list[Division]:
    """Find mothers with two daughters or more.

    Parameters
    ----------
    cells
        :data:`~napari_dynaclr.evaluation.trajectories.CELL_COLUMNS`, ordered by track
        and time.
    """
    rows = {track: np.asarray(members) for track, members in cells.groupby("track").indices.items()}
    parents = cells.groupby("track")["parent"].first()
    found = []
    for mother, daughters in parents[parents >= 0].groupby(parents):
        ends = cells["t"].iloc[rows[mother][-1]]
        later = [one for one in daughters.index if cells["t"].iloc[rows[one][0]] > ends]
        if len(later) > 1:
            found.append(Division(rows[mother], tuple(rows[one] for one in later)))
    return found


def distances_by_step(
    cells: Trajectories, divisions: list[Division], frames: int
) -> dict[int, NDArray[np.float64]]:
    """Collect the distances of successive frames by how far from a division they are.

    Returns
    -------
    dict
        From ``-frames`` to ``frames``: distances from the frame before to this one; the
        daughters' first frame is 0, and the step into it is from their mother. Steps that
        no cell makes are left out, also those over a gap in a track.
    """
    t = cells.cells["t"].to_numpy()
    pairs: dict[int, list[tuple[int, int]]] = {}
    for one in divisions:
        mother = one.mother[-frames - 1 :]
        for before, after in pairwise(mother):
            pairs.setdefault(int(t[after] - t[mother[-1]]) - 1, []).append((before, after))
        for rows in one.daughters:
            for before, after in pairwise([mother[-1], *rows[: frames + 1]]):
                pairs.setdefault(int(t[after] - t[rows[0]]), []).append((before, after))
    found = {}
    for step in sorted(step for step in pairs if abs(step) <= frames):
        before, after = np.array(pairs[step]).T
        follows = t[after] == t[before] + 1
        if follows.any():
            found[step] = cosine_distances(cells.unit, before[follows], after[follows])
    if not found:
        raise InvalidInput(
            "No mother or daughter has two successive time points around a division: there is "
            "nothing to measure."
        )
    return found


def _families(cells: Trajectories, divisions: list[Division], job: Job) -> dict[str, float]:
    """Compare mothers with daughters, and daughters with each other, to other cells there."""
    t, fov = cells.cells["t"].to_numpy(), cells.cells["fov_name"].to_numpy()
    found: dict[str, list[float]] = {name: [] for name in _FAMILIES}

    def note(what: str, near: float, others: NDArray[np.float64]) -> None:
        if len(others):
            for name, value in zip(
                (n for n in _FAMILIES if n.startswith(what)),
                (near, others.mean(), np.mean((near < others) + (near == others) / 2)),
                strict=True,
            ):
                found[name].append(float(value))

    for one in job.track(divisions, "divisions"):
        first = [rows[0] for rows in one.daughters]
        for daughter in first:
            here = cells.frames[(str(fov[daughter]), int(t[daughter]))]
            others = here[~np.isin(here, first)]
            for start, what in ((one.mother[-1], "mother"), (daughter, "sister")):
                distances = cosine_distances(cells.unit, np.full(len(others), start), others)
                kin = [daughter] if what == "mother" else [d for d in first if d != daughter]
                for other in kin:
                    if what == "mother" or t[other] == t[daughter]:
                        near = cosine_distances(cells.unit, np.array([start]), np.array([other]))
                        note(what, float(near[0]), distances)
    return {name: float(np.mean(values)) if values else np.nan for name, values in found.items()}


_FAMILIES = (
    "mother_daughter", "mother_others", "mother_daughter_auc",
    "sisters", "sister_others", "sisters_auc",
)  # fmt: skip


def _draw(
    cells: Trajectories,
    divisions: list[Division],
    steps: dict[int, NDArray[np.float64]],
    levels: dict[str, float],
    params: DivisionsParams,
) -> Figure:
    name, points = cells.map(params.projection)
    # Those that were followed on both sides for all frames that are drawn, any of them.
    order = np.random.default_rng(params.seed).permutation(len(divisions))
    chosen = sorted(
        (divisions[i] for i in order),
        key=lambda one: (
            -min(params.frames, len(one.mother), *(len(rows) for rows in one.daughters[:2]))
        ),
    )[: params.drawn]
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(4.2 + 3 * columns, max(3.0 * rows, 3.4)), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(4.2, 3 * columns))[0]
    _draw_steps(left.subplots(), steps, levels)
    grid = right.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(chosen) :]:
        axes.axis("off")
    for axes, one in zip(grid, chosen, strict=False):
        axes.scatter(*points[:: len(points) // _BACKGROUND + 1].T, c="#d9d9d9", s=2, lw=0)
        zoom_on_most(axes, points)
        mother = one.mother[-params.frames :]
        axes.plot(*points[mother].T, c=_MOTHER, lw=1, marker="o", ms=2.5)
        for track, colour in zip(one.daughters, _DAUGHTERS, strict=False):
            path = np.concatenate([mother[-1:], track[: params.frames]])
            axes.plot(*points[path].T, c=colour, lw=1, zorder=3)
            axes.plot(*points[path[1:]].T, c=colour, ls="", marker="o", ms=2.5, zorder=3)
        axes.plot(*points[mother[-1]], c=_MOTHER, marker="*", ms=9, zorder=4)
        first = cells.cells.iloc[mother[-1]]
        axes.set_title(f"{first['fov_name']}, frame {first['t']}", fontsize=8)
        axes.set(xticks=[], yticks=[])
    grid[0].set(xlabel=f"{name.upper()} 1", ylabel=f"{name.upper()} 2")
    right.suptitle("mother black, star: her last frame; daughters blue and red", fontsize=9)
    return figure


def _draw_steps(
    axes: Axes, steps: dict[int, NDArray[np.float64]], levels: dict[str, float]
) -> None:
    low, middle, high = np.array([np.percentile(found, [25, 50, 75]) for found in steps.values()]).T
    axes.fill_between(list(steps), low, high, color="#0072B2", alpha=0.2, lw=0)
    axes.plot(list(steps), middle, c="#0072B2", marker="o", ms=3, label="median and quartiles")
    for (label, level), line in zip(levels.items(), ("--", ":"), strict=True):
        axes.axhline(level, c="#666666", ls=line, lw=1, label=f"{label}, mean of all")
    axes.axvline(0, c="#D55E00", lw=0.8)
    axes.set(
        xlabel="frames since division", ylabel="cosine distance to the frame before", ylim=(0, None)
    )
    axes.legend(frameon=False, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
