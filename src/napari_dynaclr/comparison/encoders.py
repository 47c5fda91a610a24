"""Encoders trained in several ways, measured beside each other (dynaclr.txt, Table 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from napari_dynaclr.comparison.candidates import candidates
from napari_dynaclr.comparison.labels import find_labels
from napari_dynaclr.comparison.maps import draw_maps
from napari_dynaclr.comparison.report import markdown, remarks
from napari_dynaclr.comparison.scoring import judge
from napari_dynaclr.core.atomic import write_csv, write_text
from napari_dynaclr.core.device import require_networks
from napari_dynaclr.core.shards import shard_shape

if TYPE_CHECKING:
    from napari_dynaclr.comparison.params import CompareParams
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


def run(dataset: Dataset, settings: CompareParams, job: Job) -> pd.DataFrame:
    """Train encoders in several ways and measure them beside each other (dynaclr.txt, Table 4).

    All are trained with the same settings, and embed the cells under names of their own
    (``embeddings/time-aware-nt-xent/`` and so on), beside ImageNet's network and the
    engineered features. What is there already under the same settings is not made
    again, so a comparison that was stopped goes on where it stopped. Annotations and
    predictions of the user stay as they are.

    An encoder of other settings is not overwritten: give a comparison with other
    settings a name of its own.

    Writes ``evaluation/comparison.csv``, the same as a table to paste
    (``comparison.md``), and PHATE maps of the cells measured, coloured by state
    (``comparison-states.png``) and time (``comparison-time.png``).

    Parameters
    ----------
    dataset
        A dataset that has been tracked.
    settings
        Settings of the comparison.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        A row per encoder: ``experiment``, ``embedding``, ``f1`` of the task's second
        state with its standard deviation over draws ``f1_sd``, ``f1_mean_of_states``,
        ``smoothness``, ``dynamic_range`` (A.4) and ``dimensions``. NaN where there are
        no states to measure F1 by.

    Raises
    ------
    MissingInput
        If a FOV has not been tracked.
    InvalidInput
        If the truth is not of this dataset, or shows one state only, or an encoder was
        trained with other settings before.
    MissingExtra
        If torch is not installed.
    """
    workspace = dataset.workspace
    require_networks("lightning", "monai", "tensorboard")
    for fov in dataset.fovs:
        workspace.require("tracks", fov, "tracks", "track")
    labels = find_labels(dataset, settings, job)
    rows: list[dict[str, object]] = []
    shown, left_out = candidates(dataset, settings, job)
    for one in job.track(shown, "compare"):
        job.report(one.title)
        one.make(dataset, settings, labels.held_out, job)
        scores = judge(dataset, one.embedding, one.standardize, labels, job)
        _, dimensions = shard_shape(workspace.shard(one.embedding, dataset.fovs[0]))
        about = {"experiment": one.title, "embedding": one.embedding}
        rows.append({**about, **scores, "dimensions": dimensions})
    table = pd.DataFrame(rows)
    title = f"comparison-{settings.name}" if settings.name else "comparison"
    file = workspace.evaluation(title)
    pictures = file.with_name(f"{title}-states.png"), file.with_name(f"{title}-time.png")
    measured = dataset.select(labels.held_out) if labels.held_out else dataset
    draw_maps(measured, shown, labels, pictures, job)
    write_csv(file, table)
    said = [*remarks(dataset, measured, labels, settings), *left_out]
    state = labels.positive or "mean of states"
    write_text(file.with_suffix(".md"), markdown(table, state, said))
    # What an encoder says of its patches, all of them say.
    job.notes[:] = dict.fromkeys(job.notes)
    job.note(f"The table is in {file.with_suffix('.md')}, maps beside it as PNG.")
    return table
