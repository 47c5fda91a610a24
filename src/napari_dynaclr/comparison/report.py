"""The table of a comparison as text that one can paste."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from napari_dynaclr.comparison.labels import Labels
    from napari_dynaclr.comparison.params import CompareParams
    from napari_dynaclr.core.dataset import Dataset


def markdown(table: pd.DataFrame, state: str, notes: Iterable[str]) -> str:
    """Write the table in Markdown, the best value of each column in bold.

    Parameters
    ----------
    table
        ``experiment`` and :data:`~napari_dynaclr.comparison.scoring.SCORES`.
    state
        Whose F1 it is.
    notes
        Sentences to stand below it.
    """
    lines = [
        f"| Experiment | F1 ({state}, %) ↑ | Smoothness ↓ | Dynamic range ↑ |",
        "|---|---|---|---|",
    ]
    shown = {
        "f1": ((100 * table["f1"]).round(2), max),
        "smoothness": (table["smoothness"].round(3), min),
        "dynamic_range": (table["dynamic_range"].round(3), max),
    }
    best = {
        name: better(values.dropna(), default=np.nan) for name, (values, better) in shown.items()
    }
    for i in range(len(table)):
        cells = [str(table["experiment"].iloc[i])]
        for name, (values, _) in shown.items():
            value = float(values.iloc[i])
            digits = 2 if name == "f1" else 3
            text = "-" if np.isnan(value) else f"{value:.{digits}f}"
            text = f"**{text}**" if value == best[name] else text
            spread = float(table["f1_sd"].iloc[i])
            if name == "f1" and not np.isnan(spread):
                text += f" ± {100 * spread:.2f}"
            cells.append(text)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def remarks(
    dataset: Dataset, measured: Dataset, labels: Labels, params: CompareParams
) -> list[str]:
    """Say how the figures came about, a sentence each.

    Parameters
    ----------
    dataset
        What was embedded.
    measured
        The FOVs of it that the figures are of.
    labels
        What classifiers were judged by.
    params
        Settings of the comparison.
    """
    limit = f", {params.minutes:g} minutes at most" if params.minutes else ""
    channels = ", ".join(params.channels or dataset.source_channels)
    trained = len(dataset.fov_names) - len(labels.held_out)
    said = [
        f"{labels.how[:1].upper()}{labels.how[1:]}.",
        f"Smoothness and dynamic range (cosine distances within tracks) of {_fovs(measured)}: of "
        "embeddings as they are, of engineered features standardised, as their units differ.",
    ]
    if params.encoders:
        said.append(
            f"Encoders: {params.backbone}, trained on {trained} of {len(dataset.fov_names)} FOVs "
            f"for {params.epochs} epochs each{limit}; channels {channels}; patches of "
            f"{params.patch_size} x {params.patch_size} pixels; batches of {params.batch_size}; "
            f"time offset {params.tau:g} {params.tau_unit}; seed {params.seed}."
        )
    return said


def _fovs(dataset: Dataset) -> str:
    names = dataset.fov_names
    return (
        f"FOV {names[0]}" if len(names) == 1 else f"{len(names)} FOVs ({names[0]} to {names[-1]})"
    )
