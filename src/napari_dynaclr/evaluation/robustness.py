"""What an embedding says where tracks are wrong (dynaclr.txt, 4.2 and Fig. S5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field
from sklearn.metrics import roc_auc_score

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.measures import cosine_distances, smoothness, trajectory_distances
from napari_dynaclr.core.params import Params
from napari_dynaclr.evaluation.breaking import Broken, break_tracks
from napari_dynaclr.evaluation.report import Report
from napari_dynaclr.evaluation.trajectories import Trajectories, read_trajectories

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

_COLOURS = ("#0072B2", "#D55E00")


class RobustnessParams(Params):
    """Settings of the test with tracks that are broken on purpose."""

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
    swaps: float = Field(
        0.05,
        title="Exchanges",
        description="Fraction of the steps from frame to frame at which a track goes over to a "
        "neighbouring cell.",
        ge=0,
        le=0.5,
    )
    cuts: float = Field(
        0.05,
        title="Cuts",
        description="Fraction of the steps at which a track is cut in two.",
        ge=0,
        le=0.5,
    )
    reach: float = Field(
        30.0,
        title="Reach (um)",
        description="Cells within this distance are neighbours.",
        gt=0,
        le=10_000,
    )
    projection: str = Field(
        "",
        title="Map",
        description="Map to draw, such as phate; one that there is if left out, else the "
        "principal components.",
        json_schema_extra={"advanced": True},
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes the damage repeatable.",
        ge=0,
        le=2**31 - 1,
        json_schema_extra={"advanced": True},
    )


def measure(dataset: Dataset, params: RobustnessParams, job: Job) -> Report:
    """Break tracks on purpose, and see whether the embedding shows where.

    No cell is embedded again: a wrong link changes which cells follow each other, not
    where they are. (Errors of segmentation, such as false fusions, do move the patches;
    these are not simulated.)

    Returns
    -------
    Report
        ``metric`` and ``value``; distances are cosine distances (Eq. 1):

        - ``swapped_links``, ``cut_links``, ``true_links``: numbers;
        - ``distance_true``, ``distance_swapped``: means over steps from frame to frame
          within a cell, and from a cell to its neighbour;
        - ``swaps_auc``: how often a wrong step is longer than a true one in the
          embedding; ``swaps_auc_position``: the same by how far the cell moved;
          ``swaps_among_largest``: fraction of wrong steps among as many longest ones;
        - ``smoothness_true``, ``smoothness_broken``: Eq. 2 with the tracks as they were
          and as they are now;
        - ``cuts_rejoined``: how often, of the neighbours in the next frame, the cell
          that a cut track continues as is the nearest in the embedding;
          ``cuts_rejoined_position``: in space; ``cuts_rejoined_chance``: by guessing.

    Raises
    ------
    InvalidInput
        If nothing could be broken.
    """
    cells = read_trajectories(dataset, params.embedding, params.standardize, job)
    broken = break_tracks(cells, params.swaps, params.cuts, params.reach, params.seed, job)
    if not len(broken.kept) or not (len(broken.swapped) or len(broken.cut)):
        raise InvalidInput(
            f"Nothing could be broken: there are {len(cells.adjacent()[0])} steps from frame to "
            "frame. Raise 'swaps', 'cuts' or 'reach', or choose more FOVs."
        )
    job.report("distances")
    true, wrong = (
        cosine_distances(cells.unit, *links.T) for links in (broken.kept, broken.swapped)
    )
    t = cells.cells["t"].to_numpy()
    values = {
        "swapped_links": float(len(wrong)),
        "cut_links": float(len(broken.cut)),
        "true_links": float(len(true)),
        "distance_true": float(true.mean()),
        "distance_swapped": float(wrong.mean()) if len(wrong) else np.nan,
        **_found(cells, broken, true, wrong),
    }
    job.report("smoothness")
    for name, tracks in (("true", cells.cells["track"].to_numpy()), ("broken", broken.tracks)):
        pairs = trajectory_distances(cells.vectors, tracks, t, seed=params.seed)
        values[f"smoothness_{name}"] = smoothness(*pairs)
    values |= _rejoined(cells, broken, params.reach, job)
    table = pd.DataFrame({"metric": list(values), "value": list(values.values())})
    return Report(table, {"": _draw(cells, broken, true, wrong, params)})


def _found(
    cells: Trajectories, broken: Broken, true: NDArray[np.float64], wrong: NDArray[np.float64]
) -> dict[str, float]:
    names = ("swaps_auc", "swaps_auc_position", "swaps_among_largest")
    if not len(wrong):
        return dict.fromkeys(names, np.nan)
    place = cells.cells[["z", "y", "x"]].to_numpy(float)
    moved = [
        np.linalg.norm(place[links[:, 1]] - place[links[:, 0]], axis=1)
        for links in (broken.kept, broken.swapped)
    ]
    is_wrong = np.repeat([False, True], [len(true), len(wrong)])
    jumps = np.concatenate([true, wrong])
    largest = np.argsort(-jumps, kind="stable")[: len(wrong)]
    found = (
        roc_auc_score(is_wrong, jumps),
        roc_auc_score(is_wrong, np.concatenate(moved)),
        is_wrong[largest].mean(),
    )
    return dict(zip(names, map(float, found), strict=True))


def _rejoined(cells: Trajectories, broken: Broken, reach: float, job: Job) -> dict[str, float]:
    """Look for the continuation of cut tracks among the neighbours in the next frame."""
    place = cells.cells[["z", "y", "x"]].to_numpy(float)
    fov, t = cells.cells["fov_name"].to_numpy(), cells.cells["t"].to_numpy()
    hits = []
    for before, after in job.track(broken.cut, "rejoin"):
        there = cells.frames[(str(fov[after]), int(t[after]))]
        far = np.linalg.norm(place[there] - place[before], axis=1)
        near = far <= reach
        if near.sum() < 2 or after not in there[near]:
            continue
        alike = cosine_distances(cells.unit, np.full(near.sum(), before), there[near])
        hits.append(
            (
                there[near][alike.argmin()] == after,
                there[near][far[near].argmin()] == after,
                1 / near.sum(),
            )
        )
    names = ("cuts_rejoined", "cuts_rejoined_position", "cuts_rejoined_chance")
    means = np.mean(hits, axis=0) if hits else [np.nan] * len(names)
    return dict(zip(names, map(float, means), strict=True))


def _draw(
    cells: Trajectories,
    broken: Broken,
    true: NDArray[np.float64],
    wrong: NDArray[np.float64],
    params: RobustnessParams,
) -> Figure:
    examples = _examples(cells, broken)
    figure = Figure(figsize=(4.2 + 3.2 * len(examples), 3.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, 1 + len(examples)))
    axes = panels[0]
    bins = np.linspace(0, max(true.max(), wrong.max(initial=0), 1e-9), 40)
    for found, label, colour in ((true, "true", _COLOURS[0]), (wrong, "exchanged", _COLOURS[1])):
        if len(found):
            weights = np.full(len(found), 100 / len(found))
            named = f"{label} ({len(found)})"
            axes.hist(found, bins, weights=weights, color=colour, alpha=0.6, label=named)
    axes.set(xlabel="cosine distance from frame to frame", ylabel="steps (%)")
    axes.legend(frameon=False, fontsize=8)
    name, points = cells.map(params.projection)
    for axes, pair in zip(panels[1:], examples, strict=True):
        _draw_exchange(axes, cells, broken, pair, points)
        axes.set_xlabel("frame")
        axes.set_ylabel(f"{name.upper()} 1 (solid), 2 (dashed)")
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _examples(cells: Trajectories, broken: Broken, count: int = 3) -> list[NDArray[np.intp]]:
    """Choose exchanges whose two tracks last longest on both sides of it."""
    pairs = broken.swapped.reshape(-1, 2, 2)
    t = cells.cells["t"].to_numpy()
    spans = pd.Series(t).groupby(broken.tracks).agg(["min", "max"])
    here = spans.loc[broken.tracks[pairs[:, :, 0].ravel()]].to_numpy().reshape(len(pairs), 2, 2)
    at = t[pairs[:, 0, 0]]
    sides = np.minimum(
        (at[:, None] - here[:, :, 0]).min(axis=1), (here[:, :, 1] - at[:, None]).min(axis=1)
    )
    chosen: list[NDArray[np.intp]] = []
    drawn: set[int] = set()
    for i in np.argsort(-sides, kind="stable"):
        tracks = set(broken.tracks[pairs[i, :, 0]].tolist())
        if len(chosen) < count and not tracks & drawn:
            chosen.append(pairs[i])
            drawn |= tracks
    return chosen


def _draw_exchange(
    axes: Axes,
    cells: Trajectories,
    broken: Broken,
    pair: NDArray[np.intp],
    points: NDArray[np.float32],
) -> None:
    """Draw both tracks as they are after an exchange: a smooth one crosses over."""
    t = cells.cells["t"].to_numpy()
    for link, colour in zip(pair, _COLOURS, strict=True):
        rows = np.flatnonzero(broken.tracks == broken.tracks[link[0]])
        rows = rows[np.argsort(t[rows], kind="stable")]
        for component, line in enumerate(("-", "--")):
            axes.plot(t[rows], points[rows, component], line, c=colour, lw=1)
    at = t[pair[0, 0]]
    axes.axvline(at + 0.5, c="black", lw=0.8, ls=":")
    axes.set_title(f"{cells.cells['fov_name'].iloc[pair[0, 0]]}, after frame {at}", fontsize=8)
