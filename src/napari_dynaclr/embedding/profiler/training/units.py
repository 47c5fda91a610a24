"""What a profiler learns from: cells or whole fields of all datasets, by well and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_dynaclr.embedding.training.cells import Cells, Source, gather, join
from napari_dynaclr.embedding.training.pairs import Nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.cell_patches import Window
    from napari_dynaclr.embedding.profiler.recipe import Unit


@dataclass(frozen=True)
class Places:
    """Where and when units are, (N,) each.

    Attributes
    ----------
    well, fov
        Numbers, different in different datasets.
    thing
        What a unit may not be its own partner of: a cell with all its relatives; a field at
        one time.
    minutes
        When.
    """

    well: NDArray[np.int64]
    fov: NDArray[np.int64]
    thing: NDArray[np.int64]
    minutes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.well)

    def take(self, rows: NDArray[np.intp]) -> Places:
        """Return some rows."""
        return Places(self.well[rows], self.fov[rows], self.thing[rows], self.minutes[rows])


def gather_units(datasets: Sequence[Dataset], unit: Unit, window: Window, job: Job) -> Cells:
    """Gather the cells, or the fields, of all FOVs.

    Parameters
    ----------
    datasets
        To learn from; for cells, tracked ones.
    unit
        Which.
    window
        The patches that are cut out.
    job
        Progress and cancelling.

    Returns
    -------
    Cells
        A field counts as a cell in its middle, as large as it.

    Raises
    ------
    MissingInput
        If it is about cells, and a FOV has not been tracked.
    InvalidInput
        If there is none.
    """
    if unit == "cell":
        return gather(datasets, window, keep_border=True, job=job)[0]
    sources: list[Source] = []
    parts: list[Nodes] = []
    for number, dataset in enumerate(datasets):
        for fov in dataset.fovs:
            times, *extent = fov.shape
            z, y, x = ((length - 1) / 2 for length in extent)
            t = np.arange(times)
            table = pd.DataFrame({"t": t, "z": z, "y": y, "x": x})
            same = np.zeros(times, np.int64)
            parts.append(
                Nodes(
                    dataset=same + number,
                    fov=same + len(sources),
                    track=same,
                    parent=same - 1,
                    t=t,
                    family=t,
                )
            )
            sources.append(Source(number, dataset, fov, table))
    places = [np.arange(len(source.tracks), dtype=np.intp) for source in sources]
    return Cells(tuple(sources), join(parts), np.concatenate(places))


def find_places(units: Cells) -> tuple[Places, bool]:
    """Return where and when units are, and whether all datasets say how far apart frames are.

    Where one does not, its frames count as a day apart: none is near another in time.
    """
    wells = [f"{one.number}|{one.fov.well}" for one in units.sources]
    numbers = pd.factorize(np.array(wells, object))[0].astype(np.int64)
    intervals = [one.fov.frame_interval for one in units.sources]
    minutes = np.array([(seconds or _DAY) / 60 for seconds in intervals])
    nodes = units.nodes
    places = Places(numbers[nodes.fov], nodes.fov, nodes.family, nodes.t * minutes[nodes.fov])
    return places, all(intervals)


_DAY = 86400.0
