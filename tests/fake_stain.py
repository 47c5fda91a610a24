"""A pretended network for virtual staining: as quick as it is let."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any, Literal

import numpy as np
from pydantic import Field

from napari_dynaclr.core import registry
from napari_dynaclr.core.device import Device
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.plate_writer import FovWriter
from napari_dynaclr.core.registry import Method, find_method
from napari_dynaclr.core.runs import recorded, result_key, source_key


class FakeParams(Params):
    """Settings of a pretended staining."""

    preset: Literal["auto", "VSCyto2D", "none"] = Field("auto", title="Stainer")
    weights: str = Field("", title="Weights file", json_schema_extra={"choices": "stainers"})
    brightness: float = Field(1.0, title="Brightness", ge=0, le=10)
    channels: tuple[str, ...] = Field(
        ("nuclei_prediction", "membrane_prediction"), title="What to stain"
    )
    device: Device = Field(Device.AUTO, title="Device")


class Stain:
    """A time point each time it is let; the last channel is ten times as bright as the first."""

    def __init__(self) -> None:
        self.steps = threading.Semaphore(0)
        self.seen: list[FakeParams] = []
        self.fails = False
        self.note = ""

    def __call__(self, dataset: Any, params: Any, job: Any) -> None:
        method = find_method("stain")
        self.seen.append(params)
        with recorded(dataset, method, params):
            if self.note:
                job.note(self.note)
            for fov in job.track(dataset.fovs, "stain"):
                key, names = result_key(method, params, source_key(fov)), params.channels
                writer = FovWriter(dataset.workspace, "stain", fov, key, names, np.float32)
                start = writer.next_time
                for t in job.track(range(start, fov.shape[0]), fov.name, fov.shape[0], start):
                    while not self.steps.acquire(timeout=0.02):
                        job.check()
                    if self.fails:
                        raise InvalidInput("The network is out of colour: refill it.")
                    made = np.full((len(names), *fov.shape[1:]), t + 1, np.float32)
                    made[:, :, :4] = 0
                    made[-1] *= 10 if len(names) > 1 else 1
                    writer.write(t, made * params.brightness)
                    job.made(writer.part(t))
                writer.publish()


def install(monkeypatch: Any) -> Stain:
    """Make it the only method of staining there is."""
    fake = Stain()
    module = ModuleType("napari_dynaclr.fakestain")
    module.stain, module.FakeParams = fake, FakeParams  # type: ignore[attr-defined]
    monkeypatch.setattr(FakeParams, "__module__", "napari_dynaclr.fakestain")
    monkeypatch.setitem(sys.modules, "napari_dynaclr.fakestain", module)
    others = tuple(method for method in registry.METHODS if method.stage != "stain")
    method = Method("stain", "cytoland", "A pretended network", "fakestain", "FakeParams")
    monkeypatch.setattr(registry, "METHODS", (method, *others))
    return fake
