"""Commands that show or write what is there: export, review, tasks."""

from __future__ import annotations

from pathlib import Path

import click

from napari_dynaclr.cli.arguments import DATASET, FOV, WORKSPACE, open_selected
from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.terminal import show_table, terminal_job

_EMBEDDING = click.option(
    "--embedding", default="features", show_default=True, help="Which embedding."
)
_TASK = click.option("--task", default="infection", show_default=True, help="Which task.")


@click.command("export", params=[DATASET, WORKSPACE, FOV])
@click.argument(
    "what", type=click.Choice(["annotations", "embedding", "curve", "tracks", "weights"])
)
@click.argument("target", type=click.Path(path_type=Path))
@_EMBEDDING
@_TASK
@click.option(
    "--state", default="", help="State to count in a curve; the task's second if not given."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["ultrack", "ctc", "geff", "napari"]),
    default="ultrack",
    show_default=True,
    help="Form of the tracks. ultrack: CSV, VisCy's too; ctc: masks and res_track.txt; geff: a "
    "graph as Zarr; napari: CSV of a Tracks layer.",
)
@click.option(
    "--network",
    default="network",
    show_default=True,
    help="Which network of 'train tap', by its name or file.",
)
def export_command(
    dataset: Path,
    what: str,
    target: Path,
    workspace: Path | None,
    fov: tuple[str, ...],
    embedding: str,
    task: str,
    state: str,
    form: str,
    network: str,
) -> None:
    """Write results for other tools.

    annotations: a napari-iohub CSV; embedding: all cells as one AnnData (Zarr); curve:
    a CSV of the fraction of cells in a state over time, per well, with its 95 % band;
    tracks: a file or folder per FOV, in one of several forms (--format); weights: a
    network of 'train tap' as the folder that the public TAP code opens (--network).
    """
    opened = open_selected(dataset, workspace, fov)
    if what == "annotations":
        from napari_dynaclr.annotation.export import export_annotations

        export_annotations(opened, target)
    elif what == "embedding":
        from napari_dynaclr.embedding.export import export_embedding

        export_embedding(opened, target, embedding)
    elif what == "tracks":
        from napari_dynaclr.tracking.export import export_tracks

        with terminal_job() as job:
            export_tracks(opened, target, form, job)  # type: ignore[arg-type] # a Choice
    elif what == "weights":
        from napari_dynaclr.embedding.tap.export import export_weights

        export_weights(opened, target, network)
    else:
        from napari_dynaclr.classification.curve import export_curve
        from napari_dynaclr.core.taskbook import read_tasks

        known = {one.name: one.state_names for one in read_tasks(opened.workspace)}
        if not state and task not in known:
            raise InvalidInput(f"Which state of {task} is to be counted? Name it with --state.")
        export_curve(opened, target, task, state or known[task][1])
    click.echo(f"export: wrote {target}")


@click.command("review", params=[DATASET, WORKSPACE, FOV])
@_TASK
@click.option(
    "--by",
    type=click.Choice(["uncertain", "cluster", "disagreement"]),
    default="uncertain",
    show_default=True,
    help="uncertain: what the classifier is least sure of; cluster: groups on the map with few "
    "annotations; disagreement: annotations that are predicted to be something else.",
)
@click.option(
    "--count", type=click.IntRange(1), default=20, show_default=True, help="How many cells."
)
@_EMBEDDING
@click.option("--out", type=click.Path(path_type=Path), help="CSV to write the list to.")
def review_command(
    dataset: Path,
    workspace: Path | None,
    fov: tuple[str, ...],
    task: str,
    by: str,
    count: int,
    embedding: str,
    out: Path | None,
) -> None:
    """List the cells that are worth annotating or checking next, the first one first."""
    from napari_dynaclr.annotation.queue import review
    from napari_dynaclr.core.atomic import write_csv

    opened = open_selected(dataset, workspace, fov)
    with terminal_job() as job:
        table = review(opened, task, by, count, embedding, job)  # type: ignore[arg-type] # a Choice
    if out is not None:
        with storage_errors(f"write {out}"):
            write_csv(out.expanduser(), table)
    if table.empty:
        click.echo("review: nothing to look at")
        return
    shown = ["fov_name", "t", "track_id", "y", "x", "score", "reason"]
    show_table(table[shown], limit=count)
    click.echo(f"review: wrote {out}" if out else f"review: {len(table)} cells")


@click.command("tasks", params=[DATASET, WORKSPACE])
def tasks_command(dataset: Path, workspace: Path | None) -> None:
    """List what cells are annotated for: states, keys, colours, and how many cells have each."""
    import pandas as pd

    from napari_dynaclr.core.annotations import current_annotations
    from napari_dynaclr.core.taskbook import complete_tasks, found_states, read_tasks, tasks_file

    opened = open_selected(dataset, workspace, ())
    counts = found_states(current_annotations(opened))
    rows = []
    for task in complete_tasks(read_tasks(opened.workspace), counts):
        found = counts.get(task.name, {})
        options = ["carried forward"] * task.carry_forward + ["inherited"] * task.inherit
        rows += [
            {
                "task": task.name,
                "state": state.name,
                "key": state.key,
                "colour": state.colour,
                "cells": found.get(state.name, 0),
                "marks are": ", ".join(options) or "of one time point",
            }
            for state in task.choices
        ]
    show_table(pd.DataFrame(rows), limit=len(rows))
    file = tasks_file(opened.workspace)
    click.echo(f"tasks: {file}" if file.exists() else "tasks: the default ones")
