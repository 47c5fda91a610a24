"""Virtual against experimental stain: pixels, cells, and both over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import ndimage

from napari_dynaclr.core.channels import is_label_free
from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.evaluation.instances import Counts
from napari_dynaclr.evaluation.report import Report
from napari_dynaclr.evaluation.stain_drawing import Shown, draw_counts, draw_frame
from napari_dynaclr.evaluation.stain_pairs import (
    PairsParams,
    correlation,
    find_pairs,
    is_blank,
    nuclear,
    segmenter,
    similarity,
    true_labels,
    virtual_channels,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.evaluation.stain_pairs import Pair


class StainingParams(PairsParams):
    """Settings of the comparison of virtual with experimental stain."""

    every: int = Field(
        1,
        title="Every so many frames",
        description="Measure every so many time points.",
        ge=1,
        le=10_000,
        json_schema_extra={"advanced": True},
    )


@dataclass
class _Tally:
    """What is summed up of one pair of stains in a FOV."""

    pcc: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    left_out: int = 0
    counts: Counts | None = None
    experimental_counts: Counts | None = None

    def add(self, virtual: NDArray[Any], experimental: NDArray[Any]) -> bool:
        """Compare a time point, (Z, Y, X); False if one of the two is blank."""
        if is_blank(virtual) or is_blank(experimental):
            self.left_out += 1
            return False
        self.pcc.append(correlation(virtual, experimental))
        self.ssim.append(similarity(virtual, experimental))
        return True

    def row(self) -> dict[str, Any]:
        """Return a row's figures; the mean of no time point is NaN."""
        pcc, ssim = (float(np.mean(one)) if one else np.nan for one in (self.pcc, self.ssim))
        counts, theirs = self.counts, self.experimental_counts
        # What matters most first and last: a narrow terminal leaves out what is between.
        return {
            "pcc": pcc,
            "ssim": ssim,
            "time_points": len(self.pcc),
            "left_out": self.left_out,
            "experimental_ap50": theirs.ap50 if theirs else np.nan,
            "experimental_ap": theirs.ap if theirs else np.nan,
            "true_cells": counts.truth if counts else pd.NA,
            "virtual_cells": counts.found if counts else pd.NA,
            "ap50": counts.ap50 if counts else np.nan,
            "ap": counts.ap if counts else np.nan,
        }


def measure(dataset: Dataset, params: StainingParams, job: Job) -> Report:
    """Compare every virtual stain with its experimental one, and the cells seen in both.

    The measures are those of cytoland.txt, Methods, Model evaluation. Cells are compared
    in the stain of the nuclei: segmented with the same settings in the virtual and in the
    experimental stain, or against given label images. Time points of which either
    stain is blank (the same value everywhere, or no number) are left out and counted.

    Returns
    -------
    Report
        Per FOV and pair of stains, and as the mean of the FOVs ("mean"):

        - ``virtual``, ``experimental``: the channels;
        - ``time_points``, ``left_out``: how many were measured, and how many were blank;
        - ``pcc``: Pearson correlation over all voxels of a time point, the mean of these;
        - ``ssim``: structural similarity, of which
          :func:`~napari_dynaclr.evaluation.stain_pairs.similarity` says the scale;
        - ``ap50``, ``ap``: average precision (see
          :mod:`~napari_dynaclr.evaluation.instances`) at an IoU of 0.5, and the mean from 0.5 to
          0.95; the cells of all time points count together;
        - ``experimental_ap50``, ``experimental_ap``: the same of the experimental stain against
          given label images, which is what the virtual one can hope for;
        - ``true_cells``, ``virtual_cells``: how many there are, over all time points.

        The table ``counts`` has, per FOV and time point, the numbers of cells and the mean
        intensity of the true nuclei in both stains with its standard deviation over nuclei
        (Fig. 3D: whether the virtual stain bleaches).

    Raises
    ------
    MissingInput
        If there is no virtual stain.
    InvalidInput
        If no experimental stain fits, or the truth does not.
    """
    pairs = find_pairs(dataset.channels, params.virtual, params.experimental)
    segmented = nuclear([pair.virtual for pair in pairs], params.segmented)
    truth = open_dataset(params.truth) if params.truth else None
    comparison = _Comparison(dataset, pairs, segmented, truth, params)
    rows: list[dict[str, Any]] = []
    counts: list[dict[str, Any]] = []
    for fov in job.track(dataset.fovs, "evaluate staining"):
        tallies, over_time = comparison.of(fov, job)
        counts += over_time
        rows += [{"fov_name": fov.name, **pair._asdict(), **tallies[pair].row()} for pair in pairs]
    table = pd.DataFrame(rows).astype(dict.fromkeys(_SUMS, "Int64"))
    if not table["time_points"].any():
        raise InvalidInput(
            f"The stains are blank at every time point of {', '.join(dataset.fov_names[:3])}: "
            "there is nothing to compare."
        )
    numbers = pd.DataFrame(counts)
    pictures = {"counts": draw_counts(numbers)}
    if comparison.shown is not None:
        pictures[""] = draw_frame(comparison.shown)
    return Report(pd.concat([table, _means(table)], ignore_index=True), pictures, {
        "counts": numbers
    })  # fmt: skip


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """Average over FOVs; what is counted is added up."""
    pairs = table.groupby(["virtual", "experimental"], sort=False)
    figures = [name for name in table.columns[3:] if name not in _SUMS]
    # The sum of no number is not zero cells.
    sums, means = pairs[_SUMS].sum(min_count=1), pairs[figures].mean()
    found = sums.join(means).reset_index().assign(fov_name="mean")
    return found[list(table.columns)]


_SUMS = ["time_points", "left_out", "true_cells", "virtual_cells"]


class _Comparison:
    """The comparison of one FOV after the other, frame by frame, each chunk read once."""

    def __init__(
        self,
        dataset: Dataset,
        pairs: list[Pair],
        segmented: str,
        truth: Dataset | None,
        params: StainingParams,
    ) -> None:
        self._pairs, self._segmented, self._truth = pairs, segmented, truth
        self._workspace = dataset.workspace
        self._channel, self._every = params.channel, params.every
        self._segment = segmenter(params.diameter, params.sensitivity)
        self._last = dataset.fovs[-1].name
        known = {name for pair in pairs for name in pair} | {*virtual_channels(dataset.channels)}
        others = [name for name in dataset.channels if name not in known]
        self._backdrop = next(filter(is_label_free, others), next(iter(others), None))
        self.shown: Shown | None = None
        """A time point of the last FOV, to be drawn."""

    def of(self, fov: Fov, job: Job) -> tuple[dict[Pair, _Tally], list[dict[str, Any]]]:
        """Compare all time points of a FOV; return sums by pair, and the rows over time."""
        if (self._workspace.plate("stain") / fov.name).is_dir():
            self._workspace.require("stain", fov, "virtual stain", "stain")
        times = range(0, fov.shape[0], self._every)
        tallies = {pair: _Tally() for pair in self._pairs}
        names = list(dict.fromkeys(name for pair in self._pairs for name in pair))
        truth = self._true_frames(fov, times)
        rows = []
        frames = fov.frames(names, times, allow_empty=True)
        middle = times[len(times) // 2]
        for t, frame in job.track(frames, fov.name, total=len(times)):
            images = dict(zip(names, frame, strict=True))
            labels = next(truth) if truth else None
            for pair, tally in tallies.items():
                virtual, experimental = images[pair.virtual], images[pair.experimental]
                told = tally.add(virtual, experimental)
                if pair.virtual != self._segmented or not told:
                    continue
                found = self._segment(virtual, fov.scale)
                seen = self._segment(experimental, fov.scale)
                true = seen if labels is None else labels
                counts = Counts.of(true, found)
                tally.counts = counts + (tally.counts or Counts.none())
                if labels is not None:
                    before = tally.experimental_counts or Counts.none()
                    tally.experimental_counts = before + Counts.of(labels, seen)
                rows.append(
                    {
                        "fov_name": fov.name,
                        "t": t,
                        "hours": t * fov.frame_interval / 3600 if fov.frame_interval else np.nan,
                        "true_cells": counts.truth,
                        "virtual_cells": counts.found,
                        **_intensities(true, virtual, experimental),
                    }
                )
                if fov.name == self._last and (t <= middle or self.shown is None):
                    self.shown = Shown.of(fov, t, self._pairs, images, true, found, labels is None)
        if self.shown is not None and fov.name == self._last and self._backdrop:
            self.shown = self.shown.before(fov, self._backdrop)
        return tallies, rows

    def _true_frames(self, fov: Fov, times: range) -> Iterator[NDArray[Any]] | None:
        if self._truth is None:
            return None
        found, channel = true_labels(self._truth, fov, self._channel)
        return (frame[0] for _, frame in found.frames([channel], times, allow_empty=True))


def _intensities(
    labels: NDArray[Any], virtual: NDArray[Any], experimental: NDArray[Any]
) -> dict[str, float]:
    """Mean and standard deviation of the true nuclei's mean intensities in both stains."""
    names = np.unique(labels)
    names = names[names > 0]
    found = {}
    for name, image in (("experimental", experimental), ("virtual", virtual)):
        each = ndimage.mean(image, labels, names) if len(names) else np.array([np.nan])
        found[f"{name}_intensity"], found[f"{name}_sd"] = float(np.mean(each)), float(np.std(each))
    return found
