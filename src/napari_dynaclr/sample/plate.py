"""The two plates on disk while they are being made, and how an interrupted run goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from iohub.ngff import Plate, TransformationMeta, open_ome_zarr
from iohub.ngff.models import ChannelAxisMeta, SpaceAxisMeta, TimeAxisMeta

from napari_dynaclr.core.atomic import remove, write_csv, write_text
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.sample.params import (
    CHANNELS,
    CONDITIONS,
    FRAME_SECONDS,
    PIXEL_UM,
    TRUTH_CHANNELS,
    Z_STEP_UM,
    SimulateParams,
)
from napari_dynaclr.sample.rendering import contrast_limits
from napari_dynaclr.sample.truth import TRACK_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
"""Changes whenever the same settings give other pixels, so that no run mixes the two."""


@dataclass(frozen=True)
class FovPlan:
    """One field to simulate.

    Attributes
    ----------
    row, column, fov
        Names on the plate.
    infected
        Whether its well holds virus.
    seed_key
        Well number and field number: with the seed they make the field, whatever other
        wells and fields there are.
    """

    row: str
    column: str
    fov: str
    infected: bool
    seed_key: tuple[int, int]

    @property
    def name(self) -> str:
        """Name of the field, as in "B/1/0"."""
        return f"{self.row}/{self.column}/{self.fov}"


def plan(params: SimulateParams) -> list[FovPlan]:
    """All fields of the plate, in plate order."""
    return [
        FovPlan(row, str(well + 1), str(fov), infected, (2 * well + number, fov))
        for number, (row, infected) in enumerate(CONDITIONS)
        for well in range(params.wells_per_condition)
        for fov in range(params.fovs_per_well)
    ]


class PartialPlate:
    """A simulated plate under a hidden name, until it is complete.

    Parameters
    ----------
    target
        Where the plate will be; the truth goes beside it.
    params
        Settings; a partial plate left by a run with others is made anew.

    Raises
    ------
    InvalidInput
        If one of the two plates exists already.
    """

    def __init__(self, target: Path, params: SimulateParams) -> None:
        self.target, self.params = target, params
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
        return {"format": FORMAT, "digest": self.params.digest()}

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
        params = self.params
        space = (params.z_slices, params.size, params.size)
        axes = [
            TimeAxisMeta(name="T", unit="second"),
            ChannelAxisMeta(name="C"),
            *(SpaceAxisMeta(name=name, unit="micrometer") for name in "ZYX"),
        ]
        scale = TransformationMeta(
            type="scale", scale=[FRAME_SECONDS, 1.0, Z_STEP_UM, PIXEL_UM, PIXEL_UM]
        )
        with open_ome_zarr(
            path,
            layout="hcs",
            mode="w-",
            channel_names=channels,
            axes=axes,
            version=params.ome_zarr_version,
        ) as plate:
            assert isinstance(plate, Plate)
            for field in plan(params):
                position = plate.create_position(field.row, field.column, field.fov)
                position.create_zeros(
                    "0",
                    (params.time_points, len(channels), *space),
                    np.uint16,
                    chunks=(1, 1, *space),
                    transform=[scale],
                )
                for channel, (start, end) in contrast_limits(params).items():
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
            tables = [pd.read_csv(self._mark(field)) for field in plan(self.params)]
            table = pd.concat(tables, ignore_index=True)
            write_csv(self.truth / "annotations.csv", table)
            self.truth.rename(self.truth_target)
        self.images.rename(self.target)
        remove(self.folder)
