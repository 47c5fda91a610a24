from __future__ import annotations

import pytest
from qtpy.QtCore import QSettings

from napari_dynaclr.gui import settings
from napari_dynaclr.gui.settings import recall, remember


@pytest.mark.parametrize(
    "value",
    ["text", "", 3, 0.25, True, None, [], ["a", "b"], {"knn": 5, "channels": ["A", "B"]}, "ü µm"],
    ids=repr,
)
def test_what_is_remembered_comes_back_as_it_was(value):
    remember("params/track/laptrack", value)
    found = recall("params/track/laptrack", "another")
    assert found == value
    assert type(found) is type(value)


def test_what_was_never_remembered_is_the_default():
    assert recall("nothing") is None
    assert recall("nothing", ["a"]) == ["a"]


def test_names_do_not_disturb_each_other():
    remember("method/segment", "threshold")
    remember("method/track", "laptrack")
    remember("method/segment", "import")
    assert (recall("method/segment"), recall("method/track")) == ("import", "laptrack")


def test_it_is_in_a_file_that_the_next_session_reads(tmp_path, monkeypatch):
    file = str(tmp_path / "own.ini")
    stores = [QSettings(file, QSettings.Format.IniFormat) for _ in range(2)]
    monkeypatch.setattr(settings, "_store", lambda: stores[0])
    remember("recent", ["/data/plate.zarr"])
    stores[0].sync()
    monkeypatch.setattr(settings, "_store", lambda: stores[1])
    assert recall("recent") == ["/data/plate.zarr"]
    assert "recent" in (tmp_path / "own.ini").read_text()


@pytest.mark.parametrize("broken", ["{", "not json", "[1, 2", b"bytes", 7])
def test_what_cannot_be_read_is_the_default(broken):
    settings._store().setValue("recent", broken)
    assert recall("recent", ["default"]) == ["default"]


def test_the_real_store_is_the_users_and_ours(monkeypatch):
    monkeypatch.undo()
    store = settings._store()
    assert "napari-dynaclr" in store.fileName()
    assert store.format() == QSettings.Format.IniFormat
