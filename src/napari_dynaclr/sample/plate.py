"""The two plates on disk while they are being made, and how an interrupted run goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from iohub.ngff import Plate, TransformationMeta, open_ome_zarr
from iohub.ngff.models import ChannelAxisMeta, SpaceAxisMeta, TimeAxisMeta

from napari_dynaclr.core.atomic import remove, write_csv, write_text
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.sample.params import (
    CHANNELS,
    FRAME_SECONDS,
    PIXEL_UM,
    TRUTH_CHANNELS,
    Z_STEP_UM,
)
from napari_dynaclr.sample.rendering import contrast_limits
from napari_dynaclr.sample.truth import TRACK_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from napari_dynaclr.sample.layout import FovPlan, Layout

FORMAT = 1
"""Changes whenever the same settings give other pixels, so that no run mixes the two."""


class PartialPlate:
    """A simulated plate under a hidden name, until it is complete.

    Parameters
    ----------
    target
        Where the plate will be; the truth goes beside it.
    layout
        What is to be on it; a partial plate left by a run with another is made anew.

    Raises
    ------
    InvalidInput
        If one of the two plates exists already.
    """

    def __init__(self, target: Path, layout: Layout) -> None:
        self.target, self.layout = target, layout
        self.truth_target = target.with_name(f"{target.stem}_truth.zarr")
        self.folder = target.with_name(f".{target.name}.partial")
        self.images = self.folder / "images.zarr"
        self.truth = self.folder / "truth.zarr"
        self._state = self.folder / "state.json"
        resumed = self._resumable()
        if target.exists():
            raise InvalidInput(f"{target} exists already: choose another name or remove it.")
        # A run that was killed between the two renames has put the truth in place.
        if self.truth_target.exists() and not (resumed and not self.truth.exists()):
            raise InvalidInput(
                f"{self.truth_target} exists already: choose another name or remove it."
            )
        if not resumed:
            self._start()

    def _identity(self) -> dict[str, Any]:
        return {"format": FORMAT, "digest": self.layout.digest}

    def _resumable(self) -> bool:
        try:
            found = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(found == self._identity() and self.images.exists())

    def _start(self) -> None:
        remove(self.folder)
        self.folder.mkdir(parents=True)
        for path, channels in ((self.images, CHANNELS), (self.truth, TRUTH_CHANNELS)):
            self._create(path, list(channels))
        (self.folder / "done").mkdir()
        # Last: without it the folder is not resumed but made anew.
        write_text(self._state, json.dumps(self._identity()))

    def _create(self, path: Path, channels: list[str]) -> None:
        """Write the metadata of a plate whose pixels are all still zero."""
        params = self.layout.movie
        space = (params.z_slices, params.size, params.size)
        axes = [
            TimeAxisMeta(name="T", unit="second"),
            ChannelAxisMeta(name="C"),
            *(SpaceAxisMeta(name=name, unit="micrometer") for name in "ZYX"),
        ]
        scale = TransformationMeta(
            type="scale", scale=[FRAME_SECONDS, 1.0, Z_STEP_UM, PIXEL_UM, PIXEL_UM]
        )
        limits = contrast_limits(params)
        with open_ome_zarr(
            path,
            layout="hcs",
            mode="w-",
            channel_names=channels,
            axes=axes,
            version=params.ome_zarr_version,
        ) as plate:
            assert isinstance(plate, Plate)
            for field in self.layout.fields:
                position = plate.create_position(field.row, field.column, field.fov)
                position.create_zeros(
                    "0",
                    (params.time_points, len(channels), *space),
                    np.uint16,
                    chunks=(1, 1, *space),
                    transform=[scale, *_moved(field)],
                )
                for channel, (start, end) in limits.items():
                    if channel in channels:
                        window = {"start": start, "end": end, "min": 0.0, "max": 65535.0}
                        position.set_contrast_limits(channel, window)

    @property
    def filled(self) -> bool:
        """Whether all fields are done, and the truth already has its final name."""
        return not self.truth.exists()

    def _mark(self, field: FovPlan) -> Path:
        return self.folder / "done" / f"{field.name.replace('/', '_')}.csv"

    def is_done(self, field: FovPlan) -> bool:
        """Whether an earlier run has finished this field."""
        return self._mark(field).exists()

    def finish_fov(self, field: FovPlan, annotations: pd.DataFrame) -> None:
        """Write a field's tables and mark the field as finished.

        Parameters
        ----------
        field
            The field, whose pixels are all written.
        annotations
            Tracks and states of its nodes.
        """
        tracks = self.truth / field.row / field.column / field.fov / "tracks.csv"
        write_csv(tracks, annotations[TRACK_COLUMNS])
        write_csv(self._mark(field), annotations)

    def finish(self) -> None:
        """Join the annotations and give both plates their names: the images come last."""
        if self.truth.exists():
            tables = [pd.read_csv(self._mark(field)) for field in self.layout.fields]
            table = pd.concat(tables, ignore_index=True)
            write_csv(self.truth / "annotations.csv", table)
            if self.layout.conditions:
                wells = pd.Series(self.layout.conditions, name="condition")
                write_csv(self.truth / "conditions.csv", wells.rename_axis("well").reset_index())
            self.truth.rename(self.truth_target)
        self.images.rename(self.target)
        remove(self.folder)


def _moved(field: FovPlan) -> list[TransformationMeta]:
    """Where in its well the field lies, as OME-Zarr says it."""
    if field.corner_um is None:
        return []
    y, x = field.corner_um
    return [TransformationMeta(type="translation", translation=[0.0, 0.0, 0.0, y, x])]
