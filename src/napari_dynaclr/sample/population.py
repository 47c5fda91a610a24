"""The biology of one field: cells that move, grow, divide, get infected and die.

No images here. Lengths are in pixels, times in frames of 30 minutes, angles in
radians. The population lives on a square that is larger than the field by
:data:`MARGIN` on each side, so that cells cross the field's border in both
directions as they do under a microscope.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.sample.cell import Cell, Snapshot
from napari_dynaclr.sample.mechanics import relax
from napari_dynaclr.sample.params import (
    DIFFICULTIES,
    HOURS_PER_FRAME,
    Difficulty,
    SimulateParams,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 36.0
"""How far beyond the field's border cells may go, in pixels."""
HARMONICS = 6
"""Fourier terms of a cell's outline."""
CYCLE_HOURS, CYCLE_SPREAD = 18.5, 2.0
"""Mean and standard deviation of the cell cycle; A549 cells divide about once a day,
these a little faster, so that an 18-hour movie holds enough divisions."""
INFECTION_SPREAD_HOURS = 1.2
"""Scale of the logistic distribution of infection times."""
DEATH_PER_FRAME, DEATH_PER_FRAME_INFECTED = 0.0012, 0.0035
_OUTLINE_AMPLITUDE = np.array([0.16, 0.13, 0.085, 0.06, 0.04, 0.03])


def simulate_population(
    params: SimulateParams, infected_well: bool, seed: np.random.SeedSequence
) -> list[list[Snapshot]]:
    """Simulate one field of view, without images.

    Parameters
    ----------
    params
        Settings of the time-lapse.
    infected_well
        Whether the well holds virus; without it no cell is ever infected.
    seed
        Seed of this field alone.

    Returns
    -------
    list of list of Snapshot
        The cells of each frame, in the order of their numbers. A daughter's first
        frame follows its mother's last one.
    """
    return _Population(params, infected_well, np.random.default_rng(seed)).run()


class _Population:
    def __init__(
        self, params: SimulateParams, infected_well: bool, rng: np.random.Generator
    ) -> None:
        self.params, self.rng = params, rng
        self.level: Difficulty = DIFFICULTIES[params.difficulty]
        self.fraction = params.infected_fraction if infected_well else 0.0
        self.side = params.size + 2 * MARGIN
        # Contact inhibition: the cycle stops where the bodies would fill the plane.
        self.capacity = self.side**2 / 1900.0
        self.next_cell = 0
        wanted = params.cells_per_fov * self.level.density * (self.side / 512.0) ** 2
        count = max(1, round(wanted))
        # Stratified draws: even a few founders follow the infection curve.
        draws = (rng.permutation(count) + rng.random(count)) / count
        self.cells = [self._founder(float(draw)) for draw in draws]

    def run(self) -> list[list[Snapshot]]:
        self._relax(rounds=150)
        frames = [self._snapshots(0)]
        for t in range(1, self.params.time_points):
            self._live(t)
            self._move()
            frames.append(self._snapshots(t))
        return frames

    def _founder(self, draw: float) -> Cell:
        # Ages of a growing culture: twice as many newborn as dividing cells.
        phase = -math.log2(1.0 - self.rng.random() / 2.0)
        low, high = -MARGIN, self.params.size + MARGIN
        y, x = self.rng.uniform(low, high, 2)
        return self._new_cell(-1, y, x, phase, draw, self.rng.random(8), age=99)

    def _new_cell(
        self,
        parent: int,
        y: float,
        x: float,
        phase: float,
        draw: float,
        look: NDArray[np.float64],
        age: int,
    ) -> Cell:
        rng = self.rng
        polarity = rng.uniform(-math.pi, math.pi)
        noise = rng.standard_normal((2, HARMONICS))
        cell = Cell(
            cell=self.next_cell,
            parent=parent,
            y=y,
            x=x,
            polarity=polarity,
            speed=self.level.speed * math.exp(0.35 * rng.standard_normal()),
            outline=_OUTLINE_AMPLITUDE * (noise[0] + 1j * noise[1]),
            phase=phase,
            cycle_frames=max(8.0, rng.normal(CYCLE_HOURS, CYCLE_SPREAD)) / HOURS_PER_FRAME,
            infection_draw=draw,
            look=look,
            angle=polarity,
            age=age,
        )
        self.next_cell += 1
        return cell

    def _infection_frame(self, draw: float) -> float:
        """Frame at which a cell becomes infected: a logistic curve with a plateau."""
        if draw >= self.fraction:
            return math.inf
        share = min(max(draw / self.fraction, 1e-6), 1.0 - 1e-6)
        spread = min(INFECTION_SPREAD_HOURS, 0.25 * self.params.infection_hours)
        hours = self.params.infection_hours + spread * math.log(share / (1.0 - share))
        return max(hours, 0.0) / HOURS_PER_FRAME

    def _infection_share(self, t: float) -> float:
        """Fraction of all cells infected by frame ``t``: inverts ``_infection_frame``."""
        if t < 0 or self.fraction == 0.0:
            return 0.0
        spread = min(INFECTION_SPREAD_HOURS, 0.25 * self.params.infection_hours)
        hours = t * HOURS_PER_FRAME
        return self.fraction / (1.0 + math.exp((self.params.infection_hours - hours) / spread))

    def _live(self, t: int) -> None:
        """Let every cell age by one frame: infection, death, growth, division."""
        alive: list[Cell] = []
        crowding = max(0.0, 1.0 - (len(self.cells) / self.capacity) ** 4)
        for cell in self.cells:
            infected = self._infection_frame(cell.infection_draw) <= t
            draw = self.rng.random()
            if cell.dead:
                cell.death_age += 1
                if cell.death_age < cell.death_frames:
                    alive.append(cell)
                continue
            cell.age += 1
            if cell.mitotic:
                cell.mitosis_left -= 1
                alive.extend([cell] if cell.mitosis_left else self._divide(cell, t))
                continue
            # Infected cells die more often, but not at once.
            sick = infected and t - self._infection_frame(cell.infection_draw) > 6
            if cell.age > 6 and draw < (DEATH_PER_FRAME_INFECTED if sick else DEATH_PER_FRAME):
                cell.death_age, cell.death_frames = 0, int(self.rng.integers(4, 9))
                if not infected:
                    cell.infection_draw = 1.0  # the dead do not catch it any more
            else:
                cell.phase += crowding * (0.8 if infected else 1.0) / cell.cycle_frames
                if cell.phase >= 1.0:
                    cell.phase = 1.0
                    cell.mitosis_left = int(self.rng.choice([1, 2, 3], p=[0.15, 0.6, 0.25]))
                    cell.daughters_axis = self.rng.uniform(-math.pi, math.pi)
            alive.append(cell)
        self.cells = alive

    def _divide(self, mother: Cell, t: int) -> list[Cell]:
        """Replace a mother by two daughters on either side of the metaphase plate."""
        daughters = []
        known = self._infection_share(t - 1)
        for sign in (1.0, -1.0):
            # A daughter of an infected cell is infected; that of another gets a time of
            # its own, later than now, so that the population keeps to its curve.
            draw = mother.infection_draw
            if self._infection_frame(draw) > t:
                draw = known + (1.0 - known) * self.rng.random()
            look = np.clip(mother.look + self.rng.normal(0.0, 0.12, 8), 0.0, 1.0)
            away = mother.daughters_axis
            offset = sign * 13.5
            cell = self._new_cell(
                mother.cell,
                mother.y + offset * math.sin(away),
                mother.x + offset * math.cos(away),
                0.0,
                draw,
                look,
                age=0,
            )
            cell.polarity = away + (0.0 if sign > 0 else math.pi) + self.rng.normal(0.0, 0.3)
            # The daughters' nuclei lie parallel to the plate they come from.
            cell.angle = away + math.pi / 2
            cell.phase = 0.02 * self.rng.random()
            daughters.append(cell)
        return daughters

    def _move(self) -> None:
        rng, low, high = self.rng, -MARGIN, self.params.size + MARGIN
        for cell in self.cells:
            turn, wobble_y, wobble_x, spin = rng.standard_normal(4)
            noise = rng.standard_normal((2, HARMONICS))
            memory = 0.88
            cell.outline = memory * cell.outline + math.sqrt(1 - memory**2) * (
                _OUTLINE_AMPLITUDE * (noise[0] + 1j * noise[1])
            )
            if cell.dead or cell.mitotic or cell.age == 0:
                if cell.mitotic and cell.mitosis_left == 1:
                    cell.angle = cell.daughters_axis + math.pi / 2
                cell.y, cell.x = cell.y + 0.4 * wobble_y, cell.x + 0.4 * wobble_x
                continue
            cell.polarity += 0.5 * turn
            cell.y += cell.speed * math.sin(cell.polarity) + 0.5 * wobble_y
            cell.x += cell.speed * math.cos(cell.polarity) + 0.5 * wobble_x
            # The body turns towards where the cell goes; it has no front and back.
            error = 0.5 * math.atan2(
                math.sin(2 * (cell.polarity - cell.angle)),
                math.cos(2 * (cell.polarity - cell.angle)),
            )
            cell.angle += 0.18 * error + 0.06 * spin
            if not low < cell.y < high:
                cell.polarity = -cell.polarity
            if not low < cell.x < high:
                cell.polarity = math.pi - cell.polarity
        self._relax(rounds=25)

    def _relax(self, rounds: int) -> None:
        points = np.array([(cell.y, cell.x) for cell in self.cells]).reshape(-1, 2)
        reach = np.array([cell.reach for cell in self.cells])
        body = np.array([cell.body_radius for cell in self.cells])
        heavy = np.array([cell.mitotic or cell.dead for cell in self.cells])
        low, high = -MARGIN, self.params.size + MARGIN
        points = relax(points, reach, body, heavy, self.level.gap, (low, high), rounds)
        for cell, (y, x) in zip(self.cells, points, strict=True):
            cell.y, cell.x = float(y), float(x)

    def _snapshots(self, t: int) -> list[Snapshot]:
        return [
            cell.snapshot(t - self._infection_frame(cell.infection_draw)) for cell in self.cells
        ]
