"""A plate of wells under different treatments, whose fields differ in their light as well."""

from __future__ import annotations

import math
from string import ascii_uppercase
from typing import Literal

import numpy as np
from pydantic import Field

from napari_dynaclr.core.params import Params
from napari_dynaclr.sample.layout import FovPlan, Layout
from napari_dynaclr.sample.params import CHANNELS, PIXEL_UM, SimulateParams
from napari_dynaclr.sample.phenotype import PHENOTYPES, FieldLight

_PHASE = 0.4
"""Share of the unevenness in the phase channel, which has much light and little contrast."""


class PhenotypesParams(Params):
    """Settings of a plate of treated wells."""

    phenotypes: int = Field(
        3,
        title="Phenotypes",
        description=f"How many kinds of wells: the first of {', '.join(PHENOTYPES)}.",
        ge=2,
        le=len(PHENOTYPES),
    )
    wells_per_phenotype: int = Field(
        4, title="Wells per phenotype", description="Replicate wells of each kind.", ge=1, le=24
    )
    fields_per_well: int = Field(
        4, title="Fields per well", description="Fields of view imaged in each well.", ge=1, le=25
    )
    time_points: int = Field(
        2, title="Time points", description="Number of frames, 30 minutes apart.", ge=1, le=500
    )
    size: int = Field(
        256,
        title="Image size (pixels)",
        description="Width and height of a field; a nucleus is 24 to 34 pixels across.",
        ge=64,
        le=4096,
        json_schema_extra={"advanced": True},
    )
    strength: float = Field(
        1.0,
        title="Strength",
        description="How far the phenotypes are from each other: 0 for no difference at all.",
        ge=0.0,
        le=2.0,
        json_schema_extra={"advanced": True},
    )
    unevenness: float = Field(
        0.5,
        title="Uneven light",
        description="How much the light differs from field to field: 0.5 changes the gain by up "
        "to a factor of 1.6 and the brightness towards the edges by up to half, in every channel "
        "by itself. 0 for the same light everywhere.",
        ge=0.0,
        le=0.9,
    )
    seed: int = Field(
        0,
        title="Random seed",
        description="The same seed always gives the same plate, pixel for pixel.",
        ge=0,
        le=2**31 - 1,
        json_schema_extra={"advanced": True},
    )
    cells_per_fov: int = Field(
        60,
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
        json_schema_extra={"advanced": True},
    )
    ome_zarr_version: Literal["0.4", "0.5"] = Field(
        "0.5",
        title="OME-Zarr version",
        description="0.5 (zarr 3), or 0.4 (zarr 2) for older programs.",
        json_schema_extra={"advanced": True},
    )


def phenotype_layout(params: PhenotypesParams) -> Layout:
    """Lay out the wells so that every row holds several phenotypes and every column all.

    A phenotype that had a row of its own could be told by whatever else a row has of its own.
    """
    names = list(PHENOTYPES)[: params.phenotypes]
    side = math.ceil(math.sqrt(params.fields_per_well))
    fields: list[FovPlan] = []
    conditions: dict[str, str] = {}
    for number in range(params.phenotypes):
        row = ascii_uppercase[number]
        for well in range(params.wells_per_phenotype):
            name = names[(number + well) % params.phenotypes]
            conditions[f"{row}/{well + 1}"] = name
            for fov in range(params.fields_per_well):
                y, x = divmod(fov, side)
                key = (len(PHENOTYPES) * well + number, fov)
                fields.append(
                    FovPlan(
                        row,
                        str(well + 1),
                        str(fov),
                        infected=False,
                        seed_key=key,
                        phenotype=PHENOTYPES[name].at(params.strength),
                        light=_light(params, key, (y, x), side),
                        corner_um=(y * params.size * PIXEL_UM, x * params.size * PIXEL_UM),
                    )
                )
    movie = SimulateParams(
        seed=params.seed,
        time_points=params.time_points,
        size=params.size,
        cells_per_fov=params.cells_per_fov,
        difficulty=params.difficulty,
        ome_zarr_version=params.ome_zarr_version,
    )
    return Layout(movie, fields, params.digest(), conditions)


def _light(
    params: PhenotypesParams, key: tuple[int, int], place: tuple[int, int], side: int
) -> FieldLight:
    """Draw the light of a field.

    Half of it belongs to the place of the field in its well, as the meniscus of the medium
    and the walls of the well do under a microscope, and half to the field alone.
    """
    well, fov = key
    common = np.random.default_rng(np.random.SeedSequence([params.seed], spawn_key=(3, fov)))
    own = np.random.default_rng(np.random.SeedSequence([params.seed, well, fov], spawn_key=(3,)))
    middle = max((side - 1) / 2, 0.5)
    # Brighter towards the middle of the well.
    inwards = np.array([(side - 1) / 2 - axis for axis in place]) / middle
    gain: dict[str, float] = {}
    tilt: dict[str, tuple[float, float]] = {}
    for channel in CHANNELS:
        share = params.unevenness * (_PHASE if channel == "Phase" else 1.0)
        drawn = 0.5 * common.uniform(-1.0, 1.0) + 0.5 * own.uniform(-1.0, 1.0)
        gain[channel] = math.exp(share * drawn)
        towards = 0.35 * common.uniform(0.4, 1.0) * inwards + 0.25 * own.uniform(-1.0, 1.0, 2)
        tilt[channel] = (float(share * towards[0]), float(share * towards[1]))
    return FieldLight(gain, tilt)
