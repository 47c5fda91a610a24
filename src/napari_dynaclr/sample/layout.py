"""What is on a simulated plate: its fields, wells and conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.sample.params import CONDITIONS, SimulateParams
from napari_dynaclr.sample.phenotype import USUAL, FieldLight, Phenotype

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class FovPlan:
    """One field to simulate.

    Attributes
    ----------
    row, column, fov
        Names on the plate.
    infected
        Whether its well holds virus.
    seed_key
        Well number and field number: with the seed they make the field, whatever other
        wells and fields there are.
    phenotype
        How its cells look.
    light
        How its light differs from that of other fields; None for not at all.
    corner_um
        Where in its well the field's upper left corner lies (y, x), if that is told.
    """

    row: str
    column: str
    fov: str
    infected: bool
    seed_key: tuple[int, int]
    phenotype: Phenotype = USUAL
    light: FieldLight | None = None
    corner_um: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """Name of the field, as in "B/1/0"."""
        return f"{self.row}/{self.column}/{self.fov}"


@dataclass(frozen=True)
class Layout:
    """A plate to simulate.

    Attributes
    ----------
    movie
        What all of its fields share.
    fields
        Its fields, in plate order.
    digest
        Of the settings it follows from: another digest gives another plate.
    conditions
        Condition of each well, by name; empty where the truth says nothing of it.
    """

    movie: SimulateParams
    fields: Sequence[FovPlan]
    digest: str
    conditions: Mapping[str, str]


def infection_layout(params: SimulateParams) -> Layout:
    """Lay out mock and infected wells, a row each."""
    fields = [
        FovPlan(row, str(well + 1), str(fov), infected, (2 * well + number, fov))
        for number, (row, infected) in enumerate(CONDITIONS)
        for well in range(params.wells_per_condition)
        for fov in range(params.fovs_per_well)
    ]
    return Layout(params, fields, params.digest(), {})
