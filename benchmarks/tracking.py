"""Time per node of the default linker as the field, and with it the number of cells, grows."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from common import show

from napari_dynaclr.core.registry import find_method, parse

FRAMES = 20
DENSITY = 40 / (512 * 0.55) ** 2  # cells per um^2, as in the simulated plate


def walkers(count: int) -> pd.DataFrame:
    """Cells on a random walk, median step 2.2 um, at constant density."""
    generator = np.random.default_rng(0)
    side = (count / DENSITY) ** 0.5
    places = generator.uniform(0, side, (count, 2))
    parts = []
    for t in range(FRAMES):
        parts.append(pd.DataFrame(places, columns=["y", "x"]).assign(t=t))
        places = places + generator.normal(0, 1.9, places.shape)
    nodes = pd.concat(parts, ignore_index=True).assign(z=0.0, area=200)
    return nodes.assign(label=nodes.groupby("t").cumcount() + 1)


def main() -> None:
    method, params = find_method("track"), parse("track", None, {})
    link = method.load().link
    link(walkers(20), (1.0, 1.0, 1.0), params)  # imports and compiles
    rows: list[dict[str, object]] = []
    for count in (100, 400, 1600):
        nodes = walkers(count)
        start = time.perf_counter()
        link(nodes, (1.0, 1.0, 1.0), params)
        seconds = time.perf_counter() - start
        rows.append(
            {"nodes": len(nodes), "seconds": seconds, "ms per node": 1e3 * seconds / len(nodes)}
        )
    for row in rows:
        row["ratio to the smallest"] = float(row["ms per node"]) / float(rows[0]["ms per node"])  # type: ignore[arg-type]
    show("Linking by LapTrack", rows)


if __name__ == "__main__":
    main()
