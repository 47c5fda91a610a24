"""The whole job on a simulated sample: from label-free images to classified cells, with figures."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from napari_dynaclr.annotation import annotate
from napari_dynaclr.classification import classify
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import find_method, params
from napari_dynaclr.core.tables import read_csv
from napari_dynaclr.embedding import embed
from napari_dynaclr.evaluation import evaluate
from napari_dynaclr.pictures import cells_picture, curve_picture, field_picture, map_picture
from napari_dynaclr.projection import project
from napari_dynaclr.sample import SimulateParams, simulate
from napari_dynaclr.segmentation import segment
from napari_dynaclr.staining import stain
from napari_dynaclr.tracking import track

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset

TRAINING_WELLS = ("A/1", "B/1")
HELD_OUT_WELL = "B/2"
MOCK_WELL = "A/2"
CLICKS = 40
_NEAR = 5
"""Pixels between the centres of a nucleus and of its outline."""
_STAIN_EVERY = 6
"""Every so many time points are enough to measure the stain: each is segmented twice."""
NETWORKS = ("torch", "timm", "safetensors")
"""What staining and the learned embedding need; without, there are engineered features only."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes
    ----------
    dataset
        The simulated plate with its workspace.
    table
        ``measure``, ``where`` and ``value``.
    pictures
        The pictures written.
    """

    dataset: Dataset
    table: pd.DataFrame
    pictures: list[Path]


def run_demo(
    folder: str | Path, job: Job | None = None, sample: SimulateParams | None = None
) -> DemoResult:
    """Simulate a plate and run every stage on it; run again to resume.

    Forty cells of the wells in :data:`TRAINING_WELLS` are clicked (at positions taken
    from the ground truth, a little off centre as a hand would be); infection is
    predicted for all and measured on a well in which no cell was clicked.

    Parameters
    ----------
    folder
        Where the sample, its results and the pictures go.
    job
        Progress and cancelling.
    sample
        Settings of the sample.
    """
    job = job or Job()
    find_method("evaluate", "tracking").load()  # what is missing is said before the work
    home = Path(folder).expanduser()
    plate, truth = home / "infection.zarr", home / "infection_truth.zarr"
    if not plate.exists():
        simulate(plate, sample or SimulateParams(), job)
    dataset = open_dataset(plate)
    networks = _has_networks()
    if networks:
        stain(dataset, None, job)
    nuclei = "nuclei_prediction" if networks else "Nuclei"
    segment(dataset, params("segment", channel=nuclei), job)
    track(dataset, None, job)
    embeddings = ["features", "dynaclr"] if networks else ["features"]
    for name in embeddings:
        # The source's own channels: what is embedded is the same with and without the stain.
        seen = {"channels": tuple(dataset.source_channels)} if name == "features" else {}
        embed(dataset, params("embed", name, **seen), job)
    shown = embeddings[-1]
    project(dataset, params("project", embedding=shown), job)
    project(dataset, params("project", "pca", embedding=shown), job)
    clicks = home / "clicks.csv"
    states = pd.read_csv(truth / "annotations.csv")
    write_csv(clicks, simulated_clicks(_outlined(states, dataset)))
    points = params("annotate", path=str(clicks), task="infection", annotator="demo")
    annotate(dataset, points, job)
    table = pd.concat(
        ([_measure_stain(dataset, truth, job)] if networks else [])
        + [_measure_tracks(dataset, truth, job)]
        + [_measure_embedding(dataset, truth, name, job) for name in embeddings],
        ignore_index=True,
    )
    write_csv(home / "results.csv", table)
    if shown == "features":
        job.note(
            "The cells were segmented from the fluorescence of their nuclei and embedded by "
            "engineered features: for virtual staining and the learned map, "
            "pip install 'napari-dynaclr[torch]', and run it again."
        )
    pictures = home / "pictures"
    written = [
        map_picture(dataset, shown, "phate", "infection", pictures / "map.png"),
        curve_picture(
            dataset, "infection", "infected", pictures / "curve.png", truth / "annotations.csv"
        ),
        field_picture(dataset, "infection", "infected", "Sensor", pictures / "field.png"),
        cells_picture(dataset, "infection", pictures / "cells.png"),
    ]
    return DemoResult(dataset, table, written)


def _outlined(states: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Keep cells that were found: a person clicks what is outlined."""
    found = []
    for fov in dataset.fovs:
        nodes = dataset.workspace.tracks(fov)
        mine = states[states["fov_name"] == fov.name]
        for t, cells in mine.groupby("t"):
            there = nodes.loc[nodes["t"] == t, ["y", "x"]].to_numpy()
            distance, _ = cKDTree(there).query(cells[["y", "x"]].to_numpy())
            found.append(cells[distance <= _NEAR])
    chosen: pd.DataFrame = pd.concat(found).sort_index()
    return chosen


def simulated_clicks(truth: pd.DataFrame, count: int = CLICKS, seed: int = 0) -> pd.DataFrame:
    """Choose cells to click, half of them infected, and where the clicks land.

    Parameters
    ----------
    truth
        True states: ``fov_name``, ``t``, ``y``, ``x``, ``infection_state``.
    count
        Number of clicks.
    seed
        For the choice and for the unsteadiness of the hand (1 pixel).

    Returns
    -------
    pandas.DataFrame
        ``fov_name``, ``t``, ``y``, ``x``, ``state``.
    """
    generator = np.random.default_rng(seed)
    wells = truth["fov_name"].str.rpartition("/")[0]
    cells = truth[wells.isin(TRAINING_WELLS)]
    chosen = [
        part.iloc[np.sort(generator.choice(len(part), min(count // 2, len(part)), replace=False))]
        for _, part in cells.groupby("infection_state")
    ]
    clicks = pd.concat(chosen)[["fov_name", "t", "y", "x", "infection_state"]]
    clicks[["y", "x"]] += generator.normal(0, 1, (len(clicks), 2))
    return clicks.rename(columns={"infection_state": "state"}).round(2)


def _has_networks() -> bool:
    return all(map(find_spec, NETWORKS))


def _row(measure: str, where: str, value: float) -> dict[str, object]:
    return {"measure": measure, "where": where, "value": round(float(value), 4)}


def _measure_tracks(dataset: Dataset, truth: Path, job: Job) -> pd.DataFrame:
    tracking = evaluate(dataset, params("evaluate", "tracking", truth=str(truth)), job)
    rows = []
    for name, column in (
        ("TRA", "TRA"), ("DET", "DET"), ("LNK", "LNK"), ("division F1", "division_f1")
    ):  # fmt: skip
        rows.append(_row(name, "all FOVs, mean", tracking[column].mean()))
        rows.append(_row(name, "all FOVs, worst", tracking[column].min()))
    return pd.DataFrame(rows)


def _measure_stain(dataset: Dataset, truth: Path, job: Job) -> pd.DataFrame:
    """Compare the virtual with the simulated stain in wells that neither network has seen."""
    settings = params("evaluate", "staining", truth=str(truth), every=_STAIN_EVERY)
    found = evaluate(dataset.select([HELD_OUT_WELL]), settings, job)
    mean = found[found["fov_name"] == "mean"].set_index("virtual")
    where = f"virtual stain, well {HELD_OUT_WELL}"
    rows = [
        _row(f"{what} of {name.partition('_')[0]}", where, mean.loc[name, column])
        for name in mean.index
        for what, column in (("PCC", "pcc"), ("AP@0.5", "ap50"))
        if pd.notna(mean.loc[name, column])
    ]
    return pd.DataFrame(rows)


def _measure_embedding(dataset: Dataset, truth: Path, name: str, job: Job) -> pd.DataFrame:
    """Classify by an embedding, and measure both."""
    learn = params("classify", task="infection", learn_from=TRAINING_WELLS, embedding=name)
    classify(dataset, learn, job)
    states = str(truth / "annotations.csv")
    held_out = dataset.select([HELD_OUT_WELL])
    found = evaluate(held_out, params("evaluate", "classification", truth=states), job)
    by_state = found.set_index("state")["f1"]
    where = f"{name}: well {HELD_OUT_WELL}, held out, {CLICKS} clicks"
    mock = read_csv(dataset.workspace.predictions("infection"), "predictions")
    mock = mock[mock["fov_name"].str.startswith(f"{MOCK_WELL}/")]
    called = (mock["predicted_infection"] == "infected").mean()
    regular = evaluate(dataset, params("evaluate", "smoothness", embedding=name), job)
    values = regular.set_index("metric")["value"]
    rows = [
        _row("infection F1", where, by_state["infected"]),
        _row("infection F1, mean of states", where, by_state["macro"]),
        _row("falsely called infected", f"{name}: mock well {MOCK_WELL}, no clicks", called),
        _row("smoothness", name, values["smoothness"]),
        _row("dynamic range", name, values["dynamic_range"]),
    ]
    correlation = evaluate(dataset, params("evaluate", "correlation", embedding=name), job)
    for component, part in correlation.groupby("component", sort=True):
        strongest = part.iloc[0]
        what = f"{name}: {strongest['feature']}"
        rows.append(_row(f"rank correlation of {component}", what, strongest["rho"]))
    return pd.DataFrame(rows)
