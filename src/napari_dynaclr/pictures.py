"""Pictures of results, drawn without a display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

from napari_dynaclr.classification.curve import state_curve
from napari_dynaclr.core.errors import MissingInput
from napari_dynaclr.core.figures import save_figure, zoom_on_most
from napari_dynaclr.core.patches import iter_patches
from napari_dynaclr.core.shards import nodes
from napari_dynaclr.core.tables import read_csv
from napari_dynaclr.core.tasks import PALETTE, find_task

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov


def map_picture(dataset: Dataset, embedding: str, method: str, task: str, file: Path) -> Path:
    """Draw the map twice: coloured by time, and by predicted state.

    Raises
    ------
    MissingInput
        If there is no such map or no predictions.
    """
    points, times, states = [], [], []
    for fov in dataset.fovs:
        shard = dataset.workspace.embedding(embedding, fov)
        if f"X_{method}" not in shard.obsm:
            raise MissingInput(f"map '{method}'", "project", fov.name)
        if f"predicted_{task}" not in shard.obs:
            raise MissingInput(f"predictions of '{task}'", "classify", fov.name)
        points.append(shard.obsm[f"X_{method}"][:, :2])
        times.append(nodes(shard)["t"].to_numpy() * _hours(fov))
        states.append(nodes(shard)[f"predicted_{task}"].astype(str).to_numpy())
    place, time, state = (np.concatenate(part) for part in (points, times, states))
    # Drawn in random order: cells of the last FOV must not hide the others.
    order = np.random.default_rng(0).permutation(len(place))
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    dots = left.scatter(*place[order].T, c=time[order], s=3, cmap="viridis", linewidths=0)
    unit = "hours" if dataset.fovs[0].frame_interval else "frame"
    figure.colorbar(dots, ax=left, label=f"time ({unit})")
    left.set_title("time")
    names = _states(task, state)
    colour = np.array([PALETTE[names.index(name) % len(PALETTE)] for name in state])
    right.scatter(*place[order].T, c=colour[order], s=3, linewidths=0)
    for i, name in enumerate(names):
        right.scatter([], [], c=PALETTE[i % len(PALETTE)], label=f"{name} (predicted)", s=30)
    right.legend(frameon=False)
    right.set_title(task)
    for axes in (left, right):
        outside = zoom_on_most(axes, place)
        axes.set(xlabel=f"{method.upper()} 1", ylabel=f"{method.upper()} 2", xticks=[], yticks=[])
    if outside:
        figure.text(0.005, 0.005, f"{outside} of {len(place)} cells lie outside", fontsize=7)
    return save_figure(figure, file)


def curve_picture(
    dataset: Dataset, task: str, state: str, file: Path, truth: Path | None = None
) -> Path:
    """Draw the fraction of cells in a state over time, per well (dynaclr.txt, Fig. 2c).

    The band is where the fraction lies with 95 % probability; see
    :func:`~napari_dynaclr.classification.curve.state_curve`.

    Parameters
    ----------
    dataset
        With predictions of the task.
    task, state
        What to draw.
    file
        PNG to write.
    truth
        CSV of true states, drawn as dashed lines.
    """
    predictions = read_csv(dataset.workspace.predictions(task), "predictions")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    interval = dataset.fovs[0].frame_interval
    curve = state_curve(predictions, f"predicted_{task}", state, interval)
    _curves(axes, curve, "-", " predicted", band=True)
    if truth is not None:
        true_states = read_csv(truth, "true states")
        curve = state_curve(true_states, find_task(task).column, state, interval)
        _curves(axes, curve, "--", " true", band=False)
    unit = "hours" if interval else "frame"
    axes.set(xlabel=f"time ({unit})", ylabel=f"{state} cells (%)", ylim=(-2, 102))
    axes.legend(frameon=False, ncols=2, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, file)


def _curves(axes: Axes, curve: pd.DataFrame, line: str, label: str, band: bool) -> None:
    for i, (well, part) in enumerate(curve.groupby("well")):
        time = part["hours"].fillna(part["t"]).to_numpy()
        low, middle, high = (100 * part[name].to_numpy() for name in ("low", "fraction", "high"))
        colour = PALETTE[i % len(PALETTE)]
        axes.plot(time, middle, line, c=colour, label=f"{well}{label}")
        if band:
            axes.fill_between(time, low, high, color=colour, alpha=0.15, linewidth=0)


def field_picture(dataset: Dataset, task: str, state: str, channel: str, file: Path) -> Path:
    """Draw the last FOV early, midway and late, cells outlined by their predicted state."""
    fov = dataset.fovs[-1]
    predictions = read_csv(dataset.workspace.predictions(task), "predictions")
    here = predictions[predictions["fov_name"] == fov.name]
    last = fov.shape[0] - 1
    times = sorted({0, last // 2, last})
    labels = dataset.workspace.labels("tracks", fov)
    figure = Figure(figsize=(4 * len(times), 4.3), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(times)))
    masks = labels.frames(["labels"], times, allow_empty=True)
    images = fov.frames([channel], times, allow_empty=True)
    for axes, (t, mask), (_, image) in zip(panels, masks, images, strict=True):
        flat, grey = mask[0].max(axis=0), image[0].max(axis=0).astype(float)
        low, high = np.percentile(grey, [1, 99.7])
        rgb = np.repeat(np.clip((grey - low) / max(high - low, 1e-9), 0, 1)[..., None], 3, axis=2)
        now = here[here["t"] == t]
        edges = find_boundaries(flat, mode="inner")
        edges |= find_boundaries(np.where(edges, 0, flat), mode="inner")  # two pixels wide
        is_state = np.isin(flat, now.loc[now[f"predicted_{task}"] == state, "track_id"])
        rgb[edges & ~is_state] = _rgb(PALETTE[0])
        rgb[edges & is_state] = _rgb(PALETTE[1])
        axes.imshow(rgb)
        axes.set_title(f"{fov.name}, {channel}, {t * _hours(fov):g} {_unit(fov)}", fontsize=10)
        axes.axis("off")
    return save_figure(figure, file)


def cells_picture(
    dataset: Dataset, task: str, file: Path, count: int = 8, size: int = 64, seed: int = 0
) -> Path:
    """Draw patches of some cells of each predicted state, every channel in its own row."""
    predictions = read_csv(dataset.workspace.predictions(task), "predictions")
    column = f"predicted_{task}"
    states = _states(task, predictions[column].astype(str).to_numpy())
    channels = dataset.source_channels
    chosen = pd.concat(
        [
            part.sample(min(count, len(part)), random_state=seed)
            for _, part in predictions.groupby(column, sort=False)
        ]
    )
    patches: dict[str, list[NDArray[Any]]] = {state: [] for state in states}
    for name, part in chosen.groupby("fov_name"):
        fov = dataset[str(name)]
        for batch in iter_patches(fov, part, channels, (fov.shape[1], size, size)):
            for row, patch in zip(batch.rows, batch.patches, strict=True):
                patches[str(part[column].iloc[row])].append(patch.max(axis=1))
    figure = Figure(figsize=(count + 0.6, len(states) * len(channels) * 1.05), layout="constrained")
    grid = np.atleast_2d(figure.subplots(len(states) * len(channels), count, squeeze=False))
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    limits = [
        np.percentile([p[c] for group in patches.values() for p in group], [1, 99.7])
        for c in range(len(channels))
    ]
    for s, state in enumerate(states):
        for c, channel in enumerate(channels):
            row = grid[s * len(channels) + c]
            row[0].set_ylabel(f"{state}\n{channel}", fontsize=7)
            for axes, patch in zip(row, patches[state], strict=False):
                axes.imshow(patch[c], cmap="gray", vmin=limits[c][0], vmax=limits[c][1])
    return save_figure(figure, file)


def _states(task: str, found: NDArray[Any]) -> list[str]:
    """States in a lasting order: the task's own, the negative first."""
    known = [state for state in find_task(task).state_names if state in found]
    return known + sorted(set(found) - set(known))


def _hours(fov: Fov) -> float:
    return fov.frame_interval / 3600 if fov.frame_interval else 1.0


def _unit(fov: Fov) -> str:
    return "h" if fov.frame_interval else "frames"


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
