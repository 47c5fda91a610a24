"""What a staining network makes of a frame, stage by stage (cytoland.txt, Fig. S6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field

from napari_dynaclr.core.channels import PREDICTION
from napari_dynaclr.core.params import Params
from napari_dynaclr.evaluation.report import Report
from napari_dynaclr.evaluation.stain_drawing import grey, middle
from napari_dynaclr.evaluation.stain_run import last_stain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


class StainFeaturesParams(Params):
    """Which frame is shown."""

    time_point: int = Field(
        0, title="Time point", description="Time point to show.", ge=0, le=1_000_000
    )
    z: int | None = Field(
        None,
        title="Slice",
        description="Slice to show; the one in the middle if left out.",
        ge=0,
        le=1_000_000,
    )


def measure(dataset: Dataset, params: StainFeaturesParams, job: Job) -> Report:
    """Draw a frame of the first FOV, its virtual stain, and the network's features in between.

    The network and its settings are those of the last run of 'stain'. Colours are the
    first three principal components of a stage's features; they cannot be compared from one
    stage to the next.

    Returns
    -------
    Report
        Per stage: ``stage``, ``features`` of a pixel, ``height`` and ``width`` of the stage's
        output in its own pixels, and ``explained``, the share of the variance that is
        in the colours. The picture shows the stages in order, between frame and stain.

    Raises
    ------
    MissingInput
        If nothing has been stained.
    InvalidInput
        If there is no such time point or slice.
    """
    method, settings = last_stain(dataset)
    fov = dataset.fovs[0]
    module = method.load()
    with module.open_stainer(dataset, settings, job) as stainer:
        maps = module.frame_maps(dataset, fov, params.time_point, stainer, params.z, job)
        source = stainer.prepared.source.channels
    z = fov.shape[1] // 2 if params.z is None else params.z
    names = [*source, *(name for name in fov.channels if name.endswith(PREDICTION))]
    frames = fov.frames(names, [params.time_point], allow_empty=True, slices=slice(z, z + 1))
    ((_, frame),) = frames
    images = {name: grey(one[0]) for name, one in zip(names, frame, strict=True)}
    colours = {name: one.colours for name, one in maps.items()}
    down = {name: images[name] for name in source}
    down |= {name: one for name, one in colours.items() if name.startswith("encoder")}
    up = {name: one for name, one in (colours | images).items() if name not in down}
    rows = [
        {
            "stage": name,
            "features": one.channels,
            "height": one.size[0],
            "width": one.size[1],
            "explained": float(one.explained[:3].sum()),
        }
        for name, one in maps.items()
    ]
    title = f"{fov.name}, frame {params.time_point}" + (f", slice {z}" if fov.shape[1] > 1 else "")
    return Report(pd.DataFrame(rows), {"": _draw([down, up], title)})


def _draw(rows: list[dict[str, NDArray[Any]]], title: str) -> Figure:
    """Draw a row from the image down to the deepest stage, and one back up to the stain."""
    columns = max(map(len, rows))
    figure = Figure(figsize=(2.6 * columns, 2.8 * len(rows) + 0.3), layout="constrained")
    for row, panels in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        for axes in row:
            axes.axis("off")
        for axes, (name, image) in zip(row, panels.items(), strict=False):
            y, x = middle(image.shape[:2])
            axes.imshow(image[y, x], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(name.replace("_", " "), fontsize=9)
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    return figure
