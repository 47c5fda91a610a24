"""Training in processes of its own: shared among two, killed, and from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from napari_dynaclr.embedding.dynaclr.checkpoint import load_encoder

SETTINGS = ["--channels", "Phase", "--channels", "Sensor", "--patch-size", "32", "--batch-size",
            "16", "--border", "reflect", "--device", "cpu"]  # fmt: skip

pytestmark = pytest.mark.slow


def command(dataset, *more):
    code = "from napari_dynaclr.cli import main; main()"
    return [sys.executable, "-c", code, "train", str(dataset.root), "--workspace",
            str(dataset.workspace.path), *SETTINGS, *more]  # fmt: skip


def script(dataset, tmp_path, *more):
    """The command as a file: Lightning starts the other processes by running it again."""
    file = tmp_path / "napari-dynaclr"
    file.write_text("from napari_dynaclr.cli import main\n\nmain()\n")
    return [sys.executable, str(file), *command(dataset, *more)[3:]]


def test_two_processes_share_a_training(processed, tmp_path):
    done = subprocess.run(
        script(processed, tmp_path, "--epochs", "2", "--devices", "2"),
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("train: results in") == 1
    metrics = pd.read_csv(processed.workspace.trained("encoder").with_suffix("") / "metrics.csv")
    assert metrics["epoch"].tolist() == [1, 2]
    assert [run["status"] for run in processed.workspace.runs()].count("finished") >= 1
    assert [run["stage"] for run in processed.workspace.runs()].count("train") == 1
    load_encoder(processed.workspace.trained("encoder"))


def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(processed):
    whole = command(processed, "--epochs", "4", "--name", "whole")
    assert subprocess.run(whole, capture_output=True, timeout=300, check=False).returncode == 0
    cut = command(processed, "--epochs", "4", "--name", "cut")
    process = subprocess.Popen(cut, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last = processed.workspace.trained("cut").with_suffix("") / "last.ckpt"
    for _ in range(3000):
        if last.exists() or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert last.exists()
    done = subprocess.run(cut, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "goes on where it was interrupted" in done.stderr
    states = [
        load_encoder(processed.workspace.trained(name)).network.state_dict()
        for name in ("whole", "cut")
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_ctrl_c_is_one_line_and_the_training_can_go_on(processed):
    process = subprocess.Popen(
        command(processed, "--epochs", "1000"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    last = processed.workspace.trained("encoder").with_suffix("") / "last.ckpt"
    for _ in range(3000):
        if last.exists() or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "Run the same command again to resume." in errors
    assert not processed.workspace.trained("encoder").exists()
