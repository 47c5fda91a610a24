from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.sample.params import DIFFICULTIES, SimulateParams
from napari_dynaclr.sample.population import MARGIN, simulate_population

if TYPE_CHECKING:
    from napari_dynaclr.sample.cell import Snapshot

DEFAULT = SimulateParams()


def population(params: SimulateParams, infected: bool, seed: int = 0) -> list[list[Snapshot]]:
    return simulate_population(params, infected, np.random.SeedSequence(seed))


def fraction(frames: list[list[Snapshot]]) -> np.ndarray:
    return np.array([np.mean([cell.infected for cell in cells]) for cells in frames])


def test_infection_follows_a_sigmoid_that_levels_off_by_fifteen_hours():
    curve = np.mean([fraction(population(DEFAULT, True, seed)) for seed in range(6)], axis=0)
    hours = 0.5 * np.arange(len(curve))
    assert curve[0] < 0.03
    # Deaths and divisions make it waver; it never falls by much.
    assert np.diff(curve).min() > -0.02
    assert abs(np.interp(6.5, hours, curve) - 0.5 * DEFAULT.infected_fraction) < 0.08
    plateau = curve[hours >= 15]
    assert 0.78 < plateau.min() <= plateau.max() < 0.93
    assert plateau.max() - plateau.min() < 0.03
    assert abs(np.interp(12.5, hours, curve) - plateau.mean()) < 0.04


def test_mock_wells_stay_uninfected():
    assert fraction(population(DEFAULT, False)).max() == 0.0


def test_infection_is_inherited_and_never_lost():
    frames = population(DEFAULT, True)
    before: dict[int, Snapshot] = {}
    inherited = 0
    for cells in frames:
        for cell in cells:
            earlier = before.get(cell.cell, before.get(cell.parent))
            if earlier is not None and earlier.infected:
                assert cell.infected
                inherited += cell.cell not in before
        before = {cell.cell: cell for cell in cells}
    assert inherited >= 10


@pytest.mark.parametrize("infected", [False, True])
def test_a_field_holds_enough_divisions_and_some_deaths(infected: bool):
    frames = population(DEFAULT, infected)
    inside = {
        cell.cell: cell
        for cells in frames
        for cell in cells
        if 0 <= cell.y < DEFAULT.size and 0 <= cell.x < DEFAULT.size
    }
    daughters = [cell for cell in inside.values() if cell.parent >= 0]
    assert 20 <= len(daughters) <= 100
    assert sum(cell.dead for cell in inside.values()) >= 1


def test_daughters_appear_around_their_mother_in_the_frame_after_her_last():
    previous: dict[int, Snapshot] = {}
    divisions = 0
    for cells in population(DEFAULT, True):
        now = {cell.cell: cell for cell in cells}
        born: dict[int, list[Snapshot]] = {}
        for cell in cells:
            if cell.parent in previous and cell.cell not in previous:
                born.setdefault(cell.parent, []).append(cell)
        for mother, pair in born.items():
            divisions += 1
            assert len(pair) == 2
            assert previous[mother].mitotic
            assert mother not in now
            away = np.array([(c.y - previous[mother].y, c.x - previous[mother].x) for c in pair])
            assert np.hypot(*away.T).max() < 26
            # On opposite sides, and clearly apart.
            assert away[0] @ away[1] < 0
            radii = sum(c.nucleus_radius * np.sqrt(c.nucleus_aspect) for c in pair)
            assert np.hypot(*(away[0] - away[1])) > radii + 2
        previous = now
    assert divisions > 15


def test_the_dead_stop_and_vanish():
    frames = population(SimulateParams(time_points=60), True)
    places: dict[int, list[tuple[float, float]]] = {}
    for cells in frames:
        for cell in cells:
            if cell.dead:
                places.setdefault(cell.cell, []).append((cell.y, cell.x))
            else:
                assert cell.cell not in places, "a dead cell came back to life"
    ended = [
        steps for number, steps in places.items() if number not in {c.cell for c in frames[-1]}
    ]
    assert len(ended) >= 2
    assert all(4 <= len(steps) <= 8 for steps in ended)
    steps = np.concatenate([np.diff(s, axis=0) for s in ended])
    assert np.median(np.hypot(*steps.T)) < 2


def test_cells_move_far_less_than_half_a_nucleus_per_frame_at_default_difficulty():
    frames = population(DEFAULT, False)
    steps = []
    for cells, later in pairwise(frames):
        places = {cell.cell: (cell.y, cell.x) for cell in cells}
        steps += [
            np.hypot(cell.y - places[cell.cell][0], cell.x - places[cell.cell][1])
            for cell in later
            if cell.cell in places
        ]
    assert 2.5 < np.median(steps) < 7
    assert np.percentile(steps, 99) < 14


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    difficulty=st.sampled_from(["easy", "default", "hard"]),
    size=st.sampled_from([64, 128, 256]),
    cells=st.integers(1, 100),
)
def test_nuclei_keep_their_distance_and_cells_stay_near_the_field(
    seed: int, difficulty: str, size: int, cells: int
):
    params = SimulateParams(time_points=10, size=size, cells_per_fov=cells, difficulty=difficulty)
    gap = DIFFICULTIES[params.difficulty].gap
    for frame in population(params, True, seed):
        points = np.array([(c.y, c.x) for c in frame]).reshape(-1, 2)
        assert points.min(initial=0) >= -MARGIN
        assert points.max(initial=0) <= size + MARGIN
        radii = np.array([c.nucleus_radius * np.sqrt(c.nucleus_aspect) for c in frame])
        away = np.hypot(*(points[:, None] - points[None]).T) - radii[:, None] - radii[None]
        np.fill_diagonal(away, np.inf)
        # Relaxation stops at a tenth of a pixel, or after its rounds where it is crowded.
        assert away.min(initial=np.inf) > gap - 2.5
