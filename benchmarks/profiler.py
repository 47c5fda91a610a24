"""Does local aggregation help to find replicate wells? Three encoders, several seeds, one run.

On simulated plates of treated wells in uneven light, cells are embedded with a profiler that
was not trained, one that was trained without local aggregation, and one that was trained with
it, all else the same. Wells and fields are then profiled, and each asks its nearest in other
wells what condition it is under (`evaluate --method retrieval`).
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import pandas as pd
from common import HOME

import napari_dynaclr as nd
from napari_dynaclr.sample import PhenotypesParams

if TYPE_CHECKING:
    from pathlib import Path

CHANNELS = ("Nuclei", "Membrane", "Sensor")
ARMS = ("untrained", "aggregation off", "aggregation on")
SHAPE = {"channels": CHANNELS, "patch_size": 40, "token_size": 8}
QUICK = {
    "local_crops": 0, "prototypes": 64, "temperature": 0.04, "momentum": 0.98, "elastic": 0.0,
    "noise": 0.2, "crop_scale": 0.8, "brightness": 0.1, "contrast": 0.1,
}  # fmt: skip
"""What lets some hundred steps teach something: milder views, a surer teacher that follows sooner.

Views of another brightness would take away what local aggregation is to see past: the light.
"""


def prepared(seed: int) -> nd.Dataset:
    """A plate of 3 phenotypes x 4 wells x 4 fields, with the true nuclei; made once and kept."""
    plate = HOME / f"phenotypes{seed}.zarr"
    truth = plate.with_name(f"{plate.stem}_truth.zarr")
    plate.parent.mkdir(parents=True, exist_ok=True)
    if not plate.exists():
        nd.simulate(plate, PhenotypesParams(seed=seed, time_points=1))
    dataset = nd.open_dataset(plate)
    nd.segment(dataset, nd.params("segment", "import", path=str(truth), name="nucleus_labels"))
    nd.track(dataset, nd.params("track", "masks"))
    return dataset


def untrained(trained: Path, seed: int) -> Path:
    """A file like one of a trained profiler, with the weights that it started from or others."""
    import torch

    from napari_dynaclr.embedding.profiler.checkpoint import load_profiler, save_profiler
    from napari_dynaclr.embedding.profiler.network import ProfilerNet

    network, recipe = load_profiler(trained)
    torch.manual_seed(seed)
    fresh = trained.with_name(f"{trained.stem}-untrained.safetensors")
    save_profiler(fresh, ProfilerNet(network.config), recipe)
    return fresh


def train(dataset: nd.Dataset, arm: str, seed: int, epochs: int, batch: int) -> tuple[Path, float]:
    """Train a profiler of cells: its file, and the seconds that took."""
    name = arm.replace(" ", "-")
    settings = {"name": name, "seed": seed, "epochs": epochs, "batch_size": batch, "device": "cpu"}
    start = time.perf_counter()
    nd.train(
        dataset,
        nd.params(
            "train", "profiler", local_aggregation=arm.endswith("on"), **settings, **SHAPE, **QUICK
        ),
    )
    return dataset.workspace.trained(name), time.perf_counter() - start


def score(dataset: nd.Dataset, weights: Path, arm: str) -> dict[str, float | str]:
    """Embed, profile, and retrieve: accuracy and mean average precision by level."""
    name = arm.replace(" ", "-")
    truth = dataset.root.with_name(f"{dataset.root.stem}_truth.zarr")
    embedding = {"weights": str(weights), "name": name, "device": "cpu"}
    nd.embed(dataset, nd.params("embed", "profiler", **embedding))
    conditions = str(truth / "conditions.csv")
    nd.profile(
        dataset, nd.params("profile", "cells", embedding=name, conditions=conditions, map="none")
    )
    found: dict[str, float | str] = {}
    for level in ("well", "field"):
        table = nd.evaluate(
            dataset, nd.params("evaluate", "retrieval", profile=name, level=level, neighbors=1)
        )
        everything = table.set_index(["split", "condition"]).loc[("leave one well out", "all")]
        found[f"{level} accuracy"] = everything["accuracy"]
        found[f"{level} mAP"] = everything["mean_average_precision"]
        found[f"{level} chance"] = everything["chance"]
    report = nd.evaluate(dataset, nd.params("evaluate", "nuisance", profile=name, permutations=10))
    place = report.set_index("nuisance").loc["field position"]
    found["place told"] = place["score"]
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run every arm with every seed, and print all scores and their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args(arguments)
    try:
        import torch
    except ModuleNotFoundError:
        print('profiler: skipped, for torch is not there: pip install "napari-dynaclr[torch]"')
        return
    torch.set_num_threads(1)
    rows = []
    for seed in given.seeds:
        dataset = prepared(seed)
        files: dict[str, tuple[Path, float]] = {}
        for arm in ARMS[1:]:
            files[arm] = train(dataset, arm, seed, given.epochs, given.batch)
        files["untrained"] = (untrained(files[ARMS[1]][0], seed), 0.0)
        for arm in ARMS:
            weights, seconds = files[arm]
            row = {"seed": seed, "arm": arm, "minutes": seconds / 60}
            rows.append(row | score(dataset, weights, arm))
            print(pd.DataFrame(rows[-1:]).to_string(index=False, float_format="%.3f"), flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3f"))
    means = table.drop(columns="seed").groupby("arm", sort=False).mean()
    print(means.to_string(float_format="%.3f"))


if __name__ == "__main__":
    main()
