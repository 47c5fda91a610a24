"""Settings of the simulated time-lapse, and what they mean in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from napari_dynaclr.core.params import Params

PIXEL_UM = 0.55
"""Pixel size in um: a 20x objective and a camera with 11 um pixels."""
Z_STEP_UM = 1.5
"""Distance between slices in um."""
FRAME_SECONDS = 1800.0
"""Time between frames in s: 30 min, as in the Dengue movies (DynaCLR, B.2.1)."""
HOURS_PER_FRAME = FRAME_SECONDS / 3600.0
CHANNELS = ("Phase", "Nuclei", "Membrane", "Sensor")
TRUTH_CHANNELS = ("nucleus_labels", "cell_labels")
CONDITIONS = (("A", False), ("B", True))
"""Plate rows: A is mock (MOI 0), B is infected (MOI 5)."""


class SimulateParams(Params):
    """Settings of :func:`napari_dynaclr.sample.simulate`."""

    seed: int = Field(
        0,
        title="Random seed",
        description="The same seed always gives the same time-lapse, pixel for pixel.",
        ge=0,
        le=2**31 - 1,
        json_schema_extra={"advanced": True},
    )
    wells_per_condition: int = Field(
        2,
        title="Wells per condition",
        description="Number of mock wells (row A, no virus) and of infected wells (row B, MOI 5).",
        ge=1,
        le=12,
    )
    fovs_per_well: int = Field(
        2, title="Fields per well", description="Fields of view imaged in each well.", ge=1, le=50
    )
    time_points: int = Field(
        36, title="Time points", description="Number of frames, 30 minutes apart.", ge=1, le=500
    )
    z_slices: int = Field(
        1,
        title="Z slices",
        description="1 for a flat time-lapse; more for a stack with a slice every 1.5 um.",
        ge=1,
        le=41,
        json_schema_extra={"advanced": True},
    )
    size: int = Field(
        512,
        title="Image size (pixels)",
        description="Width and height of a field; a nucleus is 24 to 34 pixels across.",
        ge=64,
        le=4096,
    )
    cells_per_fov: int = Field(
        40,
        title="Cells at the start",
        description="Cells in a field of 512 x 512 pixels in the first frame; "
        "other image sizes get the same density.",
        ge=1,
        le=100,
        json_schema_extra={"advanced": True},
    )
    difficulty: Literal["easy", "default", "hard"] = Field(
        "default",
        title="Difficulty",
        description="Harder means more noise, less contrast, faster and more crowded cells.",
    )
    infection_hours: float = Field(
        6.5,
        title="Infection midpoint (hours)",
        description="Hours after the first frame at which half of the cells that get infected "
        "show it; the curve levels off about 6 hours later.",
        ge=0.5,
        le=72.0,
        json_schema_extra={"advanced": True},
    )
    infected_fraction: float = Field(
        0.86,
        title="Finally infected fraction",
        description="Fraction of the cells in the infected wells that the infection reaches.",
        ge=0.0,
        le=1.0,
        json_schema_extra={"advanced": True},
    )
    ome_zarr_version: Literal["0.4", "0.5"] = Field(
        "0.5",
        title="OME-Zarr version",
        description="0.5 (zarr 3), or 0.4 (zarr 2) for older programs.",
        json_schema_extra={"advanced": True},
    )


@dataclass(frozen=True)
class Difficulty:
    """What a level of difficulty means.

    Attributes
    ----------
    speed
        Median speed of a cell, in pixels per frame.
    density
        Factor on the number of cells.
    gap
        Smallest distance that cells keep between the circles around their nuclei, in
        pixels; below 0 some nuclei touch.
    photons
        Photons per pixel from a typical fluorescent structure in focus.
    haze
        Fraction of the light that ends up out of focus.
    background
        Photons per pixel without any cell, relative to ``photons``.
    read_noise
        Standard deviation of the camera's read-out, in counts.
    phase_noise
        Standard deviation of the noise in the phase channel, relative to a cell's contrast.
    """

    speed: float
    density: float
    gap: float
    photons: float
    haze: float
    background: float
    read_noise: float
    phase_noise: float


DIFFICULTIES = {
    "easy": Difficulty(2.2, 0.8, 8.0, 1200.0, 0.10, 0.06, 3.0, 0.02),
    "default": Difficulty(4.8, 1.0, 3.5, 300.0, 0.25, 0.18, 6.0, 0.05),
    "hard": Difficulty(8.0, 1.5, -4.0, 50.0, 0.45, 0.60, 9.0, 0.12),
}
