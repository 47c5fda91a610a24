"""PHATE maps of all encoders beside each other (dynaclr.txt, Fig. 2a, Fig. S3a)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from napari_dynaclr.core.figures import save_figure, zoom_on_most
from napari_dynaclr.core.registry import params as settings
from napari_dynaclr.core.shards import nodes
from napari_dynaclr.core.tasks import PALETTE
from napari_dynaclr.projection import project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from napari_dynaclr.comparison.candidates import Candidate
    from napari_dynaclr.comparison.labels import Labels
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

_COLUMNS = 4
_OTHER = "#d9d9d9"
_DRAWN = 20_000
"""Cells at most on a map, any of them."""

_TRACKS = ("#000000", "#CC0077")
"""Lines of the tracks that are followed through the map, one per state."""


def make_map(dataset: Dataset, embedding: str, job: Job) -> None:
    """Map an embedding, but where its FOVs are on one map already."""
    result = f"projection.{embedding}.phate"
    keys = {dataset.workspace.key(result, fov) for fov in dataset.fovs}
    old = any(dataset.workspace.outdated(result, fov) for fov in dataset.fovs)
    if len(keys) > 1 or None in keys or old:
        project(dataset, settings("project", "phate", embedding=embedding), job)


def read_map(dataset: Dataset, embedding: str) -> pd.DataFrame:
    """Read the cells of an embedding and their places on its PHATE map.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``track_id``, ``t``, ``fov_name``, ``hours`` (frames where the interval is
        not known), ``x`` and ``y``.
    """
    parts = []
    for fov in dataset.fovs:
        shard = dataset.workspace.embedding(embedding, fov)
        cells = nodes(shard)[["id", "track_id", "t"]]
        hours = cells["t"] * (fov.frame_interval / 3600 if fov.frame_interval else 1.0)
        x, y = np.asarray(shard.obsm["X_phate"])[:, :2].T
        parts.append(cells.assign(fov_name=fov.name, hours=hours, x=x, y=y))
    return pd.concat(parts, ignore_index=True)


def draw_maps(
    dataset: Dataset, shown: Sequence[Candidate], labels: Labels, files: tuple[Path, Path], job: Job
) -> None:
    """Draw one panel per encoder, once coloured by state and once by time.

    Of every state one track is drawn as a line: how smoothly it goes through the map is
    what time-aware training is about.

    Parameters
    ----------
    dataset
        FOVs on the maps.
    shown
        Encoders, in this order.
    labels
        States of the cells.
    files
        PNGs to write: by state, by time.
    job
        For cancelling.
    """
    states = list(labels.task.state_names) or sorted(labels.known["state"].unique())
    panels = []
    for one in job.track(shown, "maps"):
        make_map(dataset, one.embedding, job)
        table = read_map(dataset, one.embedding)
        panels.append(table.merge(labels.known, on=["fov_name", "id"], how="left"))
    followed = _examples(panels[0], states)
    interval = dataset.fovs[0].frame_interval
    for file, by in zip(files, ("state", "time"), strict=True):
        job.report(f"draw {file.name}")
        columns = min(_COLUMNS, len(shown))
        rows = -(-len(shown) // columns)
        figure = Figure(figsize=(3.2 * columns + 1, 3.2 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        dots: Any = None
        for axes in grid.ravel()[len(shown) :]:
            axes.axis("off")
        for axes, one, table in zip(grid.ravel(), shown, panels, strict=False):
            dots = _panel(axes, table, states, by)
            for line, state in zip(_TRACKS, followed, strict=False):
                _follow(axes, table, followed[state], line)
            axes.set_title(one.title, fontsize=9)
        if by == "time":
            unit = "hours" if interval else "frame"
            figure.colorbar(dots, ax=grid, label=f"time ({unit})", shrink=0.6)
        else:
            _legend(figure, states, followed, bool(panels[0]["state"].isna().any()))
        save_figure(figure, file)


def _panel(axes: Axes, table: pd.DataFrame, states: list[str], by: str) -> Any:
    points = table[["x", "y"]].to_numpy()
    x, y = points.T
    # In random order: cells of the last FOV must not hide the others. Those without a
    # state come first, below the few that have one.
    order = np.random.default_rng(0).permutation(len(table))[:_DRAWN]
    if by == "time":
        dots = axes.scatter(x[order], y[order], c=table["hours"].to_numpy()[order], s=3, lw=0)
    else:
        known = table["state"].notna().to_numpy()
        order = order[np.argsort(known[order], kind="stable")]
        palette = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(states)}
        colours = [palette.get(name, _OTHER) for name in table["state"]]
        size = np.where(known, 3 if known.mean() > 0.5 else 14, 3)
        dots = axes.scatter(x[order], y[order], c=np.array(colours)[order], s=size[order], lw=0)
    zoom_on_most(axes, points)
    axes.set(xticks=[], yticks=[])
    return dots


def _examples(table: pd.DataFrame, states: list[str]) -> dict[str, tuple[str, int]]:
    """Choose the longest track that ends in each state, a lasting one where there is one."""
    known = table[table["state"].notna()].sort_values("t")
    ends = known.groupby(["fov_name", "track_id"])["state"].last()
    lengths = table.groupby(["fov_name", "track_id"])["t"].nunique()
    chosen: dict[str, tuple[str, int]] = {}
    for state in states[: len(_TRACKS)]:
        tracks = lengths[lengths.index.isin(ends.index[ends == state])]
        if len(tracks) and tracks.max() > 1:
            fov_name, track = tracks.index[int(tracks.to_numpy().argmax())]
            chosen[state] = str(fov_name), int(track)
    return chosen


def _follow(axes: Axes, table: pd.DataFrame, track: tuple[str, int], colour: str) -> None:
    here = table[(table["fov_name"] == track[0]) & (table["track_id"] == track[1])]
    here = here.sort_values("t")
    axes.plot(here["x"], here["y"], c=colour, lw=0.8, marker="o", ms=1.6)


def _legend(
    figure: Figure, states: list[str], followed: dict[str, tuple[str, int]], others: bool
) -> None:
    from matplotlib.lines import Line2D

    shown = [
        Line2D([], [], ls="", marker="o", c=PALETTE[i % len(PALETTE)], label=name)
        for i, name in enumerate(states)
    ]
    if others:
        shown.append(Line2D([], [], ls="", marker="o", c=_OTHER, label="not known"))
    for colour, state in zip(_TRACKS, followed, strict=False):
        name, track = followed[state]
        shown.append(Line2D([], [], c=colour, label=f"track {track} of {name}, {state} at last"))
    figure.legend(handles=shown, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
