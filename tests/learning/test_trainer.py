from __future__ import annotations

import os
import pickle

import pytest
import torch

from napari_dynaclr.core.device import Device
from napari_dynaclr.core.errors import Cancelled, InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.learning.params import TrainingParams
from napari_dynaclr.learning.trainer import AtomicCheckpoints, make_trainer


class Evil:
    def __reduce__(self):
        return os.system, ("touch came-true",)


def test_checkpoints_come_back_as_they_were(tmp_path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpoints(Job()).save_checkpoint({"epoch": 3, "weights": torch.arange(4)}, path)
    found = AtomicCheckpoints(Job()).load_checkpoint(path)
    assert found["epoch"] == 3
    assert torch.equal(found["weights"], torch.arange(4))
    AtomicCheckpoints(Job()).remove_checkpoint(path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    AtomicCheckpoints(Job()).save_checkpoint({"epoch": 3}, path)

    def broken(_checkpoint, file):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        AtomicCheckpoints(Job()).save_checkpoint({"epoch": 4}, path)
    assert AtomicCheckpoints(Job()).load_checkpoint(path) == {"epoch": 3}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("what", ["cut", "program", "nonsense"])
def test_what_is_no_checkpoint_is_refused_and_not_run(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.ckpt"
    torch.save({"weights": torch.arange(1000)}, path)
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[:1000], "program": pickle.dumps(Evil()), "nonsense": b"abc"}[what]
    )
    with pytest.raises(InvalidInput, match=r"last\.ckpt is damaged: delete .* to train from"):
        AtomicCheckpoints(Job()).load_checkpoint(path)
    assert not (tmp_path / "came-true").exists()


def test_nothing_is_written_any_more_once_the_job_is_cancelled(tmp_path):
    job = Job()
    AtomicCheckpoints(job).save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    job.cancel()
    with pytest.raises(Cancelled):
        AtomicCheckpoints(job).save_checkpoint({"epoch": 2}, tmp_path / "last.ckpt")
    assert AtomicCheckpoints(job).load_checkpoint(tmp_path / "last.ckpt") == {"epoch": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_more_devices_than_there_are_is_one_line(tmp_path):
    with pytest.raises(InvalidInput, match="has 1 MPS device, 2 are asked for"):
        make_trainer(TrainingParams(devices=2), Device.MPS, tmp_path, Job())
    with pytest.raises(InvalidInput, match="The training cannot be set up: "):
        make_trainer(TrainingParams(), Device.MPS, tmp_path, Job())


def test_mixed_precision_is_for_gpus_unless_it_is_asked_for(tmp_path):
    def precision(**values):
        return make_trainer(TrainingParams(**values), Device.CPU, tmp_path, Job()).precision

    assert precision() == precision(precision="full") == "32-true"
    assert precision(precision="mixed") == "bf16-mixed"
