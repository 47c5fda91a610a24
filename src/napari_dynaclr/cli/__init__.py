"""The command line: one command per stage, the same functions as in Python.

Options and their help come from the Params; errors are one line and exit code 2.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_dynaclr._version import __version__
from napari_dynaclr.cli.arguments import DATASET, FOV, WORKSPACE, open_selected
from napari_dynaclr.cli.commands import Commands, MethodCommand, own_names
from napari_dynaclr.cli.places import table_place, wells_of
from napari_dynaclr.cli.results import export_command, review_command, tasks_command
from napari_dynaclr.core.errors import MissingExtra
from napari_dynaclr.core.registry import COMPOSED, MAKERS, STAGES, find_method
from napari_dynaclr.terminal import show_table, terminal_job

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.core.registry import Method


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Keep the options that were given; the others keep their defaults."""
    return {name: value for name, value in values.items() if value not in (None, ())}


def _stage(stage: str) -> Callable[..., None]:
    def run(
        dataset: Path, workspace: Path | None, fov: tuple[str, ...], method: str, **values: Any
    ) -> None:
        from napari_dynaclr.core.registry import parse

        opened = open_selected(dataset, workspace, fov)
        chosen = find_method(stage, method)
        with own_names(chosen.params_class()) as name:
            params = parse(stage, method, _given(values))
            with terminal_job(name) as job:
                result = chosen.verb()(opened, params, job)
        _show(chosen, result, opened, params)
        if stage == "classify":
            _show_scores(opened, params.model_dump()["task"])
        click.echo(f"{stage}: results in {opened.workspace.path}")

    return run


def _show(method: Method, result: pd.DataFrame, dataset: Dataset, params: Params) -> None:
    """Print some rows of a stage's table: the last epochs; of annotations, where and what."""
    stage, place, total = method.stage, table_place(method, dataset, params), len(result)
    if stage == "profile":
        show_table(wells_of(result), limit=50)
        click.echo(f"{total} profiles of fields, pooled to these wells: {place}")
        return
    if stage == "annotate":
        from napari_dynaclr.core.tables import ANNOTATION_COLUMNS

        states = [name for name in result if name not in ANNOTATION_COLUMNS]
        result = result[["fov_name", "t", "track_id", "y", "x", *states]].fillna("")
    if stage == "train":  # what has come out is in the last epochs
        result = result.tail(5)
    limit = 50 if stage in ("correct", "evaluate", *COMPOSED) else 5
    show_table(result, limit, total=total, place=place)


def _show_scores(dataset: Dataset, task: str) -> None:
    """Print how well held-out tracks, FOVs and wells were predicted."""
    for split, scores in dataset.workspace.scores(task).items():
        if scores is None:
            click.echo(f"held-out {split}: no score, a state is annotated in one {split} only")
            continue
        by_state = ", ".join(f"{state} {f1:.3f}" for state, f1 in scores["f1"].items())
        error = 100 * scores["calibration"]["expected_error"]
        click.echo(
            f"held-out {split}: F1 {by_state}, confidence off by {error:.1f} % on average "
            f"({scores['cells']} annotated cells)"
        )
        rows = zip(scores["states"], scores["confusion"], strict=True)
        for state, row in rows:
            counts = ", ".join(
                f"{count} as {name}" for name, count in zip(scores["states"], row, strict=True)
            )
            click.echo(f"    {state}: predicted {counts}")


def _maker(stage: str) -> Callable[..., None]:
    def run(target: Path, method: str, source: Path | None = None, **values: Any) -> None:
        from napari_dynaclr.core.registry import parse

        chosen = find_method(stage, method)
        with own_names(chosen.params_class()) as name:
            params = parse(stage, method, _given(values))
            with terminal_job(name) as job:
                paths = (target,) if source is None else (source, target)
                made = chosen.verb()(*paths, params, job)
        click.echo(f"{stage}: wrote {made}")

    return run


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="napari-dynaclr")
def main() -> None:
    """Segment, track, embed, map, annotate and classify cells of OME-Zarr time-lapses."""


for _name in MAKERS:
    _paths = [click.Argument(["target"], type=click.Path(path_type=Path))]
    if _name == "convert":
        _paths.insert(0, click.Argument(["source"], type=click.Path(path_type=Path)))
    main.add_command(MethodCommand(_name, params=_paths, callback=_maker(_name)))
for _name in (*STAGES, *COMPOSED):
    main.add_command(MethodCommand(_name, params=[DATASET, WORKSPACE, FOV], callback=_stage(_name)))


@main.command("run", params=[DATASET, WORKSPACE, FOV])
@click.argument("pipeline", type=click.Path(path_type=Path))
def run_command(
    dataset: Path, pipeline: Path, workspace: Path | None, fov: tuple[str, ...]
) -> None:
    """Run the chain of stages in the YAML file PIPELINE."""
    from napari_dynaclr.pipeline import read_pipeline, run_pipeline

    opened = open_selected(dataset, workspace, fov)
    steps = read_pipeline(pipeline)
    with terminal_job() as job:
        results = run_pipeline(opened, steps, job)
    for stage, result in results.items():
        click.echo(stage)
        last = next(step for step in reversed(steps) if step.method.stage == stage)
        _show(last.method, result, opened, last.params)
        if stage == "classify":
            for step in steps:
                if step.method.stage == stage:
                    _show_scores(opened, step.params.model_dump()["task"])
    click.echo(f"run: results in {opened.workspace.path}")


@main.command("info", params=[DATASET, WORKSPACE])
def info_command(dataset: Path, workspace: Path | None) -> None:
    """Say what a dataset holds and what has been done with it."""
    from napari_dynaclr.summary import summarize

    facts = summarize(open_selected(dataset, workspace, ()))
    width = max(map(len, facts)) + 2
    for name, text in facts.items():
        click.echo(f"{name:<{width}}{text}")


@main.command("demo")
@click.option(
    "--out",
    default="demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the sample, its results and the pictures.",
)
@click.option("--gui", is_flag=True, help="Show the result in napari when it is done.")
def demo_command(out: Path, gui: bool) -> None:
    """Run the whole job on a simulated infection time-lapse, from images to classified cells."""
    from napari_dynaclr.demo import run_demo

    if gui and find_spec("napari") is None:
        raise MissingExtra("napari", "napari")
    click.echo("The demo takes about five minutes on two cores.")
    with terminal_job() as job:
        result = run_demo(out, job)
    show_table(result.table, limit=50)
    for picture in result.pictures:
        click.echo(f"picture: {picture}")
    click.echo(f"results: {result.dataset.workspace.path}")
    if gui:
        show = [sys.executable, "-m", "napari_dynaclr.gui", str(result.dataset.root)]
        sys.exit(subprocess.run([*show, result.dataset.fov_names[-1]], check=False).returncode)


for _command in (export_command, review_command, tasks_command):
    main.add_command(_command)
