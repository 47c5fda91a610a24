"""How the cells of a frame look: what differs from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.sample.cell import Snapshot
    from napari_dynaclr.sample.phenotype import Phenotype
    from napari_dynaclr.sample.scene import Scene


@dataclass(frozen=True)
class Looks:
    """What the renderer needs of all N cells of a frame, as arrays over cells.

    Attributes
    ----------
    infection, condensation, rounding, mitotic, dead
        (N,) states, 0 to 1; see :class:`~napari_dynaclr.sample.cell.Snapshot`.
    thickness, stain, membrane, sensor
        (N,) how strongly each cell shows in each channel, around 1.
    response
        (N,) how completely the sensor moves on infection.
    offset, u, v
        (N,) where on the texture a cell lies.
    nucleoli
        (K, N, 3) place along and across the cell and radius, in pixels.
    """

    infection: NDArray[np.float32]
    condensation: NDArray[np.float32]
    rounding: NDArray[np.float32]
    mitotic: NDArray[np.float32]
    dead: NDArray[np.float32]
    thickness: NDArray[np.float32]
    stain: NDArray[np.float32]
    membrane: NDArray[np.float32]
    sensor: NDArray[np.float32]
    response: NDArray[np.float32]
    offset: NDArray[np.float32]
    u: NDArray[np.intp]
    v: NDArray[np.intp]
    nucleoli: NDArray[np.float32]

    @classmethod
    def of(cls, cells: Sequence[Snapshot]) -> Looks:
        """Collect the looks of a frame's cells."""
        looks = np.array([cell.look for cell in cells], np.float32).reshape(-1, 8)
        radius = np.array([cell.nucleus_radius for cell in cells], np.float32)

        def column(values: list[float]) -> NDArray[np.float32]:
            return np.array(values, np.float32)

        turn = 2 * np.pi * (looks[:, [3, 4, 5]] + np.array([0.0, 0.37, 0.71], np.float32))
        out = 0.25 + 0.35 * looks[:, [6, 7, 0]]
        width = radius[:, None] * (0.12 + 0.12 * looks[:, [1, 2, 3]])
        spots = np.stack(
            [out * radius[:, None] * np.cos(turn), out * radius[:, None] * np.sin(turn), width], -1
        )
        return cls(
            infection=column([cell.infection for cell in cells]),
            condensation=column([cell.condensation for cell in cells]),
            rounding=column([cell.rounding for cell in cells]),
            mitotic=column([float(cell.mitotic) for cell in cells]),
            dead=column([float(cell.dead) for cell in cells]),
            thickness=0.85 + 0.3 * looks[:, 7],
            stain=np.exp(0.6 * (looks[:, 5] - 0.5)),
            membrane=np.exp(0.8 * (looks[:, 4] - 0.5)),
            sensor=np.exp(1.2 * (looks[:, 6] - 0.5)),
            response=0.7 + 0.4 * looks[:, 3],
            offset=looks[:, 0],
            u=np.asarray(looks[:, 1] * 7919, np.intp),
            v=np.asarray(looks[:, 2] * 7919, np.intp),
            nucleoli=np.moveaxis(spots, 1, 0).astype(np.float32),
        )

    def spots(self, scene: Scene, phenotype: Phenotype) -> NDArray[np.float32]:
        """Nucleoli: 1 in the middle of each, 0 outside, for every owned pixel of a slice."""
        spots = np.zeros(len(scene.pixel), np.float32)
        core = np.flatnonzero(scene.inside > 0.0)
        who, along, across = scene.owner[core], scene.along[core], scene.across[core]
        for place, strength in zip(self.nucleoli, _strengths(phenotype), strict=True):
            a, b, width = place[who].T
            width = width * phenotype.nucleolus
            spot = np.exp(-((along - a) ** 2 + (across - b) ** 2) / width**2)
            spots[core] += strength * spot
        return np.minimum(spots, 1.0)


def _strengths(phenotype: Phenotype) -> tuple[float, float, float]:
    """How strong each of the three nucleoli of a cell is."""
    return 1.0, phenotype.other_nucleoli, phenotype.other_nucleoli
