"""What was found of a FOV so far, on disk: an interrupted run goes on from there."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_dynaclr.core.atomic import atomic_file
from napari_dynaclr.tracking.cellect.candidates import Cells

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray


class Found(NamedTuple):
    """The cells of a time point.

    Attributes
    ----------
    place
        (z, y, x) in pixels of the FOV, (N, 3).
    label
        Label of each cell in the label image, (N,).
    area
        Pixels of each, (N,).
    cells
        What the network says of them.
    """

    place: NDArray[np.float64]
    label: NDArray[np.int64]
    area: NDArray[np.int64]
    cells: Cells


class Store:
    """The cells and masks of the time points of a FOV, a file each.

    Parameters
    ----------
    folder
        Where; made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _cells(self, t: int) -> Path:
        return self._folder / f"cells{t:05d}.npz"

    def _masks(self, t: int) -> Path:
        return self._folder / f"masks{t:05d}.npz"

    def has(self, t: int) -> bool:
        """Whether a time point is there, and can be read."""
        # The cells are written last.
        return zipfile.is_zipfile(self._cells(t))

    def write(self, t: int, found: Found, masks: NDArray[np.uint32] | None = None) -> None:
        """Keep a time point."""
        if masks is not None:
            with atomic_file(self._masks(t)) as temporary:
                np.savez_compressed(temporary, masks=masks)
        cells = found.cells
        with atomic_file(self._cells(t)) as temporary:
            np.savez(
                temporary,
                place=found.place,
                label=found.label,
                area=found.area,
                position=cells.position,
                embedding=cells.embedding.numpy(),
                size=cells.size.numpy(),
                division=cells.division.numpy(),
            )

    def read(self, t: int) -> Found:
        """Read a time point."""
        with np.load(self._cells(t), allow_pickle=False) as file:
            cells = Cells(
                file["position"],
                torch.from_numpy(file["embedding"]),
                torch.from_numpy(file["size"]),
                torch.from_numpy(file["division"]),
            )
            return Found(file["place"], file["label"], file["area"], cells)

    def masks(self, times: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        """Read the label images (Z, Y, X) of time points."""
        for t in times:
            with np.load(self._masks(t), allow_pickle=False) as file:
                yield t, file["masks"]
