"""Pictures of the simulated cells, and the label images that go with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.ndimage

from napari_dynaclr.sample.looks import Looks
from napari_dynaclr.sample.optics import OFFSET, Lens, expose, illumination, image
from napari_dynaclr.sample.params import (
    CHANNELS,
    DIFFICULTIES,
    Z_STEP_UM,
    SimulateParams,
)
from napari_dynaclr.sample.phenotype import USUAL, FieldLight, Phenotype
from napari_dynaclr.sample.scene import Scene, compose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.sample.cell import Snapshot

PAD = 32
"""Margin of the canvas around the field, in pixels; wider than any blur that matters."""
_TILE = 512
_PHASE_LEVEL, _PHASE_CONTRAST = 6000.0, 1500.0
_BLEACH_PER_FRAME = {"Nuclei": 0.006, "Membrane": 0.005, "Sensor": 0.008}


def contrast_limits(params: SimulateParams) -> dict[str, tuple[float, float]]:
    """Choose the counts to show as black and as white, per channel."""
    level = DIFFICULTIES[params.difficulty]
    black = OFFSET + 0.9 * level.background * level.photons
    brightest = {"Nuclei": 1.9, "Membrane": 1.2, "Sensor": 1.9}
    limits = {name: (black, black + level.photons * top) for name, top in brightest.items()}
    return {
        "Phase": (_PHASE_LEVEL - 0.7 * _PHASE_CONTRAST, _PHASE_LEVEL + 1.3 * _PHASE_CONTRAST),
        **limits,
    }


@dataclass(frozen=True)
class Rendered:
    """One frame of one field.

    Attributes
    ----------
    channels
        (C, Z, Y, X) camera counts, in the order of ``CHANNELS``.
    nuclei, bodies
        (Z, Y, X) place of each pixel's cell in the frame's list of cells, plus 1;
        0 is background.
    """

    channels: NDArray[np.uint16]
    nuclei: NDArray[np.int32]
    bodies: NDArray[np.int32]


class Renderer:
    """Draws the frames of one field.

    Parameters
    ----------
    params
        Settings of the time-lapse.
    plate_seed
        Seed of what all fields share: the microscope and the kinds of texture.
    fov_seed
        Seed of what is the field's own: debris and noise.
    phenotype
        How its cells look; their shape they have already.
    light
        How the field's light differs from that of others, if it does.
    """

    def __init__(
        self,
        params: SimulateParams,
        plate_seed: np.random.SeedSequence,
        fov_seed: np.random.SeedSequence,
        phenotype: Phenotype = USUAL,
        light: FieldLight | None = None,
    ) -> None:
        self.params, self.level = params, DIFFICULTIES[params.difficulty]
        self._phenotype, self._field_light = phenotype, light
        self._seed = fov_seed
        rng = np.random.default_rng(plate_seed)
        self._grain = _texture(rng, 2.3, 6.0)
        self._cloud = _texture(rng, 7.0, 20.0)
        # Ridges between the hills of a band-limited field look like a reticulum.
        self._reticulum = _standard(-np.abs(_texture(rng, 3.0, 9.0)))
        self._light = {name: illumination(params.size, rng) for name in CHANNELS}
        haze = self.level.haze
        self._lenses = {
            "Phase": Lens(1.0, defocus=0.6, section=4.0, halo=0.8),
            "Nuclei": Lens(1.15, haze=haze),
            "Membrane": Lens(1.05, haze=haze),
            "Sensor": Lens(1.2, haze=haze),
        }
        self._debris = self._draw_debris(self._generator(0))

    def frame(self, cells: Sequence[Snapshot], t: int) -> Rendered:
        """Draw one frame.

        Parameters
        ----------
        cells
            The cells of the frame.
        t
            Number of the frame, for bleaching and for the noise.
        """
        size, depth = self.params.size, self.params.z_slices
        side = size + 2 * PAD
        light = {name: np.zeros((depth, side, side), np.float32) for name in CHANNELS}
        nuclei = np.zeros((depth, size, size), np.int32)
        bodies = np.zeros((depth, size, size), np.int32)
        table = Looks.of(cells)
        for z in range(depth):
            height = None if depth == 1 else (z - (depth - 1) / 2) * Z_STEP_UM
            scene = compose(cells, size, PAD, height)
            if len(scene.pixel):
                for name, values in self._emit(scene, table, t).items():
                    light[name][z].ravel()[scene.pixel] = values
                nuclei[z], bodies[z] = _labels(scene)
        rng = self._generator(1, t)
        channels = np.stack([self._record(name, light[name], t, rng) for name in CHANNELS])
        return Rendered(channels, nuclei, bodies)

    def _generator(self, *key: int) -> np.random.Generator:
        """Random numbers of the field's own, the same however often they are asked for."""
        key = (*self._seed.spawn_key, *key)
        return np.random.default_rng(np.random.SeedSequence(self._seed.entropy, spawn_key=key))

    def _emit(self, scene: Scene, table: Looks, t: int) -> dict[str, NDArray[np.float32]]:
        """Light or optical thickness of every owned pixel, per channel."""
        who, kind = scene.owner, self._phenotype
        grain, cloud, reticulum = (
            self._sample(bank, scene, table, t, turn)
            for bank, turn in ((self._grain, 0.35), (self._cloud, 0.2), (self._reticulum, 0.3))
        )
        condensed, rounding = table.condensation[who], table.rounding[who]
        infection = table.infection[who]
        nucleus = np.clip(scene.inside / 1.4 + 0.5, 0.0, 1.0)
        nucleoli = table.spots(scene, kind) * (1.0 - condensed) * nucleus
        out = np.clip(scene.depth, 0.0, 1.0)
        fade = _smoothstep(scene.edge, 2.5)
        near = np.exp(-((out / 0.55) ** 2))

        # A spread cell is a hill that runs out in a thin lamella; a round one is a ball.
        flat = (0.22 + 0.78 * near) * _smoothstep(scene.free + 1.0, 9.0)
        # Between neighbours there is a groove, not a gap.
        flat *= 0.62 + 0.38 * _smoothstep(scene.edge, 3.5)
        ball = 2.4 * np.sqrt(1.0 - out * out)
        thickness = flat + (ball - flat) * rounding
        rough = 0.13 + 0.09 * infection + 0.20 * table.dead[who]
        phase = thickness * (1.0 + rough * (1.0 - 0.6 * nucleus) * grain + 0.08 * cloud)
        phase += (0.12 - 0.2 * rounding) * nucleus + 0.5 * nucleoli + 0.35 * condensed * nucleus
        phase += 0.10 * np.exp(-((scene.inside / 1.6) ** 2)) * (1.0 - condensed)
        phase *= table.thickness[who]

        chromatin = 1.0 + (0.13 + 0.05 * condensed) * grain * kind.grain
        chromatin += 0.10 * cloud * kind.cloud
        chromatin -= 0.42 * nucleoli
        stain = nucleus * chromatin * (1.0 + 1.25 * condensed) * table.stain[who]
        stain += 0.035 * fade

        rim = np.exp(-(((scene.edge - 1.0) / 1.5) ** 2)) * (1.0 + 0.2 * cloud)
        ruffle = np.clip(grain, 0.0, None) * (0.10 + 0.15 * near) * kind.ruffle
        interior = fade * (0.13 + 0.12 * near + ruffle)
        membrane = rim * kind.rim * (0.8 + 0.6 * rounding - 0.5 * table.dead[who]) + interior
        membrane *= (1.0 - 0.35 * nucleus) * table.membrane[who]

        return {
            "Phase": phase,
            "Nuclei": stain,
            "Membrane": membrane,
            "Sensor": self._sensor(scene, table, nucleus, nucleoli, reticulum, fade),
        }

    def _sensor(
        self,
        scene: Scene,
        table: Looks,
        nucleus: NDArray[np.float32],
        nucleoli: NDArray[np.float32],
        reticulum: NDArray[np.float32],
        fade: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Draw the reporter of infection, after Pahmeier et al. 2021.

        It sits on the endoplasmic reticulum, around the nucleus; the viral protease
        cuts it loose, and it collects in the nucleus. In mitosis there is no nuclear
        envelope to keep it in or out.
        """
        who = scene.owner
        infection, open_ = table.infection[who] * table.response[who], table.mitotic[who]
        around = 0.25 + 0.75 * np.exp(-np.clip(scene.depth, 0.0, 1.0) / 0.45)
        rough = 0.28 * reticulum * self._phenotype.reticulum
        bound = around * (1.0 + rough) * fade * (1.0 - 0.62 * infection)
        within = 0.14 + 1.4 * infection * (1.0 - 0.35 * nucleoli)
        closed = bound + (within - bound) * nucleus
        mixed = (0.75 + 0.3 * infection) * (1.0 + 0.12 * reticulum) * fade
        return np.asarray((closed + (mixed - closed) * open_) * table.sensor[who], np.float32)

    def _sample(
        self, bank: NDArray[np.float32], scene: Scene, table: Looks, t: int, turn: float
    ) -> NDArray[np.float32]:
        """Texture that moves and turns with the cell and slowly becomes another."""
        # Two samples per pixel: at less, the nearest one is visibly the wrong one.
        u = (2.0 * scene.along).astype(np.intp) + table.u[scene.owner]
        v = (2.0 * scene.across).astype(np.intp) + table.v[scene.owner]
        mask = _TILE - 1
        first = bank[u & mask, v & mask]
        second = bank[(u + 211) & mask, (v + 97) & mask]
        swing = (turn * t + 6.0 * table.offset).astype(np.float32)
        cos, sin = np.cos(swing)[scene.owner], np.sin(swing)[scene.owner]
        return np.asarray(cos * first + sin * second, dtype=np.float32)

    def _record(
        self, name: str, light: NDArray[np.float32], t: int, rng: np.random.Generator
    ) -> NDArray[np.uint16]:
        level, size = self.level, self.params.size
        shade = (
            np.float32(1.0) if self._field_light is None else self._field_light.shade(name, size)
        )
        if name == "Phase":
            phase = image(light + self._debris, self._lenses[name], PAD)
            noise = level.phase_noise * _PHASE_CONTRAST
            light_field = 0.93 + 0.07 * self._light[name]
            counts = _PHASE_LEVEL * light_field + _PHASE_CONTRAST * phase
            return expose(counts * shade, noise, rng)
        left = math.exp(-_BLEACH_PER_FRAME[name] * t)
        seen = image(light, self._lenses[name], PAD) * np.float32(left)
        photons = np.float32(level.photons) * (seen + np.float32(level.background * left**0.5))
        return expose(photons * self._light[name] * shade, level.read_noise, rng)

    def _draw_debris(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Dirt that lies still on the glass and a slightly uneven medium."""
        side = self.params.size + 2 * PAD
        canvas = np.zeros((side, side), np.float32)
        for _ in range(round(14 * (side / 512) ** 2)):
            y, x = rng.uniform(0, side, 2)
            radius, value = rng.uniform(0.8, 2.2), rng.uniform(-0.6, 0.9)
            box = math.ceil(3 * radius)
            top, left = max(0, int(y) - box), max(0, int(x) - box)
            window = canvas[top : int(y) + box, left : int(x) + box]
            yy, xx = np.mgrid[top : top + window.shape[0], left : left + window.shape[1]]
            window += value * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (2 * radius**2))
        medium = rng.standard_normal(canvas.shape, dtype=np.float32)
        canvas += 0.18 * scipy.ndimage.gaussian_filter(medium, 6.0, mode="wrap")
        return canvas


def _labels(scene: Scene) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    inner = (slice(PAD, -PAD), slice(PAD, -PAD))
    nuclei = np.zeros(scene.shape, np.int32)
    bodies = np.zeros(scene.shape, np.int32)
    bodies.ravel()[scene.pixel] = scene.owner + 1
    nuclei.ravel()[scene.pixel] = np.where(scene.inside > 0, scene.owner + 1, 0)
    return nuclei[inner], bodies[inner]


def _smoothstep(values: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """0 at 0, 1 from ``width`` on, smooth in between."""
    share = np.clip(values / np.float32(width), 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share), dtype=np.float32)


def _texture(rng: np.random.Generator, low: float, high: float) -> NDArray[np.float32]:
    """Periodic band-limited noise with zero mean and unit variance, two samples per pixel."""
    noise = rng.standard_normal((_TILE, _TILE), dtype=np.float32)
    band = scipy.ndimage.gaussian_filter(noise, low, mode="wrap")
    return _standard(band - scipy.ndimage.gaussian_filter(noise, high, mode="wrap"))


def _standard(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((values - values.mean()) / values.std(), dtype=np.float32)
