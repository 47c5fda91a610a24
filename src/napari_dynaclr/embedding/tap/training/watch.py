"""Watching TAP as it is trained: on pairs that it does not learn from, as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.embedding.tap.training.feed import Draw, Drawing, Sampler, cut_pair
from napari_dynaclr.embedding.tap.training.regions import REGIONS, region_draws
from napari_dynaclr.learning.feed import stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.tap.training.movies import Place, Stretch

    type Patches = NDArray[np.float16]

ANYWHERE = "anywhere"
"""Name of the pairs that are drawn as those that are learned from."""

_MOST = {ANYWHERE: 256, **dict.fromkeys(REGIONS, 128)}
"""Pairs that are watched, at most."""

_LEAST = 4
"""Pairs of a region below which its accuracy would say nothing."""

_NEAR = 48
"""Pixels; a region's patch is half as wide as the others, but no smaller than this, nor wider."""


class Watch:
    """Some pairs, measured after every epoch.

    Parameters
    ----------
    stretches
        What they are drawn from: what is held out, if anything is.
    drawing
        How pairs are drawn; as wide as the network sees them.
    room
        Memory for pixels, bytes.
    seed
        For the draw.
    held_out
        Whether they are not trained with: only then has a loss on them a meaning.
    job
        Progress and cancelling.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        drawing: Drawing,
        room: float,
        seed: int,
        held_out: bool,
        job: Job,
    ) -> None:
        self._job = job
        self.held_out = held_out
        rng = np.random.default_rng(seed)
        side = drawing.side
        near = min(max(side // 2, _NEAR), side)
        cutter = _Cutter(Sampler(stretches, drawing), stretches, near, rng)
        shrink = min(room / (4 * side**2 * sum(_MOST.values())), 1.0)
        most = {name: max(int(count * shrink), 1) for name, count in _MOST.items()}
        wanted = _wanted(stretches, near, most, rng)
        found: dict[str, list[Patches]] = {name: [] for name in _MOST}
        for number in job.track(range(len(stretches)), "read images to validate with"):
            here = [one for one in wanted if one.stretch == number]
            for name, pair in stream(stretches[number], cutter, here) if here else ():
                job.check()
                if pair is not None:
                    found[name].append(pair)
        self.pairs: dict[str, Patches] = {
            name: np.stack(some)
            for name, some in found.items()
            if len(some) >= (1 if name == ANYWHERE else min(_LEAST, most[name]))
        }
        """(N, 2, 1, Y, X) by region, and :data:`ANYWHERE`; regions that are rare are left out."""

    def batches(self, name: str, size: int) -> Iterator[Patches]:
        """Iterate over the pairs of one region, in batches."""
        pairs = self.pairs[name]
        for start in range(0, len(pairs), size):
            self._job.check()
            yield pairs[start : start + size]

    @property
    def shown(self) -> Patches:
        """The pair to be shown, (2, 1, Y, X): a division, or where most changes."""
        pairs = next(
            self.pairs[name] for name in ("division", ANYWHERE) if name in self.pairs
        ).astype(np.float32)
        change = np.abs(pairs[:, 1] - pairs[:, 0]).mean((1, 2, 3))
        found: Patches = pairs[int(change.argmax())]
        return found


def kept_figures(figures: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return the figures of the epoch whose weights are kept: the lowest validation loss, or last.

    Parameters
    ----------
    figures
        Of every epoch, at least one.
    """
    return min(reversed(figures), key=lambda one: one.get("validation_loss", 0.0))


def no_better_than_chance(figures: Mapping[str, float], counts: Mapping[str, int]) -> str:
    """Say so if a network has not learned the order of time of anything; "" if it has.

    Parameters
    ----------
    figures
        Accuracies: "accuracy" and, where cells are tracked, "accuracy_division".
    counts
        Pairs that they were measured on, by region.
    """
    named = {ANYWHERE: "accuracy", "division": "accuracy_division"}
    found = {name: figures[figure] for name, figure in named.items() if figure in figures}
    # One in forty guesses would do as well: two standard deviations of the share of right ones.
    if any(one > 0.5 + 1 / np.sqrt(counts[name]) for name, one in found.items()):
        return ""
    divisions = f", {found['division']:.2f} around divisions" if "division" in found else ""
    return (
        "The network tells the order of time no better than chance: accuracy "
        f"{found[ANYWHERE]:.2f}{divisions}, and guesses have 0.50 +- "
        f"{0.5 / np.sqrt(counts[ANYWHERE]):.2f} on so many pairs. What it finds means nothing yet. "
        "Train for longer (epochs=, minutes=), or take frames further apart (delta_t), larger or "
        "smaller patches (patch_size), another channel=, or a movie in which more happens."
    )


class _Wanted:
    """A pair that is to be watched; ``draw`` is None where its place is yet to be drawn."""

    def __init__(self, name: str, stretch: int, times: tuple[int, int], draw: Draw | None) -> None:
        self.name, self.stretch, self.times, self.draw = name, stretch, times, draw


class _Cutter:
    """Cuts pairs; where there is something in a frame is known once it has been read."""

    def __init__(
        self,
        sampler: Sampler,
        stretches: Sequence[Stretch],
        near: int,
        rng: np.random.Generator,
    ) -> None:
        self._sampler, self._stretches, self._near, self._rng = sampler, stretches, near, rng

    def draw(self, rng: np.random.Generator) -> _Wanted:
        raise NotImplementedError

    def cut(
        self, draw: _Wanted, frames: Sequence[NDArray[np.float16]]
    ) -> tuple[str, Patches | None]:
        content = self._stretches[draw.stretch].content
        if not all(t in content for t in draw.times):
            return draw.name, None
        if draw.draw is not None:
            return draw.name, cut_pair(draw.draw, frames, self._near)
        placed = self._sampler.place(draw.stretch, draw.times[0], self._rng)
        return draw.name, self._sampler.cut(placed, frames)


def _wanted(
    stretches: Sequence[Stretch], near: int, most: dict[str, int], rng: np.random.Generator
) -> list[_Wanted]:
    """Choose what is watched: evenly over time, and of each region alike."""
    starts = [
        (number, t, t + one.place.step) for number, one in enumerate(stretches)
        for t in one.starts()
    ]  # fmt: skip
    places = np.linspace(0, len(starts), most[ANYWHERE], endpoint=False).astype(int)
    found = [
        _Wanted(ANYWHERE, number, (t, later), None)
        for number, t, later in (starts[place] for place in places)
    ]
    regions: dict[str, list[Draw]] = {name: [] for name in REGIONS}
    for number, one in enumerate(stretches):
        tracks = _tracks(one.place)
        if tracks is not None:
            for name, draws in region_draws(one, number, tracks, near, rng).items():
                regions[name] += draws
    for name, draws in regions.items():
        chosen = rng.permutation(len(draws))[: most[name]]
        found += [_Wanted(name, draws[i].stretch, draws[i].times, draws[i]) for i in chosen]
    return found


def _tracks(place: Place) -> pd.DataFrame | None:
    """Return the tracks of a FOV; None where it has none that can be read now."""
    try:
        return place.dataset.workspace.tracks(place.fov)
    except (MissingInput, InvalidInput):
        return None  # it is watched by region only where that costs nobody anything
