"""Where the tables are of which the terminal shows some rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.core.registry import Method


def table_place(method: Method, dataset: Dataset, params: Params) -> Path:
    """Return where the whole table of a stage is that has just run.

    Parameters
    ----------
    method
        Of the stage.
    dataset
        What it has run on.
    params
        Its settings.

    Returns
    -------
    Path
        A file, or the folder of the files of all FOVs.
    """
    home, said, stage = dataset.workspace, params.model_dump(), method.stage
    name = str(said.get("name") or method.name)
    if stage == "evaluate":
        for run in reversed(home.runs()):
            # Others may have come after it: steps of the same pipeline, or other processes.
            if (run.get("stage"), run.get("method")) == (stage, method.name) and run.get("table"):
                return home.path / "evaluation" / str(run["table"])
    return {
        "stain": home.plate("stain"),
        "segment": home.plate("segmentation"),
        "track": home.plate("tracks"),
        "embed": home.path / "embeddings" / name,
        "project": home.path / "embeddings" / str(said.get("embedding", "")),
        "train": home.trained(name).with_suffix("") / "metrics.csv",
        "find": home.path / "events" / name,
        "annotate": home.annotations_csv,
        "classify": home.predictions(str(said.get("task", ""))),
        "profile": home.profile(params.kept_as() if hasattr(params, "kept_as") else name),
    }.get(stage, home.path / "evaluation")


def wells_of(fields: pd.DataFrame) -> pd.DataFrame:
    """Say what a profile of fields is of, well by well.

    Parameters
    ----------
    fields
        As :func:`napari_dynaclr.profile` returns them.

    Returns
    -------
    pandas.DataFrame
        ``plate``, ``well``, ``condition``, ``fields``, ``time_points`` and, where there are any,
        ``cells``.
    """
    table = fields.groupby(["plate", "well", "condition"], sort=False, as_index=False).agg(
        fields=("fov_name", "nunique"), time_points=("t", "nunique"), cells=("cells", "sum")
    )
    if table["plate"].nunique() == 1:
        table = table.drop(columns="plate")
    return table if table["cells"].any() else table.drop(columns="cells")
