"""Linking by our own methods beside LapTrack, as the field and the number of cells grow.

`tracking.py --largest 100000` stops earlier; `tracking.py accuracy` measures on simulated plates.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from common import HOME, Side, measuring, show

FRAMES = 20
SPACING = 20.0
"""Distance between cells in um, as in the simulated plate."""
STEP, DIVIDE, MISSED = 2.0, 0.01, 0.01
LARGEST = {"assignment": 1_000_000, "laptrack": 100_000, "flow": 10_000}
"""Nodes that each is given at most: laptrack takes an hour for more, flow as long for less."""
PLATES = ("easy", "default", "hard")


def moving(nodes: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells on a random walk that divide and are missed, and the truth.

    The truth has `t`, `cell`, and `before`: the row that a row stems from, -1 for none.
    """
    generator = np.random.default_rng(0)
    count = max(4, round(nodes / FRAMES / (1 + DIVIDE) ** (FRAMES / 2) / (1 - MISSED)))
    side = int(np.ceil(count**0.5))
    grid = np.stack(np.divmod(np.arange(count), side), axis=1)
    place = SPACING * (grid + generator.uniform(-0.3, 0.3, grid.shape))
    area, last = generator.uniform(160, 240, count), np.full(count, -1)
    parts, made = [], 0
    for t in range(FRAMES):
        seen = generator.random(len(place)) >= MISSED
        rows = np.where(seen, made + np.cumsum(seen) - 1, last)
        table = {"t": t, "y": place[seen, 0], "x": place[seen, 1], "area": area[seen]}
        parts.append(pd.DataFrame({**table, "before": last[seen]}))
        made += int(seen.sum())
        split = generator.random(len(place)) < DIVIDE
        away = generator.normal(size=(int(split.sum()), 2))
        away *= 4 / np.linalg.norm(away, axis=1, keepdims=True)
        place = place + generator.normal(0, STEP, place.shape) * ~split[:, None]
        place = np.concatenate([place[~split], place[split] + away, place[split] - away])
        half = 0.6 * area[split]
        area = np.concatenate([area[~split], half, half])
        last = np.concatenate([rows[~split], rows[split], rows[split]])
    table = pd.concat(parts, ignore_index=True).assign(z=0.0)
    table["label"] = table.groupby("t").cumcount() + 1
    return table.drop(columns="before"), table["before"].to_numpy()


def measure(name: str, count: int) -> dict[str, float]:
    """Link so many nodes, in a process that does nothing else."""
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.registry import find_method, parse
    from napari_dynaclr.tracking.movie import Movie

    method = find_method("track", name)
    # LapTrack's default is a shorter step: the same for all.
    params = parse("track", name, {"max_distance": 15.0, "max_division_distance": 12.0})

    def link(nodes: pd.DataFrame) -> pd.DataFrame:
        fov = SimpleNamespace(scale=(1.0, 1.0, 1.0), name="A/1/0", shape=(FRAMES, 1, 1, 1))
        return method.load().link(Movie(fov, nodes, Path()), params, Job()).nodes

    link(moving(200)[0])  # imports and compiles
    nodes, truth = moving(count)
    with measuring() as base:
        nodes = nodes.copy()
    with measuring() as taken:
        linked = link(nodes)
    right, ours = _right(linked, truth)
    return {
        "nodes": len(nodes),
        "seconds": taken.seconds,
        "us per node": 1e6 * taken.seconds / len(nodes),
        "bytes per node": (taken.megabytes - base.megabytes) * 2**20 / len(nodes),
        "links found": right / max((truth >= 0).sum(), 1),
        "links right": right / max(ours, 1),
    }


def _right(linked: pd.DataFrame, truth: np.ndarray) -> tuple[int, int]:
    """Links that are in the truth, and all."""
    order = linked.reset_index().sort_values(["track_id", "t"])
    before = order.groupby("track_id")["index"].shift(1)
    last = order.groupby("track_id")["index"].last()
    before = before.fillna(order["parent_track_id"].map(last)).fillna(-1).astype(int)
    found = before.to_numpy()
    return int(((found == truth[order["index"]]) & (found >= 0)).sum()), int((found >= 0).sum())


def scaling(largest: int) -> None:
    rows: list[dict[str, object]] = []
    for count in (10_000, 100_000, 1_000_000):
        if count > largest:
            continue
        reference: dict[str, float] = {}
        for name in ("laptrack", "assignment", "flow"):
            if count > LARGEST[name]:
                continue
            side = Side()
            found = side.run(measure, name, count)
            side.close()
            reference = found if name == "laptrack" else reference
            ratio = reference["us per node"] / found["us per node"] if reference else "-"
            rows.append({"method": name, **found, "faster than laptrack": ratio})
    show("Linking at constant density, 20 frames", rows)


def accuracy() -> None:
    """Our methods and LapTrack on the simulated plate, its own cells segmented by threshold."""
    from napari_dynaclr import evaluate, open_dataset, segment, track
    from napari_dynaclr.core.registry import parse
    from napari_dynaclr.sample import SimulateParams, simulate

    rows: list[dict[str, object]] = []
    for difficulty in PLATES:
        path = HOME / f"tracking_{difficulty}.zarr"
        if not path.exists():
            simulate(path, SimulateParams(fovs_per_well=1, difficulty=difficulty))
        truth = str(path.with_name(f"{path.stem}_truth.zarr"))
        for name in ("assignment", "flow", "laptrack"):
            dataset = open_dataset(path)
            segment(dataset)
            values = {"max_distance": 15.0} if name == "laptrack" else {}
            track(dataset, parse("track", name, values))
            scores = evaluate(dataset, parse("evaluate", "tracking", {"truth": truth}))
            picked = scores[["TRA", "DET", "LNK", "division_f1"]].mean()
            rows.append(
                {"plate": difficulty, "method": name, **{k: f"{v:.4f}" for k, v in picked.items()}}
            )
    show("Accuracy on the simulated plate, mean of 4 FOVs", rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("scaling", "accuracy"), default="scaling")
    parser.add_argument("--largest", type=int, default=1_000_000, help="nodes at most")
    given = parser.parse_args(arguments)
    if given.what == "accuracy":
        accuracy()
    else:
        scaling(given.largest)


if __name__ == "__main__":
    main()
