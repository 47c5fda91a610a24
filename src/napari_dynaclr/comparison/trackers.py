"""Engines that track, measured beside each other (cellect.txt, Fig. 2a-c)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from pydantic import Field

from napari_dynaclr.comparison.tracker_drawing import draw_trackers
from napari_dynaclr.core.atomic import copy_folder, remove, write_csv, write_text
from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import InvalidInput, MissingExtra
from napari_dynaclr.core.figures import save_figure
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.registry import find_method, methods
from napari_dynaclr.evaluation.tracking import TrackingParams, measure
from napari_dynaclr.evaluation.tracking_errors import ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.registry import Method

_NO_ENGINES = ("masks", "import")
"""Methods that take over what others have tracked."""

_PAUSE = 0.2
"""Seconds between looks at whether to stop."""

_MEGABYTE = 1e6

SCORES = (
    "TRA", "LNK", "division_f1", "identity_switches", "DET", "division_precision",
    "division_recall", "false_positive_divisions", "false_negative_divisions",
    "false_negative_edges", "false_positive_edges",
)  # fmt: skip
"""What is measured of an engine; the least important in the middle, where a terminal cuts."""


def _as_in_evaluation(name: str) -> Any:
    """Describe a setting as the evaluation does."""
    return TrackingParams.model_fields[name]


class TrackersParams(Params):
    """Settings of the comparison of engines that track."""

    truth: str = _as_in_evaluation("truth")
    engines: tuple[str, ...] = Field(
        (),
        title="Engines",
        description="Methods of 'track' to compare; all that can be used here if none is named.",
    )
    settings: str = Field(
        "",
        title="Settings of the engines",
        description="YAML file with the settings of some engines by name, such as "
        "'laptrack: {max_distance: 15}'; all others keep their defaults.",
        json_schema_extra={"path": "file", "filter": "YAML (*.yaml *.yml)"},
    )
    channel: str = _as_in_evaluation("channel")
    division_tolerance: int = _as_in_evaluation("division_tolerance")


@dataclass(frozen=True)
class _Engine:
    method: Method
    params: Params


def run(dataset: Dataset, settings: TrackersParams, job: Job) -> pd.DataFrame:
    """Track with several engines and measure them beside each other (cellect.txt, Fig. 2a-c).

    Every engine works in a process and a results folder of its own,
    ``comparison/trackers/<engine>``, on the segmentation and stain that are there: the tracks
    of the user stay as they are. What an engine has tracked with the same settings is not
    tracked again. One that cannot be used is left out, and a note says why.

    Writes ``evaluation/trackers.csv``, the same as a table to paste (``trackers.md``), the
    fraction of stretches without an error by length (``trackers-lengths.csv``), and a picture.

    Parameters
    ----------
    dataset
        A dataset that has been segmented.
    settings
        Settings of the comparison.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        A row per engine: ``engine``, :data:`SCORES` (errors in 1,000 true links; all but those
        of divisions are means over FOVs), ``seconds_per_frame`` and ``peak_memory_mb`` of the
        whole process.

    Raises
    ------
    InvalidInput
        If the settings or the truth cannot be used, or no engine can.
    """
    engines = _engines(settings)
    truth = TrackingParams(
        truth=settings.truth,
        channel=settings.channel,
        division_tolerance=settings.division_tolerance,
    )
    rows: list[dict[str, Any]] = []
    lengths: dict[str, pd.DataFrame] = {}
    refused: list[str] = []
    for engine in job.track(engines, "compare trackers"):
        name = engine.method.name
        job.report(name)
        folder = dataset.workspace.path / "comparison" / "trackers" / name
        _share(dataset, folder)
        told = _track(dataset, folder, engine, job)
        if "error" in told:
            refused.append(f"{name} is left out: {told['error']}")
            continue
        tracked = open_dataset(dataset.root, folder).select(dataset.fov_names)
        report = measure(tracked, truth, job)
        cost, memory = told["cost"], told["cost"]["peak_memory"]
        rows.append(
            {
                "engine": name,
                **_scores(report.table),
                "seconds_per_frame": cost["seconds_per_frame"],
                "peak_memory_mb": memory and round(memory / _MEGABYTE),
            }
        )
        lengths[name] = report.more["lengths"]
    if not rows:
        raise InvalidInput(" ".join(refused))
    for line in refused:
        job.note(line)
    table = pd.DataFrame(rows)
    file = dataset.workspace.evaluation("trackers")
    write_csv(file, table)
    joined = pd.concat([part.assign(engine=name) for name, part in lengths.items()])
    write_csv(file.with_name("trackers-lengths.csv"), joined)
    write_text(file.with_suffix(".md"), _markdown(table, refused))
    picture = save_figure(draw_trackers(table, lengths), file.with_suffix(".png"))
    job.note(f"The table is in {file.with_suffix('.md')}, a picture in {picture.name} beside it.")
    return table


def _engines(settings: TrackersParams) -> list[_Engine]:
    """Check names and settings of all engines before any of them runs."""
    given = _read_settings(settings.settings)
    known = [one.name for one in methods("track") if one.name not in _NO_ENGINES]
    names = list(dict.fromkeys(settings.engines)) or known
    for name in [*names, *given]:
        if name not in known:
            raise InvalidInput(f"There is no engine '{name}': choose of {', '.join(known)}.")
    found = []
    for name in names:
        method = find_method("track", name)
        try:
            params = method.params_class().parse(given.get(name, {}))
        except MissingExtra:  # its process will say which extra it lacks
            params = Params()
        found.append(_Engine(method, params))
    return found


def _read_settings(path: str) -> dict[str, dict[str, Any]]:
    if not path:
        return {}
    file = Path(path).expanduser()
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"{file} cannot be read as YAML: {reason}.") from None
    if not isinstance(given, dict) or not all(isinstance(one, dict) for one in given.values()):
        raise InvalidInput(
            f"{file}: write settings by engine, as 'laptrack: {{max_distance: 15}}'."
        )
    return given


def _share(dataset: Dataset, folder: Path) -> None:
    """Give an engine's results folder what the engine reads: segmentation, stain, weights."""
    ours = dataset.workspace
    theirs = open_dataset(dataset.root, folder).workspace
    theirs.prepare(dataset.channels)
    for result in ("segmentation", "stain"):
        same = all(ours.key(result, fov) == theirs.key(result, fov) for fov in dataset.fovs)
        if same:
            continue
        ledger = Path("progress") / result
        remove(theirs.path / ledger)  # what counts is in the ledger: first out, last in
        copy_folder(ours.plate(result), theirs.plate(result))
        copy_folder(ours.path / ledger, theirs.path / ledger)
    weights = ours.trained("any").parent
    if weights.is_dir():
        copy_folder(weights, theirs.path / weights.name)


def _track(dataset: Dataset, folder: Path, engine: _Engine, job: Job) -> dict[str, Any]:
    """Have an engine track in a process of its own, which ends with this job."""
    task = {
        "dataset": str(dataset.root),
        "workspace": str(folder),
        "fovs": dataset.fov_names,
        "method": engine.method.name,
        "settings": engine.params.model_dump(mode="json"),
    }
    command = [sys.executable, "-m", "napari_dynaclr.comparison.tracker_worker", json.dumps(task)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    said: Queue[str] = Queue()
    errors: list[str] = []
    readers = [
        Thread(target=_pass_on, args=(process.stdout, said.put), daemon=True),
        Thread(target=_pass_on, args=(process.stderr, errors.append), daemon=True),
    ]
    for reader in readers:
        reader.start()
    told: dict[str, Any] = {}
    try:
        while process.poll() is None or readers[0].is_alive() or not said.empty():
            job.check()
            try:
                told = _heard(said.get(timeout=_PAUSE), job) or told
            except Empty:
                continue
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
        for reader, pipe in zip(readers, (process.stdout, process.stderr), strict=True):
            reader.join()
            if pipe is not None:
                pipe.close()
    if not told:
        last = (errors or [f"its process ended with {process.returncode}"])[-1].strip()
        return {"error": f"{last} (run 'track --method {engine.method.name}' to see more)."}
    return told


def _pass_on(lines: Iterable[str] | None, take: Callable[[str], None]) -> None:
    for line in lines or ():
        take(line)


def _scores(table: pd.DataFrame) -> dict[str, float]:
    """Join the scores of FOVs. Divisions are few: those of all FOVs are counted together."""
    scores = {score: float(table[score].mean()) for score in SCORES}
    right = float((table["division_recall"] * table["true_divisions"]).sum())
    true, found = float(table["true_divisions"].sum()), float(table["found_divisions"].sum())
    scores["division_recall"] = right / true if true else np.nan
    scores["division_precision"] = min(right / found, 1.0) if found else np.nan
    scores["division_f1"] = 2 * right / (true + found) if true else np.nan
    return scores


def _heard(line: str, job: Job) -> dict[str, Any]:
    """Take in a line of an engine's process: its end, progress, or what a library prints."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(told, dict):
        return {}
    if "progress" in told:
        job.report(*told["progress"])
        return {}
    return told


def _markdown(table: pd.DataFrame, notes: list[str]) -> str:
    """Write the table as text that one can paste."""
    shown = table.rename(columns=lambda name: name.replace("_", " "))
    digits = {"engine": "", "peak memory mb": ".0f", "seconds per frame": ".3f"}
    lines = ["| " + " | ".join(map(str, shown)) + " |", "|" + "---|" * len(shown.columns)]
    for row in shown.to_dict("records"):
        cells = []
        for name, value in row.items():
            form = digits.get(str(name), ".1f" if str(name) in _COUNTED else ".4f")
            cells.append("-" if value is None or value != value else format(value, form))
        lines.append("| " + " | ".join(cells) + " |")
    said = ["", "Errors in 1,000 true links; memory in MB, of the whole process.", *notes]
    return "\n".join([*lines, *said]) + "\n"


_COUNTED = {name.replace("_", " ") for name in ERRORS}
