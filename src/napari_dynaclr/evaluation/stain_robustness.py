"""How a virtual stain bears that its images get worse (cytoland.txt, Fig. 2C-E, Fig. S5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.evaluation.instances import Counts
from napari_dynaclr.evaluation.perturbed_drawing import Example, draw_curves, draw_examples
from napari_dynaclr.evaluation.perturbing import NEUTRAL, magnify, perturb
from napari_dynaclr.evaluation.report import Report
from napari_dynaclr.evaluation.stain_pairs import (
    Pair,
    PairsParams,
    correlation,
    find_pairs,
    is_blank,
    nuclear,
    segmenter,
    true_labels,
)
from napari_dynaclr.evaluation.stain_run import last_stain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job


class StainRobustnessParams(PairsParams):
    """Settings of the test with images that are made worse on purpose."""

    blur: tuple[float, ...] = Field(
        (1.0, 2.0, 4.0, 8.0),
        title="Blur (pixels)",
        description="Standard deviations of a Gaussian blur, in pixels.",
        json_schema_extra={"advanced": True},
    )
    noise: tuple[float, ...] = Field(
        (0.25, 0.5, 1.0, 2.0),
        title="Noise",
        description="Standard deviations of added noise, as multiples of that of the image.",
        json_schema_extra={"advanced": True},
    )
    contrast: tuple[float, ...] = Field(
        (0.5, 0.75, 1.5, 2.0),
        title="Contrast",
        description="Exponents of intensity between the image's minimum and maximum.",
        json_schema_extra={"advanced": True},
    )
    magnification: tuple[float, ...] = Field(
        (0.5, 0.75, 1.5, 2.0),
        title="Magnification",
        description="Factors by which images, and the truth with them, are enlarged.",
        json_schema_extra={"advanced": True},
    )
    time_points: int = Field(
        2,
        title="Time points",
        description="Time points of each FOV, evenly spread; each is stained once for every "
        "level of every perturbation.",
        ge=1,
        le=10_000,
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes the noise repeatable.",
        ge=0,
        le=2**31 - 1,
        json_schema_extra={"advanced": True},
    )

    def levels(self) -> list[tuple[str, float]]:
        """Return what is to be done to an image, kind by kind, in the order of levels."""
        return [
            (kind, level)
            for kind, neutral in NEUTRAL.items()
            for level in sorted({*getattr(self, kind), neutral})
        ]


@dataclass
class _Tally:
    """Sums over frames of one stain at one level."""

    pcc: list[float] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts.none)


@dataclass(frozen=True)
class _Frame:
    """What the stain of a time point should be.

    Attributes
    ----------
    fov
        Which FOV it is of.
    stains
        What each virtual stain is compared with, (Z, Y, X).
    cells
        True cells, (Z, Y, X).
    """

    fov: Fov
    stains: dict[str, NDArray[Any]]
    cells: NDArray[Any]


def measure(dataset: Dataset, params: StainRobustnessParams, job: Job) -> Report:
    """Make images worse step by step, stain them, and see what is left of the cells.

    The network and its settings are those of the last run of 'stain'; each image is
    normalised by its own statistics, as if it were all there is. What is compared with what
    is as in 'evaluate staining'. Without an experimental stain or a truth, the stain of the
    untouched image takes their place: that tells how much changes, not what is right.

    Returns
    -------
    Report
        Per kind of perturbation, level and stain:

        - ``perturbation``, ``level``: see :func:`~napari_dynaclr.evaluation.perturbing.perturb`;
        - ``virtual``, ``against``: the stain, and what it was compared with;
        - ``frames``: how many images were stained;
        - ``pcc``, ``ap50``, ``ap``, ``true_cells``, ``virtual_cells``: as in 'evaluate
          staining', over all images; cells are those of the nuclei.

        The pictures show the curves, and examples.

    Raises
    ------
    MissingInput
        If nothing has been stained.
    InvalidInput
        If a level is not allowed, all images are blank, or the truth does not fit.
    """
    _check(params)
    method, settings = last_stain(dataset)
    with method.load().open_stainer(dataset, settings, job) as stainer:
        test = _Test(dataset, stainer, params)
        frames = [(fov, t) for fov in dataset.fovs for t in _spread(fov, params.time_points)]
        for fov, t in job.track(frames, "stain perturbed images"):
            test.add(fov, t, job)
    table = test.table()
    if not table["frames"].any():
        raise InvalidInput(
            f"The images of {', '.join(dataset.fov_names[:3])} or their stains are blank: there "
            "is nothing to measure."
        )
    if test.itself:
        job.note(
            "There is neither an experimental stain nor a truth: perturbed images are compared "
            "with the stain of the untouched ones."
        )
    pictures = {"": draw_curves(table), "images": draw_examples(test.examples)}
    return Report(table, pictures)


def _check(params: StainRobustnessParams) -> None:
    for kind, least in (("blur", 0.0), ("noise", 0.0), ("contrast", 0.05), ("magnification", 0.1)):
        for level in getattr(params, kind):
            if not least <= level <= 100:
                raise InvalidInput(f"{kind} = {level:g}: choose levels from {least:g} to 100.")


def _spread(fov: Fov, count: int) -> list[int]:
    """Time points, evenly spread, neither the first nor the last if there are few."""
    total = fov.shape[0]
    return sorted({int((i + 0.5) * total / min(count, total)) for i in range(min(count, total))})


class _Test:
    """The test, image after image."""

    def __init__(self, dataset: Dataset, stainer: Any, params: StainRobustnessParams) -> None:
        self._stainer, self._params = stainer, params
        own = [name for name in dataset.channels if name not in stainer.channels]
        self._source = tuple(stainer.prepared.source.channels)
        names = [*own, *stainer.channels]
        virtual = params.virtual or stainer.channels
        self._pairs = find_pairs(names, virtual, params.experimental, required=False)
        self._truth = open_dataset(params.truth) if params.truth else None
        self.itself = not self._pairs
        """Whether there is nothing to compare with but the stain of untouched images."""
        if self.itself:
            self._pairs = [Pair(name, name) for name in virtual]
        self._segmented = nuclear([pair.virtual for pair in self._pairs], params.segmented)
        self._segment = segmenter(params.diameter, params.sensitivity)
        self._tallies: dict[tuple[str, float, str], _Tally] = {
            (*step, pair.virtual): _Tally() for step in params.levels() for pair in self._pairs
        }
        self.examples: list[Example] = []
        """What the first image looks like at every level."""

    def add(self, fov: Fov, t: int, job: Job) -> None:
        """Stain a time point at every level, and compare."""
        read = self._read(fov, t)
        if read is None:
            return
        raw, images = read
        # Once for all kinds.
        untouched = self._stain(fov, t, raw, job)
        frame = self._expected(fov, t, untouched if self.itself else images)
        drawn = not self.examples
        for kind, level in job.track(self._params.levels(), f"{fov.name}, frame {t}"):
            image = perturb(raw, kind, level, self._params.seed)
            neutral = level == NEUTRAL[kind]
            stains = untouched if neutral else self._stain(fov, t, image, job)
            cells = self._compare(frame, stains, kind, level)
            if drawn:
                z = int((frame.cells > 0).sum(axis=(1, 2)).argmax())
                true, found = (one[z] for one in cells)
                example = Example(kind, level, image[0, z], stains[self._segmented][z], true, found)
                self.examples.append(example)

    def _stain(
        self, fov: Fov, t: int, image: NDArray[Any], job: Job
    ) -> dict[str, NDArray[np.float32]]:
        found = self._stainer.stain_frame(fov, t, image, job)
        return dict(zip(self._stainer.channels, found, strict=True))

    def _read(self, fov: Fov, t: int) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]] | None:
        """Read a time point (C, Z, Y, X) and the experimental stains; None if one is blank."""
        others = () if self.itself else tuple(pair.experimental for pair in self._pairs)
        names = tuple(dict.fromkeys((*self._source, *others)))
        ((_, frame),) = fov.frames(names, [t], allow_empty=True)
        images = dict(zip(names, frame, strict=True))
        if any(is_blank(image) for image in images.values()):
            return None
        return np.stack([images[name] for name in self._source]).astype(np.float32), images

    def _expected(self, fov: Fov, t: int, images: dict[str, NDArray[Any]]) -> _Frame:
        """Say what the stains and the cells of a time point should be."""
        stains = {pair.virtual: images[pair.experimental] for pair in self._pairs}
        if self._truth is None:
            return _Frame(fov, stains, self._segment(stains[self._segmented], fov.scale))
        true, channel = true_labels(self._truth, fov, self._params.channel)
        ((_, labels),) = true.frames([channel], [t], allow_empty=True)
        return _Frame(fov, stains, labels[0])

    def _compare(
        self, frame: _Frame, stains: dict[str, NDArray[np.float32]], kind: str, level: float
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Compare the stains of a perturbed image; return true cells and those found."""
        factor = level if kind == "magnification" else 1.0
        z, y, x = frame.fov.scale
        cells = frame.cells
        if factor != 1:
            cells = magnify(cells, factor, labels=True)
        for pair in self._pairs:
            tally = self._tallies[kind, level, pair.virtual]
            true = frame.stains[pair.virtual]
            true = magnify(true, factor) if factor != 1 else true
            virtual = stains[pair.virtual]
            # A stain without any structure goes along with nothing.
            blank = is_blank(virtual) or is_blank(true)
            tally.pcc.append(0.0 if blank else correlation(virtual, true))
        # At another magnification, a pixel is another length.
        found = self._segment(stains[self._segmented], (z, y / factor, x / factor))
        self._tallies[kind, level, self._segmented].counts += Counts.of(cells, found)
        return cells, found

    def table(self) -> pd.DataFrame:
        """Sum up."""
        rows = []
        for (kind, level, virtual), tally in self._tallies.items():
            counts = tally.counts if virtual == self._segmented else None
            against = dict(self._pairs)[virtual]
            rows.append(
                {
                    "perturbation": kind,
                    "level": level,
                    "virtual": virtual,
                    "against": "untouched image" if self.itself else against,
                    "frames": len(tally.pcc),
                    "pcc": float(np.mean(tally.pcc)) if tally.pcc else np.nan,
                    "ap50": counts.ap50 if counts else np.nan,
                    "ap": counts.ap if counts else np.nan,
                    "true_cells": counts.truth if counts else pd.NA,
                    "virtual_cells": counts.found if counts else pd.NA,
                }
            )
        return pd.DataFrame(rows).astype({"true_cells": "Int64", "virtual_cells": "Int64"})
