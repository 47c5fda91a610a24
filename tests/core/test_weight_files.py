from __future__ import annotations

import hashlib
import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_dynaclr import Job
from napari_dynaclr.core.errors import Cancelled, InvalidInput
from napari_dynaclr.core.weight_files import (
    METADATA,
    WeightKind,
    about_weights,
    check_whole,
    sha256,
    weight_kind,
)


def archive(path, size=100_000):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
        file.writestr("archive/data/0", bytes(range(256)) * (size // 256))
    return path


def safetensors(path, size=64):
    header = json.dumps(
        {
            "__metadata__": {"a": "b"},
            "w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]},
        }
    ).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    return path


def pickle(path):
    path.write_bytes(b"\x80\x02}.")
    return path


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (archive, WeightKind.ZIP),
        (safetensors, WeightKind.SAFETENSORS),
        (pickle, WeightKind.PICKLE),
    ],
)
def test_the_content_tells_the_form_not_the_name(tmp_path, make, kind):
    path = make(tmp_path / "weights.bin")
    assert weight_kind(path) is kind
    assert check_whole(path, contents=True) is kind


@pytest.mark.parametrize("make", [archive, safetensors])
@pytest.mark.parametrize("left", [0.3, 0.9, 0.999])
def test_a_cut_file_is_noticed(tmp_path, make, left):
    path = make(tmp_path / "weights")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(InvalidInput, match="cut short or damaged: delete it and get it again"):
        check_whole(path)


def test_a_changed_byte_is_noticed_by_the_checksums_of_an_archive(tmp_path):
    path = archive(tmp_path / "weights")
    content = bytearray(path.read_bytes())
    content[50_000] ^= 1
    path.write_bytes(content)
    check_whole(path)
    with pytest.raises(InvalidInput, match="damaged"):
        check_whole(path, contents=True)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"PK", b"\x93NUMPY"])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="is no checkpoint"):
        check_whole(path)


@pytest.mark.parametrize("header", [b"{}", b"{]", b'{"w": 3}', b'{"w": {"data_offsets": [0]}}'])
def test_a_nonsense_header_is_refused(tmp_path, header):
    path = tmp_path / "weights"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"rest")
    with pytest.raises(InvalidInput, match="damaged"):
        check_whole(path)


def test_the_hash_is_that_of_the_whole_file(tmp_path):
    path = archive(tmp_path / "weights", 5_000_000)
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        sha256(path, job)
    with pytest.raises(InvalidInput, match="There is no weights file"):
        sha256(tmp_path / "absent")


def test_a_file_of_ours_says_what_it_is_without_its_weights_being_read(tmp_path):
    file = tmp_path / "mine.safetensors"
    save_file({"a": np.ones(3)}, file, {METADATA: '{"depth": 5}'})
    assert about_weights(file) == {"depth": 5}
    save_file({"a": np.ones(3)}, file, {METADATA: "[1"})
    assert about_weights(file) == {}
    save_file({"a": np.ones(3)}, file)
    assert about_weights(file) == {}


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0[1, 2,3]", b"\xff" * 30])
def test_of_what_is_no_such_file_nothing_is_known(tmp_path, content):
    file = tmp_path / "other"
    assert about_weights(file) == {}
    file.write_bytes(content)
    assert about_weights(file) == {}
