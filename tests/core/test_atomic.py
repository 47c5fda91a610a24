from __future__ import annotations

import pandas as pd
import pytest

from napari_dynaclr.core.atomic import (
    atomic_file,
    clear_replaced,
    remove,
    replace_folder,
    write_csv,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_folder(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "µm")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "µm".encode()
    assert names(tmp_path / "a") == ["b.txt"]


def test_a_file_is_replaced(tmp_path):
    file = tmp_path / "b.txt"
    write_text(file, "old and long")
    write_text(file, "new")
    assert file.read_text() == "new"


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "b.txt"
    write_text(file, "old")
    with pytest.raises(KeyError), atomic_file(file) as temporary:
        temporary.write_text("half")
        raise KeyError("x")
    assert file.read_text() == "old"
    assert names(tmp_path) == ["b.txt"]


def test_nothing_stands_under_the_name_before_the_end(tmp_path):
    file = tmp_path / "picture.png"
    with atomic_file(file) as temporary:
        temporary.write_text("half")
        assert not file.exists()
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".png"
    assert file.read_text() == "half"


def test_csv_has_no_index(tmp_path):
    table = pd.DataFrame({"a": [1, 2]}, index=[7, 8])
    write_csv(tmp_path / "a.csv", table)
    assert pd.read_csv(tmp_path / "a.csv").equals(pd.DataFrame({"a": [1, 2]}))


def folder_with(path, text):
    path.mkdir(parents=True)
    (path / text).write_text(text)
    return path


def test_replace_folder_takes_the_place_of_the_old(tmp_path):
    target = folder_with(tmp_path / "t", "old")
    replace_folder(folder_with(tmp_path / "s", "new"), target)
    assert names(target) == ["new"]
    assert names(tmp_path) == ["t"]


def test_replace_folder_makes_the_folders_above(tmp_path):
    replace_folder(folder_with(tmp_path / "s", "new"), tmp_path / "a" / "b" / "t")
    assert names(tmp_path / "a" / "b" / "t") == ["new"]


def test_what_was_replaced_is_cleared_once_the_new_one_is_there(tmp_path):
    old = folder_with(tmp_path / ".t.old", "old")
    clear_replaced(tmp_path / "t")
    assert old.exists(), "it is all there is"
    folder_with(tmp_path / "t", "new")
    clear_replaced(tmp_path / "t")
    assert names(tmp_path) == ["t"]


def test_replace_folder_clears_what_a_crash_left(tmp_path):
    folder_with(tmp_path / ".t.old", "older")
    target = folder_with(tmp_path / "t", "old")
    replace_folder(folder_with(tmp_path / "s", "new"), target)
    assert names(tmp_path) == ["t"]


def test_a_crash_between_the_two_renames_loses_nothing(tmp_path, monkeypatch):
    target = folder_with(tmp_path / "t", "old")
    source = folder_with(tmp_path / "s", "new")
    plain = type(target).rename

    def crash(self, other):
        if self == source:
            raise KeyboardInterrupt
        return plain(self, other)

    monkeypatch.setattr(type(target), "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(source, target)
    assert names(source) == ["new"]
    assert names(tmp_path / ".t.old") == ["old"]
    monkeypatch.undo()
    replace_folder(source, target)
    assert names(tmp_path) == ["t"]
    assert names(target) == ["new"]


def test_remove_takes_files_folders_and_nothing(tmp_path):
    folder_with(tmp_path / "d", "x")
    (tmp_path / "f").write_text("x")
    for name in ("d", "f", "absent"):
        remove(tmp_path / name)
    assert names(tmp_path) == []
