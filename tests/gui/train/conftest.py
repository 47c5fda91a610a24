"""A pretended training: as quick as it is let, with the figures that it is told."""

from __future__ import annotations

import json
import sys
import threading
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from pydantic import Field
from safetensors.numpy import save_file

from napari_dynaclr.core import registry
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Figures
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.registry import Method, find_method
from napari_dynaclr.core.runs import recorded


class FakeTrainParams(Params):
    """Settings of a pretended training."""

    name: str = Field("mine", title="Name")
    epochs: int = Field(10, title="Epochs", ge=1)


class Train:
    """An epoch each time it is let; goes on where it was cancelled."""

    def __init__(self):
        self.steps = threading.Semaphore(0)
        self.fails = False
        self.seen = []
        self.pictures = {}
        self.about = None

    def values(self, epoch):
        found = {"loss": 3 / epoch, "validation_loss": 4 / epoch, "seconds": 1.5}
        return found | {"smoothness": 0.5 / epoch, "rank": float(epoch)} if epoch > 1 else found

    def save(self, file):
        if self.about is None:
            file.write_bytes(b"weights")  # of some tool that says nothing of them
        else:
            metadata = {"napari_dynaclr": json.dumps(self.about)}
            save_file({"a": np.zeros(1)}, file, metadata)

    def __call__(self, dataset, params, job):
        self.seen.append((params, dataset.fov_names))
        folder = dataset.workspace.path / "weights"
        metrics = folder / params.name / "metrics.csv"
        with recorded(dataset, find_method("train"), params):
            metrics.parent.mkdir(parents=True, exist_ok=True)
            rows = pd.read_csv(metrics).to_dict("records") if metrics.exists() else []
            epochs = range(len(rows) + 1, params.epochs + 1)
            for epoch in job.track(epochs, "train", total=params.epochs, done=len(rows)):
                while not self.steps.acquire(timeout=0.02):
                    job.check()
                    if job.finishing:
                        break
                if self.fails:
                    raise InvalidInput("There is nothing to learn from: track more cells.")
                if job.finishing:
                    break
                rows.append({"epoch": epoch, **self.values(epoch)})
                pd.DataFrame(rows).to_csv(metrics, index=False)
                shown = {name: one / epoch for name, one in self.pictures.items()}
                job.measured(Figures(epoch, self.values(epoch), shown))
            self.save(folder / f"{params.name}.safetensors")
        return pd.DataFrame(rows)


@pytest.fixture
def training(monkeypatch):
    """The only training method there is; it goes on when it is let."""
    fake = Train()
    module = ModuleType("napari_dynaclr.faketrain")
    module.train, module.FakeTrainParams = fake, FakeTrainParams
    monkeypatch.setattr(FakeTrainParams, "__module__", "napari_dynaclr.faketrain")
    monkeypatch.setitem(sys.modules, "napari_dynaclr.faketrain", module)
    others = tuple(method for method in registry.METHODS if method.stage != "train")
    method = Method("train", "fake", "A pretended training", "faketrain", "FakeTrainParams")
    monkeypatch.setattr(registry, "METHODS", (*others, method))
    monkeypatch.setattr(registry, "_ELSEWHERE", {})  # it has a verb of its own
    yield fake
    fake.steps.release(1000)
