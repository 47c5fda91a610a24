"""What a training does not learn from, so that it can be measured there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_dynaclr.core.fov import Fov


def divide(
    places: Sequence[tuple[int, Fov]], used: Iterable[int], fraction: float, unit: str, seed: int
) -> tuple[list[int], list[int], str]:
    """Divide FOVs, or whole wells, into those to train with and those to validate with.

    Parameters
    ----------
    places
        Number of the dataset, and FOV, of each.
    used
        Indices of those from which there is something to learn.
    fraction
        Of the FOVs or wells to hold out; one at least, unless it is 0.
    unit
        "fov" or "well".
    seed
        For the choice.

    Returns
    -------
    tuple
        Indices to train with, indices to validate with, and what to tell the user.
    """
    names = [f"{number}|{fov.name if unit == 'fov' else fov.well}" for number, fov in places]
    units = sorted({names[i] for i in used})
    if not fraction or len(units) < 2:
        told = f"There is one {unit} only: nothing is held out." if fraction else ""
        return list(range(len(names))), [], told
    count = min(max(round(fraction * len(units)), 1), len(units) - 1)
    generator = np.random.default_rng(seed)
    chosen = set(generator.choice(units, count, replace=False).tolist())
    held = [i for i, name in enumerate(names) if name in chosen]
    rest = [i for i, name in enumerate(names) if name not in chosen]
    told = ", ".join(sorted({name.partition("|")[2] for name in chosen}))
    return rest, held, f"Held out for validation: {told}."
