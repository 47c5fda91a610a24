"""Cells embedded per second, beside VisCy's data module and prediction loop and the bare network.

The peer is on PyPI: ``pip install "napari-dynaclr[bench]"``. Without it, this says so and stops.

Both get the same cells, weights, device and statistics of the images (made by VisCy), and give an
AnnData on disk. Cells at the border are left out for both, as VisCy drops them, and its tables are
moved by a pixel, as its windows begin one pixel before ours; so both see the same pixels, and
the embeddings are compared. VisCy reads with the loader that is its quickest for the case.
Each side lives in a process of its own; they take turns, and medians over the rounds count.
"Ratio of work" compares the processor's time, which other programs disturb less than the clock.

    python embedding.py [--device cuda] [--rounds 5] [CASE...]
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import TYPE_CHECKING

import embedding_ours as ours
import embedding_viscy as viscy
import numpy as np
from common import Side, show
from embedding_cases import CASES, Case

if TYPE_CHECKING:
    import pandas as pd
    from common import Measured

LOADERS = [(workers, cache) for cache in (0, 1 << 30) for workers in (0, 1, 2)]


def median(rounds: list[Measured]) -> tuple[float, float, float]:
    """Cells per second, and per second of the processor's work; MB."""
    figures = [(m.done / m.seconds, m.done / m.processor, m.megabytes) for m in rounds]
    speed, work, memory = np.median(figures, axis=0).tolist()
    return speed, work, memory


def difference(mine: pd.DataFrame, theirs: pd.DataFrame) -> float:
    """Largest difference of any number of any cell, relative to the largest number."""
    if len(mine) != len(theirs) or not mine.index.sort_values().equals(theirs.index.sort_values()):
        raise ValueError("ours and VisCy embedded other cells than each other")
    found = np.abs(mine - theirs.loc[mine.index]).to_numpy().max()
    return float(found / np.abs(mine).to_numpy().max())


def reading(
    case: Case, rounds: int, us: Side, them: Side
) -> tuple[dict[str, object], tuple[int, int]]:
    us.run(ours.read, case)  # what is only loaded once is not counted
    them.run(viscy.read, case, 0, 0)
    tried = {one: them.run(viscy.read, case, *one) for one in LOADERS}
    loader = min(tried, key=lambda one: tried[one].seconds)
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(us.run(ours.read, case))
        theirs.append(them.run(viscy.read, case, *loader))
    (our_speed, our_work, our_memory), (speed, work, memory) = median(mine), median(theirs)
    row: dict[str, object] = {
        "case": case.name,
        "cells": mine[0].done,
        "ours, cells/s": our_speed,
        "VisCy, cells/s": speed,
        "ratio": our_speed / speed,
        "ratio of work": our_work / work,
        "its loader": f"{loader[0]} workers, {'1 GiB' if loader[1] else 'no'} cache",
        "ours, MB": our_memory,
        "VisCy, MB": memory,
    }
    return row, loader


def whole(
    case: Case, rounds: int, device: str, loader: tuple[int, int], us: Side, them: Side
) -> dict[str, object]:
    us.run(ours.embed, case, device)
    them.run(viscy.embed, case, device, *loader)
    mine, theirs, bare = [], [], []
    for _ in range(rounds):
        mine.append(us.run(ours.embed, case, device))
        theirs.append(them.run(viscy.embed, case, device, *loader))
        bare.append(us.run(ours.bare, case, device))
    (our_speed, our_work, our_memory), (speed, work, memory) = median(mine), median(theirs)
    forward, forward_work, _ = median(bare)
    return {
        "case": case.name,
        "network": case.backbone,
        "cells": mine[0].done,
        "ours, cells/s": our_speed,
        "VisCy, cells/s": speed,
        "ratio": our_speed / speed,
        "ratio of work": our_work / work,
        "bare network, cells/s": forward,
        "ours / bare": our_speed / forward,
        "its work": our_work / forward_work,
        "largest difference": difference(us.run(ours.result, case), them.run(viscy.result, case)),
        "ours, MB": our_memory,
        "VisCy, MB": memory,
    }


def measure(cases: list[Case], rounds: int, device: str) -> None:
    us, them = Side(), Side()
    read_rows, whole_rows = [], []
    for case in cases:
        if not case.plate.exists():
            us.run(ours.prepare, case)
            them.run(viscy.prepare, case)
        us.run(ours.weights, case)
        row, loader = reading(case, rounds, us, them)
        read_rows.append(row)
        whole_rows.append(whole(case, rounds, device, loader, us, them))
    show(f"Reading and normalising patches ({rounds} rounds, in turn)", read_rows)
    show(f"From images to embeddings on disk, on {device} ({rounds} rounds, in turn)", whole_rows)


def main(arguments: list[str] | None = None) -> None:
    if find_spec("viscy_data") is None or find_spec("viscy_utils") is None:
        print("\nembedding.py: skipped, for `pip install viscy-data viscy-utils` is missing")
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "mps"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    measure([CASES[name] for name in given.cases or CASES], given.rounds, given.device)


if __name__ == "__main__":
    main()
