"""Profiles of whole fields of view, without cells: `profile fields` (sslprofiler.txt, 3.3.1)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from napari_dynaclr.core.profiles import ProfileParams, Profiler
from napari_dynaclr.core.runs import stain_inputs
from napari_dynaclr.embedding.profiler.method import ProfilerSettings, open_profilers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job


class FieldsParams(ProfilerSettings, ProfileParams):
    """Settings of profiles of whole fields."""

    name: str = Field(
        "",
        title="Name",
        description="What the profile is kept as; fields if left out.",
        json_schema_extra={"advanced": True},
    )
    empty_frames: Literal["error", "skip"] = Field(
        "error",
        title="Empty frames",
        description="Stop at a frame of nothing but zeros or NaN, or profile it as it is.",
        json_schema_extra={"advanced": True},
    )
    batch_size: int | None = Field(
        None,
        title="Batch size",
        description="Squares of fields computed at a time; found out by memory and time if left "
        "out.",
        ge=1,
        le=4096,
        json_schema_extra={"advanced": True, "speed_only": True},
    )

    def kept_as(self) -> str:
        """Return its name, that of the method if none is given."""
        return self.name or "fields"


@contextmanager
def open_profiler(dataset: Dataset, params: FieldsParams, job: Job) -> Iterator[Profiler]:
    """Make ready to represent the whole fields of a plate, each by the mean of its squares.

    Raises
    ------
    InvalidInput
        If the weights cannot be had, are not those of a profiler of fields, or do not fit the
        images.
    MissingExtra
        If torch is not installed.
    """
    with open_profilers(dataset, params, "field", job) as (embedder, plan):

        def field_vectors(fov: Fov, job: Job) -> Iterator[tuple[int, NDArray[np.float32], int]]:
            table = squares(fov.shape, plan.window.size[-1])
            for t, frame in embedder.embed_fov(fov, table, range(fov.shape[0]), job):
                yield t, frame.vectors.mean(axis=0), 0

        def inputs(fov: Fov) -> dict[str, str]:
            return stain_inputs(dataset, fov, embedder.channels)

        source = f"fields, by {embedder.about['weights']}"
        yield Profiler(
            field_vectors, embedder.columns, inputs, source, embedder.weights, embedder.about
        )


def squares(shape: tuple[int, int, int, int], side: int) -> pd.DataFrame:
    """Return the centres of squares that cover a field, at every time point.

    As few as cover it, evenly spaced. A square that is larger than the field is in its middle.

    Parameters
    ----------
    shape
        Of the FOV, (T, Z, Y, X).
    side
        Width and height of a square, in pixels.

    Returns
    -------
    pandas.DataFrame
        ``t``, ``z``, ``y``, ``x``: as many rows for every time point.
    """
    times, depth, *plane = shape
    rows, columns = (_centres(length, side) for length in plane)
    y, x = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    return pd.DataFrame(
        {
            "t": np.repeat(np.arange(times), len(y)),
            "z": (depth - 1) / 2,
            "y": np.tile(y, times),
            "x": np.tile(x, times),
        }
    )


def _centres(length: int, side: int) -> NDArray[np.float64]:
    count = max(-(-length // side), 1)
    last = length - side
    first = np.linspace(0, last, count) if count > 1 else np.array([last / 2])
    return np.round(first) + (side - 1) / 2
