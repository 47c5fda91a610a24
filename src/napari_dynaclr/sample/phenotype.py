"""What a treatment does to the looks of cells, and how the light differs between fields."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.sample.cell import Snapshot


@dataclass(frozen=True)
class Phenotype:
    """How cells under a treatment differ from usual ones: factors, 1 for no difference.

    None of them changes the light that a cell sends out by much: what differs is shape and
    texture, so that no phenotype is told by the brightness of a field.

    Attributes
    ----------
    nucleus, body
        Radius of the nucleus and of the cell.
    aspect
        Length over width of the nucleus; the body is drawn out with it.
    outline
        How irregular the outline of the cell is.
    grain, cloud
        Fine and coarse texture of the chromatin.
    nucleolus
        Width of the nucleoli.
    other_nucleoli
        How strong the second and third nucleolus are; 0 leaves one.
    rim, ruffle
        Brightness of the membrane at the cell's border, and of its folds.
    reticulum
        Texture around the nucleus, in the channel of the sensor.
    """

    nucleus: float = 1.0
    body: float = 1.0
    aspect: float = 1.0
    outline: float = 1.0
    grain: float = 1.0
    cloud: float = 1.0
    nucleolus: float = 1.0
    other_nucleoli: float = 1.0
    rim: float = 1.0
    ruffle: float = 1.0
    reticulum: float = 1.0

    def at(self, strength: float) -> Phenotype:
        """Return the phenotype weaker (below 1) or stronger; 0 is the usual look."""
        return Phenotype(
            **{
                field.name: max(0.0, 1.0 + strength * (getattr(self, field.name) - 1.0))
                for field in fields(self)
            }
        )

    def shape(self, cells: Sequence[Snapshot]) -> Sequence[Snapshot]:
        """Give cells the shape of the phenotype; dividing and dying ones keep more of theirs."""
        if self == USUAL:
            return cells
        return [self._shape(cell) for cell in cells]

    def _shape(self, cell: Snapshot) -> Snapshot:
        spread = 1.0 - cell.rounding
        outline = cell.outline * (1.0 + spread * (self.outline - 1.0))
        # The second harmonic draws the outline out along the cell.
        outline[1] += 0.5 * spread * (self.aspect - 1.0)
        return replace(
            cell,
            nucleus_radius=cell.nucleus_radius * (1.0 + spread * (self.nucleus - 1.0)),
            body_radius=cell.body_radius * (1.0 + spread * (self.body - 1.0)),
            nucleus_aspect=cell.nucleus_aspect * (1.0 + spread * (self.aspect - 1.0)),
            outline=outline,
        )


USUAL = Phenotype()
"""Cells as they look without treatment."""

PHENOTYPES: dict[str, Phenotype] = {
    "control": USUAL,
    "condensed": Phenotype(
        nucleus=0.9, body=0.95, grain=2.4, cloud=1.6, nucleolus=1.3, other_nucleoli=0.1
    ),
    "ruffled": Phenotype(body=1.08, outline=1.5, rim=0.72, ruffle=2.6, nucleus=1.04),
    "elongated": Phenotype(aspect=1.3, outline=0.8, rim=1.15, ruffle=0.6),
    "swollen": Phenotype(nucleus=1.12, grain=0.4, nucleolus=1.35, reticulum=2.2),
}
"""Treatments that can be simulated, by name; a plate has the first few of them."""


@dataclass(frozen=True)
class FieldLight:
    """How the light of one field differs from that of others: no biology at all.

    Attributes
    ----------
    gain
        Factor on the brightness of each channel.
    tilt
        How the brightness rises down and to the right, per channel: from the middle of the
        field to its edge, as a fraction.
    """

    gain: Mapping[str, float]
    tilt: Mapping[str, tuple[float, float]]

    def shade(self, channel: str, size: int) -> NDArray[np.float32]:
        """Return the factor on each pixel of a channel, (size, size)."""
        axis = np.linspace(-1.0, 1.0, size, dtype=np.float32)
        down, right = self.tilt[channel]
        plane = 1.0 + down * axis[:, None] + right * axis[None, :]
        return np.asarray(self.gain[channel] * np.maximum(plane, 0.05), np.float32)
