"""The cells that an encoder learns from: tracked nodes of all datasets, and their pixels."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.patches import meets_border
from napari_dynaclr.embedding.cell_patches import Window, prepare_fov, read_cells
from napari_dynaclr.embedding.training.pairs import Nodes, families
from napari_dynaclr.learning.holding_out import divide

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job


_LARGEST = 6e4
"""What float16 can hold; a normalised picture is far from it but for single hot pixels."""


@dataclass(frozen=True)
class Source:
    """A FOV to learn from.

    Attributes
    ----------
    number
        Of its dataset.
    dataset, fov
        Where the pixels are.
    tracks
        The cells of its tracks table that are learned from.
    """

    number: int
    dataset: Dataset
    fov: Fov
    tracks: pd.DataFrame


@dataclass(frozen=True)
class Shrink:
    """How patches are made smaller.

    Attributes
    ----------
    size
        Their height and width, in pixels.
    of
        From patches (N, C, Z, Y, X) to smaller ones, both float32.
    """

    size: tuple[int, int]
    of: Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Cells:
    """Cells to learn from.

    Attributes
    ----------
    sources
        Their FOVs.
    nodes
        A row each; ``fov`` counts the sources.
    place
        Row of each in the table of its source, (N,).
    """

    sources: tuple[Source, ...]
    nodes: Nodes
    place: NDArray[np.intp]

    def of(self, sources: Sequence[int]) -> NDArray[np.intp]:
        """Return the rows of some sources, by number."""
        return np.flatnonzero(np.isin(self.nodes.fov, sources))


@dataclass(frozen=True)
class Pixels:
    """Patches of some cells, in memory.

    Attributes
    ----------
    rows
        The cells, ascending, (N,).
    patches
        Normalised, (N, C, Z, Y, X) float16: half the memory, and finer than the noise.
    """

    rows: NDArray[np.intp]
    patches: NDArray[np.float16]

    def at(self, rows: NDArray[np.intp]) -> NDArray[np.float16]:
        """Return the patches of some of the cells, in their order."""
        return self.patches[np.searchsorted(self.rows, rows)]


def gather(
    datasets: Sequence[Dataset], window: Window, *, keep_border: bool, job: Job
) -> tuple[Cells, int]:
    """Gather the tracked cells of all FOVs.

    Parameters
    ----------
    datasets
        Tracked ones.
    window
        The patches that are cut out: wider than those that the network sees.
    keep_border
        Whether cells whose patch leaves the image are kept.
    job
        Progress and cancelling.

    Returns
    -------
    tuple
        The cells, and how many were left out at the border.

    Raises
    ------
    MissingInput
        If a FOV has not been tracked.
    InvalidInput
        If none is left.
    """
    sources: list[Source] = []
    parts: list[Nodes] = []
    whole = 0
    fovs = [(i, dataset, fov) for i, dataset in enumerate(datasets) for fov in dataset.fovs]
    for number, dataset, fov in job.track(fovs, "read tracks"):
        dataset.workspace.require("tracks", fov, "tracks", "track")
        tracks = dataset.workspace.tracks(fov)
        whole += len(tracks)
        # Before some are left out: relatives stay relatives.
        nodes = _nodes(tracks, number, len(sources))
        if not keep_border:
            centres = tracks[["y", "x"]].to_numpy(float)
            inside = ~meets_border(centres, window.size[1:], fov.shape[2:])
            tracks, nodes = tracks[inside], nodes.take(inside)
        parts.append(nodes)
        sources.append(Source(number, dataset, fov, tracks.reset_index(drop=True)))
    left = sum(len(source.tracks) for source in sources)
    if not whole:
        raise InvalidInput("There is no tracked cell to learn from: track FOVs with cells in them.")
    if not left:
        raise InvalidInput(
            f"All cells are so near to the edge that patches of {window.size[1]} pixels, which "
            "rotated ones are cut from, leave the image: choose a smaller patch_size, or border "
            "'reflect'."
        )
    places = [np.arange(len(source.tracks), dtype=np.intp) for source in sources]
    return Cells(tuple(sources), join(parts), np.concatenate(places)), whole - left


def _nodes(tracks: pd.DataFrame, dataset: int, fov: int) -> Nodes:
    track, parent, t = (
        tracks[name].to_numpy(np.int64) for name in ("track_id", "parent_track_id", "t")
    )
    numbers = np.full(len(tracks), fov, np.int64)
    return Nodes(
        dataset=np.full(len(tracks), dataset, np.int64),
        fov=numbers,
        track=track,
        parent=parent,
        t=t,
        family=families(numbers, track, parent),
    )


def join(parts: Sequence[Nodes]) -> Nodes:
    """Join the nodes of FOVs; no family is in two of them."""
    first = np.cumsum([0, *(int(part.family.max(initial=-1)) + 1 for part in parts)])
    columns = {
        one.name: np.concatenate([getattr(part, one.name) for part in parts])
        for one in fields(Nodes)
    }
    shifted = [part.family + start for part, start in zip(parts, first[:-1], strict=True)]
    return Nodes(**{**columns, "family": np.concatenate(shifted)})


def hold_out(
    cells: Cells, fraction: float, unit: str, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], str]:
    """Divide the cells into those to train with and those to validate with, by FOV or well.

    Parameters
    ----------
    cells
        All cells.
    fraction
        Of the FOVs or wells to hold out; one at least, unless it is 0.
    unit
        "fov" or "well".
    seed
        For the choice.

    Returns
    -------
    tuple
        Rows to train with, rows to validate with, and what to tell the user.
    """
    places = [(one.number, one.fov) for one in cells.sources]
    used = np.unique(cells.nodes.fov).tolist()
    rest, held, told = divide(places, used, fraction, unit, seed)
    return cells.of(rest), cells.of(held), told


def prepare(cells: Cells, window: Window, job: Job) -> None:
    """Make the statistics that normalising needs, where there are none yet.

    Raises
    ------
    InvalidInput
        If a FOV lacks slices, or what the normalisation needs.
    """
    for source in job.track(cells.sources, "prepare the images"):
        prepare_fov(source.dataset, source.fov, window, job)


def read_patches(
    cells: Cells,
    rows: NDArray[np.intp],
    window: Window,
    job: Job,
    *,
    report: bool = False,
    shrink: Shrink | None = None,
) -> Pixels:
    """Read the patches of some cells; every chunk of the images once.

    Parameters
    ----------
    cells
        All cells.
    rows
        Which, ascending, (N,).
    window
        The patches.
    job
        For cancelling; told of NaN in the images.
    report
        Whether the job is told of the progress.
    shrink
        How patches are made smaller before they are kept; they are kept as they are if None.
    """
    size = window.size if shrink is None else (window.size[0], *shrink.size)
    patches = np.empty((len(rows), len(window.channels), *size), np.float16)
    damaged = 0
    numbers = np.unique(cells.nodes.fov[rows])
    for number in job.track(numbers, "read patches") if report else numbers:
        source = cells.sources[number]
        here = np.flatnonzero(cells.nodes.fov[rows] == number)
        table = source.tracks.iloc[cells.place[rows[here]]]
        times = sorted(set(table["t"]))
        for piece in read_cells(source.dataset, source.fov, table, times, window, job):
            job.check()
            pixels = piece.pixels if shrink is None else shrink.of(piece.pixels)
            patches[here[piece.rows]] = pixels.clip(-_LARGEST, _LARGEST)
            damaged += int(piece.has_nan.sum())
    if damaged:
        note = "Some patches have NaN in them: these pixels were set to the patch's median."
        if note not in job.notes:
            job.note(note)
    return Pixels(rows, patches)
