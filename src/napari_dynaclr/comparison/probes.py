"""Few labels: fixed features of TAP against a network from scratch (tap.txt, 3.4 and Fig. 4a)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator
from sklearn.metrics import average_precision_score

from napari_dynaclr.comparison.probe_crops import Crops, gather
from napari_dynaclr.comparison.probe_drawing import draw_probes
from napari_dynaclr.core.atomic import write_csv, write_text
from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.device import Device, choose_device, device_memory, require_networks
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.figures import save_figure
from napari_dynaclr.embedding.tap.frames import TapViewParams
from napari_dynaclr.embedding.tap.source import choose_channel, find_weights

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.comparison.probe_training import Bench
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.tap.checkpoint import LoadedTap

TITLES = {
    "linear": "Linear probe on TAP features",
    "resnet": "ResNet on TAP features",
    "fine-tuned": "TAP, fine-tuned",
    "scratch": "ResNet from scratch",
}
"""Ways to learn, by name."""

_FEWEST = 4


class ProbesParams(TapViewParams):
    """Settings of the comparison of what learns from few labels."""

    truth: str = Field(
        "",
        title="Truth",
        description="OME-Zarr plate with tracks.csv beside each label image, as 'simulate' writes "
        "it: where cells divide. What is known here if left out.",
        json_schema_extra={"path": "folder"},
    )
    known: Literal["tracks", "annotations"] = Field(
        "tracks",
        title="Known here",
        description="Without a truth: divisions of the tracks, or cells that are annotated for "
        "the task division.",
    )
    ways: tuple[str, ...] = Field(
        ("linear", "resnet", "scratch"),
        title="Ways to learn",
        description="; ".join(f"{name}: {title}" for name, title in TITLES.items()) + ".",
        json_schema_extra={"values": list(TITLES)},
    )
    labels: tuple[int, ...] = Field(
        (),
        title="Labels",
        description=f"How many labelled crops are learnt from; {_FEWEST}, twice as many and so "
        "on, and all that there are, if left out. From the command line only.",
        json_schema_extra={"advanced": True, "command_line": True},
    )
    draws: int = Field(
        3,
        title="Draws",
        description="How often labels are drawn anew; scores are the mean, and vary by ap_sd.",
        ge=1,
        le=100,
    )
    held_out: tuple[str, ...] = Field(
        (),
        title="Held out",
        description="Wells or FOVs that are tested on and not learnt from; the last well that "
        "shows dividing and other cells, if left out.",
    )
    minutes: float = Field(
        20.0,
        title="Time limit (min)",
        description="What is left of this time is shared by the networks still to be trained; "
        "one that is cut short is said so.",
        gt=0,
        le=10_000,
    )
    patch_size: int = Field(
        64,
        title="Crop (pixels)",
        description="Width and height of the crops: both daughters should be in it.",
        ge=32,
        le=256,
    )
    others: int = Field(
        3,
        title="Other cells",
        description="Crops of cells that do not divide, for each one that does.",
        ge=1,
        le=100,
        json_schema_extra={"advanced": True},
    )
    crops: int = Field(
        1000,
        title="Most crops",
        description="Crops at most, chosen at random; 1,000 of 64 pixels take 0.5 GB.",
        ge=20,
        le=100_000,
        json_schema_extra={"advanced": True},
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes draws and trainings repeatable.",
        ge=0,
        json_schema_extra={"advanced": True},
    )

    @field_validator("ways")
    @classmethod
    def _known_ways(cls, ways: tuple[str, ...]) -> tuple[str, ...]:
        for way in ways:
            if way not in TITLES:
                raise ValueError(f"there is no '{way}': choose {', '.join(TITLES)}")
        if not ways:
            raise ValueError("name one way to learn at least")
        return tuple(dict.fromkeys(ways))

    @field_validator("labels")
    @classmethod
    def _enough(cls, labels: tuple[int, ...]) -> tuple[int, ...]:
        if labels and min(labels) < 2:
            raise ValueError("two labels, one of each kind, are the fewest")
        return tuple(sorted(set(labels)))


def run(dataset: Dataset, settings: ProbesParams, job: Job) -> pd.DataFrame:
    """Learn to tell dividing cells from few labels, in several ways (tap.txt, Fig. 4a).

    Crops of two frames are drawn from where cells are known to divide, and from other cells. A
    linear classifier on TAP's fixed features (the mean over the crop, of both frames), a small
    ResNet on the same features at every pixel, TAP fine-tuned, and the ResNet from scratch on
    pixels learn from more and more of them. All are scored on FOVs that they have not seen.
    TAP itself may have seen these: it needs no labels.

    Writes ``evaluation/probes.csv``, the same as a table to paste (``probes.md``), and a
    picture.

    Parameters
    ----------
    dataset
        Movies in which cells divide.
    settings
        Settings of the comparison.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        A row per way and number of labels: ``way``, ``labels``, ``dividing`` (how many of them
        are), ``ap``, the average precision on the held-out crops, its standard deviation over
        draws ``ap_sd``, ``chance`` (the share of dividing cells there), ``parameters`` and
        ``whole`` (whether no training was cut short).

    Raises
    ------
    MissingInput
        If a FOV has not been tracked, and there is no truth.
    InvalidInput
        If there are no weights, no channel for them, no dividing cells, or too few labels.
    MissingExtra
        If torch is not installed.
    """
    require_networks()
    weights = find_weights(settings, job)
    for line in weights.told:
        job.note(line)
    device = in_background(lambda: choose_device(Device(settings.device)), job)
    end = time.monotonic() + 60 * settings.minutes
    with device_memory(device):
        loaded = in_background(lambda: _load(weights.path), job)
        step = _step(dataset, loaded, settings)
        stacks = loaded.recipe.handling(settings.stacks)

        def channel(fov: Fov) -> str:
            return choose_channel(fov, settings)

        crops = gather(dataset, settings, channel, step, stacks, job)
        from napari_dynaclr.comparison.probe_training import make_bench

        dense = "resnet" in settings.ways
        bench = make_bench(crops, loaded.network, device.value, job, dense=dense)
        table = _learn(bench, settings, end, job)
    if left := [size for size in settings.labels if size > (~crops.held_out).sum()]:
        job.note(
            f"Left out: {', '.join(map(str, left))} labels, for there are "
            f"{(~crops.held_out).sum()} crops to learn from."
        )
    title = dataset.workspace.evaluation("probes")
    write_csv(title, table)
    said = remarks(table, crops, settings)
    write_text(title.with_suffix(".md"), markdown(table, said))
    picture = save_figure(draw_probes(table, TITLES), title.with_suffix(".png"))
    for line in said[-2:]:
        job.note(line)
    job.note(f"The table is in {title.with_suffix('.md')}, a picture in {picture.name} beside it.")
    return table


def _load(path: Path) -> LoadedTap:
    from napari_dynaclr.embedding.tap.checkpoint import load_tap

    return load_tap(path)


def _step(dataset: Dataset, loaded: LoadedTap, settings: ProbesParams) -> int:
    steps = {loaded.recipe.step(settings.delta_t, fov.shape[0], fov.name) for fov in dataset.fovs}
    return steps.pop()


@dataclass(frozen=True)
class _Trial:
    """One training: which way, from which crops."""

    way: str
    labels: int
    rows: NDArray[np.intp]
    seed: int


def _learn(bench: Bench, settings: ProbesParams, end: float, job: Job) -> pd.DataFrame:
    from napari_dynaclr.comparison.probe_training import WAYS

    trials = _trials(bench.crops, settings)
    truth = bench.crops.dividing[bench.crops.held_out]
    rows: list[dict[str, Any]] = []
    left = sum(trial.way != "linear" for trial in trials)
    for trial in job.track(trials, "learn"):
        job.report(f"{TITLES[trial.way]}, {trial.labels} labels")
        now = time.monotonic()
        learnt = WAYS[trial.way](
            bench, trial.rows, trial.seed, now + (end - now) / max(left, 1), job
        )
        left -= trial.way != "linear"
        rows.append(
            {
                "way": trial.way,
                "labels": trial.labels,
                "dividing": int(bench.crops.dividing[trial.rows].sum()),
                "ap": float(average_precision_score(truth, learnt.scores)),
                "parameters": learnt.parameters,
                "whole": learnt.whole,
            }
        )
    return _summed(pd.DataFrame(rows), settings.ways, float(truth.mean()))


def _trials(crops: Crops, settings: ProbesParams) -> list[_Trial]:
    """List all trainings; the quickest way first, so that a time limit hits the others."""
    learnable = np.flatnonzero(~crops.held_out)
    most = len(learnable)
    sizes = [size for size in settings.labels if size <= most]
    if settings.labels and not sizes:
        raise InvalidInput(
            f"There are {most} crops to learn from, fewer than {min(settings.labels)} labels: "
            "choose more FOVs or fewer labels."
        )
    if not settings.labels:
        if most < _FEWEST:
            raise InvalidInput(
                f"There are {most} crops to learn from, fewer than {_FEWEST}: choose more FOVs, or "
                "say how many labels."
            )
        doubled = [_FEWEST * 2**i for i in range(32)]
        sizes = [*(size for size in doubled if 1.5 * size < most), most]
    trials = []
    for draw in range(settings.draws):
        chosen = {
            size: draw_labels(
                crops.dividing[learnable], size, np.random.default_rng([settings.seed, draw, size])
            )
            for size in sizes
        }
        trials += [
            _Trial(way, size, learnable[chosen[size]], settings.seed + 1000 * draw + size)
            for way in settings.ways
            for size in sizes
        ]
    return sorted(trials, key=lambda trial: trial.way != "linear")


def draw_labels(
    dividing: NDArray[np.bool_], count: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Draw labelled crops: as many of dividing cells as of others, as far as there are.

    Parameters
    ----------
    dividing
        Of all crops that can be learnt from, (N,).
    count
        How many to draw.
    generator
        Of random numbers.

    Returns
    -------
    numpy.ndarray
        Places, (count,).
    """
    sides = [np.flatnonzero(dividing), np.flatnonzero(~dividing)]
    few = min(sides, key=len)
    many = sides[1] if few is sides[0] else sides[0]
    first = min(len(few), count // 2)
    parts = [
        generator.choice(few, first, replace=False),
        generator.choice(many, count - first, replace=False),
    ]
    return np.sort(np.concatenate(parts))


def _summed(rows: pd.DataFrame, ways: tuple[str, ...], chance: float) -> pd.DataFrame:
    """Put all draws of a way and a number of labels into one row."""
    groups = rows.groupby(["way", "labels"], sort=False)
    table = groups.agg(
        dividing=("dividing", "first"),
        ap=("ap", "mean"),
        ap_sd=("ap", "std"),
        parameters=("parameters", "first"),
        whole=("whole", "all"),
    ).reset_index()
    table.insert(5, "chance", chance)
    order = table["way"].map({way: i for i, way in enumerate(ways)})
    return table.iloc[np.lexsort((table["labels"], order))].reset_index(drop=True)


def remarks(table: pd.DataFrame, crops: Crops, settings: ProbesParams) -> list[str]:
    """Say how the figures came about, and what they say where labels are fewest.

    Parameters
    ----------
    table
        As :func:`run` returns it.
    crops
        What was learnt from and tested on.
    settings
        Settings of the comparison.
    """
    tested = crops.dividing[crops.held_out]
    wells = ", ".join(crops.where)
    said = [
        f"Average precision on {len(tested)} crops of {wells}, {int(tested.sum())} of them of "
        f"dividing cells, that nothing was learnt from; mean and standard deviation of "
        f"{settings.draws} draws of the labels; chance {tested.mean():.2f}.",
        f"Crops of {settings.patch_size} pixels, two frames; half of the labels are of dividing "
        "cells, as far as there are.",
    ]
    cut = table[~table["whole"]]
    if len(cut):
        names = ", ".join(TITLES[way] for way in dict.fromkeys(cut["way"]))
        said.append(
            f"Cut short by the time limit of {settings.minutes:g} min: {names}, with "
            f"{', '.join(map(str, sorted(set(cut['labels']))))} labels. Their scores are too low; "
            "give more time (minutes=)."
        )
    few = table[table["labels"] == table["labels"].min()].sort_values("ap", ascending=False)
    each = "; ".join(f"{TITLES[row.way]} {row.ap:.2f}" for row in few.itertuples())
    said.append(f"With {few['labels'].iloc[0]} labels: {each}.")
    return said


def markdown(table: pd.DataFrame, notes: list[str]) -> str:
    """Write the table as text that one can paste, a column for each number of labels.

    Parameters
    ----------
    table
        As :func:`run` returns it.
    notes
        Sentences to stand below it.
    """
    sizes = sorted(set(table["labels"]))
    lines = [
        f"| Average precision with | {' | '.join(f'{size} labels' for size in sizes)} |",
        "|---|" + "---|" * len(sizes),
    ]
    best = table.groupby("labels")["ap"].max()
    for way in dict.fromkeys(table["way"]):
        cells = [f"{TITLES[way]} ({_many(table, way)} parameters)"]
        for size in sizes:
            row = table[(table["way"] == way) & (table["labels"] == size)].iloc[0]
            text = f"{row['ap']:.3f}"
            text = f"**{text}**" if row["ap"] == best[size] else text
            cells.append(text + ("" if np.isnan(row["ap_sd"]) else f" ± {row['ap_sd']:.3f}"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def _many(table: pd.DataFrame, way: str) -> str:
    count = int(table["parameters"][table["way"] == way].iloc[0])
    return f"{count / 1e6:.1f} M" if count > 1e5 else str(count)
