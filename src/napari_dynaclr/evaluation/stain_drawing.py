"""Pictures of virtual and experimental stain beside each other, and of cells over time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

from napari_dynaclr.core.tasks import PALETTE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.evaluation.stain_pairs import Pair

TRUE, VIRTUAL = "#56B4E9", "#E69F00"
"""Colours of what is true, and of what was found in the virtual stain."""

_WIDEST = 640
"""Pixels of a panel: of larger frames the middle is shown, so that outlines can be seen."""


@dataclass(frozen=True)
class Shown:
    """A slice of a time point that is drawn.

    Attributes
    ----------
    title
        FOV and time.
    t, z
        Which slice it is.
    stains
        By pair of stains, the virtual and the experimental image, (Y, X) each.
    true, found
        Label images (Y, X): the true cells, and those of the virtual stain.
    true_name
        What the true cells are.
    backdrop, backdrop_name
        The label-free image (Y, X), and its channel; None if there is none.
    """

    title: str
    t: int
    z: int
    stains: dict[Pair, tuple[NDArray[Any], NDArray[Any]]]
    true: NDArray[Any]
    found: NDArray[Any]
    true_name: str
    backdrop: NDArray[Any] | None = None
    backdrop_name: str = ""

    @classmethod
    def of(
        cls,
        fov: Fov,
        t: int,
        pairs: list[Pair],
        images: dict[str, NDArray[Any]],
        true: NDArray[Any],
        found: NDArray[Any],
        segmented: bool,
    ) -> Self:
        """Keep the slice in which most of the true cells is, of the frame's middle.

        Parameters
        ----------
        fov, t
            What it is of.
        pairs
            Pairs of stains.
        images
            Stack (Z, Y, X) of each of their channels.
        true, found
            Label images, (Z, Y, X).
        segmented
            Whether the true cells are those of the experimental stain.
        """
        z = int((true > 0).sum(axis=(1, 2)).argmax())
        y, x = middle(true.shape[1:])
        here = (z, y, x)
        return cls(
            f"{fov.name}, {_when(fov, t)}" + (f", slice {z}" if len(true) > 1 else ""),
            t,
            z,
            {p: (images[p.virtual][here].copy(), images[p.experimental][here].copy())
             for p in pairs},
            true[here].copy(),
            found[here].copy(),
            "experimental stain" if segmented else "truth",
        )  # fmt: skip

    def before(self, fov: Fov, channel: str) -> Self:
        """Add the label-free image."""
        slices = slice(self.z, self.z + 1)
        ((_, frame),) = fov.frames([channel], [self.t], allow_empty=True, slices=slices)
        image = frame[0, 0][middle(frame.shape[-2:])]
        return replace(self, backdrop=image.copy(), backdrop_name=channel)


def middle(shape: tuple[int, ...], widest: int = _WIDEST) -> tuple[slice, slice]:
    """Return what of a picture is shown: all, or its middle if it is large."""
    y, x = (max(0, (size - widest) // 2) for size in shape)
    return slice(y, y + widest), slice(x, x + widest)


def _when(fov: Fov, t: int) -> str:
    hours = t * fov.frame_interval / 3600 if fov.frame_interval else None
    return f"frame {t}" if hours is None else f"{hours:.3g} h"


def grey(image: NDArray[Any]) -> NDArray[np.float64]:
    """Scale an image to 0..1, between its 0.5th and 99.7th percentiles."""
    values = np.asarray(image, np.float64)
    low, high = np.percentile(values, [0.5, 99.7])
    scaled: NDArray[np.float64] = np.clip((values - low) / max(float(high - low), 1e-12), 0, 1)
    return scaled


def outlined(image: NDArray[Any], *cells: tuple[NDArray[Any], str]) -> NDArray[np.float64]:
    """Draw the outlines of label images, each in its colour, over a grey image.

    Parameters
    ----------
    image
        (Y, X).
    *cells
        Label image (Y, X) and colour; a later one lies above an earlier one.

    Returns
    -------
    numpy.ndarray
        (Y, X, 3), 0..1.
    """
    rgb = np.repeat(grey(image)[..., None], 3, axis=2)
    for labels, colour in cells:
        rgb[find_boundaries(labels, mode="inner")] = _rgb(colour)
    return rgb


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def draw_frame(shown: Shown) -> Figure:
    """Draw the stains of a slice, experimental ones above and virtual ones below.

    Before them, the label-free image; in the lower row with the outlines of the cells.
    """
    columns = 1 + len(shown.stains)
    figure = Figure(figsize=(3.4 * columns, 7.4), layout="constrained")
    above, below = figure.subplots(2, columns, squeeze=False)
    first = next(iter(shown.stains.values()))[1]
    ground = first if shown.backdrop is None else shown.backdrop
    _show(above[0], grey(ground), shown.backdrop_name or next(iter(shown.stains)).experimental)
    cells = outlined(ground, (shown.true, TRUE), (shown.found, VIRTUAL))
    _show(below[0], cells, "cells")
    for pair, upper, lower in zip(shown.stains, above[1:], below[1:], strict=True):
        virtual, experimental = shown.stains[pair]
        _show(upper, grey(experimental), pair.experimental)
        _show(lower, grey(virtual), pair.virtual)
    for name, colour in ((shown.true_name, TRUE), ("virtual stain", VIRTUAL)):
        below[0].plot([], [], color=colour, lw=2, label=name)
    below[0].legend(
        fontsize=7, loc="upper left", facecolor="black", labelcolor="white", framealpha=0.6
    )
    figure.suptitle(shown.title, fontsize=9, x=0.01, ha="left")
    return figure


def _show(axes: Axes, image: NDArray[Any], title: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def draw_counts(table: pd.DataFrame) -> Figure:
    """Draw numbers of cells and brightness of nuclei over time, the mean of a well's FOVs.

    Brightness is drawn relative to the first time point of each FOV, with the standard deviation
    over nuclei as a band around the experimental stain's (cytoland.txt, Fig. 3D).

    Parameters
    ----------
    table
        ``fov_name``, ``t``, ``hours``, ``true_cells``, ``virtual_cells``,
        ``experimental_intensity``, ``experimental_sd``, ``virtual_intensity``, ``virtual_sd``.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    in_hours = bool(table["hours"].notna().all() and len(table))
    wells = table["fov_name"].str.rpartition("/")[0]
    relative = table.copy()
    for name in ("experimental", "virtual"):
        first = table.groupby("fov_name")[f"{name}_intensity"].transform("first")
        # A virtual stain's zero is the middle of its scale, which may be negative: no ratio then.
        first = first.where(first > 0)
        for column in (f"{name}_intensity", f"{name}_sd"):
            relative[column] = 100 * table[column] / first
    for i, (well, part) in enumerate(relative.groupby(wells, sort=False)):
        over = part.drop(columns="fov_name").groupby("t").mean()
        time = over["hours"] if in_hours else over.index
        colour = PALETTE[i % len(PALETTE)]
        marker = "o" if len(over) == 1 else None
        for source, line in (("true", "-"), ("virtual", "--")):
            left.plot(time, over[f"{source}_cells"], line, c=colour, marker=marker, ms=4)
        for source, line in (("experimental", "-"), ("virtual", "--")):
            values = over[f"{source}_intensity"]
            right.plot(time, values, line, c=colour, marker=marker, ms=4)
        low, high = (
            over["experimental_intensity"] + sign * over["experimental_sd"] for sign in (-1, 1)
        )
        right.fill_between(time, low, high, color=colour, alpha=0.12, linewidth=0)
        left.plot([], [], c=colour, label=str(well))
    for source, line in (("experimental or true", "-"), ("virtual", "--")):
        right.plot([], [], line, c="black", label=source)
    unit = "hours" if in_hours else "frame"
    left.set(xlabel=f"time ({unit})", ylabel="cells in a field of view")
    left.set_ylim(0, 1.08 * left.get_ylim()[1])
    right.set(xlabel=f"time ({unit})", ylabel="brightness of nuclei (% of the first)")
    right.set_ylim(0, None)
    for axes in (left, right):
        axes.legend(
            frameon=False, fontsize=8, ncols=1 + len(axes.get_legend_handles_labels()[0]) // 8
        )
        axes.spines[["top", "right"]].set_visible(False)
    return figure
