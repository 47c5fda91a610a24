"""One cell: its size, its shape and its state, from the cell cycle to death.

Lengths are in pixels, times in frames of 30 minutes, angles in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Snapshot:
    """A cell as the renderer and the truth see it at one time point.

    Attributes
    ----------
    infection
        Share of the sensor that has moved into the nucleus, 0 to 1.
    infected, mitotic, dead
        The states of the truth.
    condensation
        0 for interphase chromatin, 1 for a condensed metaphase or pyknotic nucleus.
    """

    cell: int
    parent: int
    y: float
    x: float
    angle: float
    nucleus_radius: float
    nucleus_aspect: float
    body_radius: float
    outline: NDArray[np.complex128]
    rounding: float
    condensation: float
    infection: float
    infected: bool
    mitotic: bool
    dead: bool
    look: NDArray[np.float64]


@dataclass
class Cell:
    """One cell from birth to division, death or the end of the movie.

    Attributes
    ----------
    cell, parent
        Number of the cell in its field; number of its mother, or -1.
    y, x
        Centre of the nucleus in pixels of the field.
    polarity
        Direction of movement; ``angle`` is the orientation of the body, which follows it.
    outline
        (harmonics,) complex Fourier terms of the body's outline, relative to its radius.
    phase
        Position in the cell cycle, 0 at birth and 1 at the start of mitosis.
    infection_draw
        Uniform number in [0, 1] from which the infection time follows.
    mitosis_left, death_age
        Mitotic frames still to come; frames since death began, or -1.
    look
        (8,) uniform numbers for everything that makes a cell look like itself.
    """

    cell: int
    parent: int
    y: float
    x: float
    polarity: float
    speed: float
    outline: NDArray[np.complex128]
    phase: float
    cycle_frames: float
    infection_draw: float
    look: NDArray[np.float64]
    angle: float = 0.0
    age: int = 99
    mitosis_left: int = 0
    death_age: int = -1
    death_frames: int = 0
    daughters_axis: float = 0.0

    @property
    def mitotic(self) -> bool:
        """Whether the chromatin is condensed for division."""
        return self.mitosis_left > 0

    @property
    def dead(self) -> bool:
        """Whether the cell has begun to die."""
        return self.death_age >= 0

    @property
    def rounding(self) -> float:
        """0 for a spread cell, 1 for a round one (mitosis, just divided, dying)."""
        if self.dead:
            return min(1.0, 0.55 * (self.death_age + 1))
        if self.mitotic:
            return 1.0
        return math.exp(-(self.age + 0.15) / 1.3)

    @property
    def nucleus_radius(self) -> float:
        """Radius of a circle with the nucleus' area, in pixels."""
        grown = (12.2 + 3.8 * self.phase) * (0.95 + 0.1 * self.look[0])
        if self.dead:
            return float(grown * (1.0 - 0.42 * self.rounding))
        if self.mitotic:
            return 8.6 if self.mitosis_left == 1 else 10.6
        return float(grown * (1.0 - 0.28 * math.exp(-self.age / 1.4)))

    @property
    def nucleus_aspect(self) -> float:
        """Length over width of the nucleus; a metaphase plate is a bar."""
        if self.dead:
            return 1.05
        if self.mitotic:
            return 1.9 if self.mitosis_left == 1 else 1.08
        return float(1.08 + 0.3 * self.look[1] + 0.15 * math.exp(-self.age))

    @property
    def body_radius(self) -> float:
        """Mean radius of the cell body, in pixels, if it had all the room it wants."""
        spread = (28.0 + 8.0 * self.phase) * (0.88 + 0.3 * self.look[2])
        small = 15.5 if self.dead else 19.0 if self.mitotic else 16.5
        return float(spread + (small - spread) * self.rounding)

    @property
    def reach(self) -> float:
        """Half the room that the nucleus needs among its neighbours, in pixels."""
        nucleus = self.nucleus_radius * math.sqrt(self.nucleus_aspect)
        return max(nucleus, 0.72 * self.body_radius * self.rounding)

    def snapshot(self, frames_infected: float) -> Snapshot:
        """Freeze the cell as it is.

        Parameters
        ----------
        frames_infected
            Frames since it became infected; negative before.
        """
        if self.dead:
            condensation = self.rounding
        elif self.mitotic:
            condensation = 1.0
        else:
            condensation = 0.75 * math.exp(-self.age / 0.8)
        return Snapshot(
            cell=self.cell,
            parent=self.parent,
            y=self.y,
            x=self.x,
            angle=self.angle,
            nucleus_radius=self.nucleus_radius,
            nucleus_aspect=self.nucleus_aspect,
            body_radius=self.body_radius,
            outline=self.outline.copy(),
            rounding=self.rounding,
            condensation=condensation,
            # The sensor moves within about an hour and a half.
            infection=min(max(0.5 + frames_infected / 1.5, 0.0), 1.0),
            infected=frames_infected >= 0,
            mitotic=self.mitotic,
            dead=self.dead,
            look=self.look,
        )
