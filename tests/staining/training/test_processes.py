"""Training a stainer in processes of its own: shared among two, and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from napari_dynaclr.staining.checkpoint import load_stainer

SETTINGS = ["--method", "staining", "--patch-size", "64", "--patches", "8", "--batch-size", "4",
            "--device", "cpu"]  # fmt: skip

pytestmark = pytest.mark.slow


def command(dataset, *more):
    code = "from napari_dynaclr.cli import main; main()"
    return [sys.executable, "-c", code, "train", str(dataset.root), "--workspace",
            str(dataset.workspace.path), *SETTINGS, *more]  # fmt: skip


def test_two_processes_share_a_training(dataset, tmp_path):
    # As a file: Lightning starts the other process by running it again.
    file = tmp_path / "napari-dynaclr"
    file.write_text("from napari_dynaclr.cli import main\n\nmain()\n")
    done = subprocess.run(
        [sys.executable, str(file), *command(dataset, "--epochs", "2", "--devices", "2")[3:]],
        capture_output=True, text=True, timeout=600, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics = pd.read_csv(dataset.workspace.trained("stainer").with_suffix("") / "metrics.csv")
    assert metrics["epoch"].tolist() == [1, 2]
    load_stainer(dataset.workspace.trained("stainer"))


def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(dataset):
    whole = command(dataset, "--epochs", "4", "--name", "whole")
    assert subprocess.run(whole, capture_output=True, timeout=600, check=False).returncode == 0
    cut = command(dataset, "--epochs", "4", "--name", "cut")
    process = subprocess.Popen(cut, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last = dataset.workspace.trained("cut").with_suffix("") / "last.ckpt"
    for _ in range(10_000):
        if last.exists() or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert last.exists()
    done = subprocess.run(cut, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "goes on where it was interrupted" in done.stderr
    states = [
        load_stainer(dataset.workspace.trained(name)).network.state_dict()
        for name in ("whole", "cut")
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
