from __future__ import annotations

import pytest

from napari_dynaclr.core.weights import PRESETS
from napari_dynaclr.session.stock import describe, stock


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DYNACLR_CACHE", str(tmp_path))
    return tmp_path


def test_it_tells_what_is_here_from_what_has_to_be_downloaded(cache):
    assert not stock("stain")["VSCyto3D"].here
    (cache / PRESETS["VSCyto3D"].file_name).write_bytes(bytes(2_000_000))
    found = stock("stain")
    assert {name for name, one in found.items() if one.here and not one.packaged} == {"VSCyto3D"}
    assert found["VSCyto3D"].describe() == "downloaded (2 MB)"
    assert found["VSNeuromast"].describe() == "downloaded at the first use (160 MB or more)"


def test_what_comes_with_the_package_needs_no_download():
    sample = stock("embed")["simulated-infection"]
    assert (sample.here, sample.packaged) == (True, True)
    assert sample.describe() == "comes with this plugin"


@pytest.mark.parametrize("use", ["embed", "stain", "imagenet"])
def test_each_is_of_its_use(use):
    assert set(stock(use)) == {one.name for one in PRESETS.values() if one.use == use}


def test_a_choice_is_described_in_a_line(cache):
    nothing = "Published weights are downloaded at their first use."
    assert describe(stock("stain"), "auto") == nothing
    assert describe(stock("stain"), "none") == ""
    assert describe({}, "VSCyto2D") == ""
    (cache / PRESETS["VSCyto2D"].file_name).write_bytes(bytes(1_000_000))
    assert describe(stock("stain"), "VSCyto2D") == "VSCyto2D: downloaded (1 MB)."
    assert describe(stock("stain"), "auto").startswith("Downloaded: VSCyto2D.")


def test_of_a_choice_that_goes_by_the_images_it_says_what_is_chosen(cache):
    sample = describe(stock("stain"), "auto", "simulated-cells")
    assert sample == "auto is simulated-cells here: comes with this plugin."
    other = describe(stock("stain"), "auto", "VSCyto2D")
    assert other == "auto is VSCyto2D here: downloaded at the first use (125 MB or more)."
