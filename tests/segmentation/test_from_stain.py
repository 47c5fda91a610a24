"""What is made from a virtual stain depends on it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr import embed, open_dataset, segment, track
from napari_dynaclr.core.errors import MissingInput
from napari_dynaclr.core.normalize import statistics
from napari_dynaclr.core.plate_writer import FovWriter
from napari_dynaclr.core.registry import parse

FOV = "A/1/0"


@pytest.fixture
def one(dataset):
    """One FOV of the plate."""
    dataset.select([FOV]).workspace.prepare(dataset.channels)
    return dataset.select([FOV])


def stain(dataset, key, brightness=1.0):
    """Write a stain, a copy of the true nuclei."""
    fov = dataset[FOV]
    writer = FovWriter(
        dataset.workspace, "stain", fov, key, ["nuclei_prediction"], dtype=np.float32
    )
    for t, frame in fov.frames(["Nuclei"]):
        writer.write(t, frame.astype(np.float32) * brightness)
    writer.publish()
    dataset.refresh()


def test_a_stain_made_anew_puts_what_was_made_from_it_out_of_date(one):
    stain(one, "first")
    params = parse("segment", "threshold", {"channel": "nuclei_prediction"})
    first = segment(one, params)
    track(one)
    assert one.workspace.tracks(one[FOV]).shape[0] == first["cells"].sum()
    stain(one, "second", brightness=0.5)
    with pytest.raises(MissingInput, match="Out of date for FOV A/1/0: segmented cells"):
        track(one)
    with pytest.raises(MissingInput, match="Out of date for FOV A/1/0: tracks"):
        embed(one)
    segment(one, params)
    track(one)
    embed(one)
    one.workspace.require("embeddings.features", one[FOV], "embedding", "embed")


def test_what_was_made_from_the_source_stays(one):
    stain(one, "first")
    segment(one, parse("segment", "threshold", {"channel": "Nuclei"}))
    track(one)
    embed(one, parse("embed", "features", {"channels": ["Phase"]}))
    stain(one, "second")
    assert not one.workspace.outdated("tracks", one[FOV])
    assert not one.workspace.outdated("embeddings.features", one[FOV])


def test_a_stain_that_is_being_replaced_is_not_read(one):
    stain(one, "first")
    one.workspace.forget("stain", one[FOV])
    with pytest.raises(MissingInput, match="No virtual stain found for FOV A/1/0: run 'stain'"):
        segment(one, parse("segment", "threshold", {"channel": "nuclei_prediction"}))


def test_statistics_are_those_of_the_stain_that_is_there(one):
    stain(one, "first")
    before = statistics(one, one[FOV], ["nuclei_prediction", "Phase"])
    stain(one, "second", brightness=0.5)
    after = statistics(open_dataset(one.root, one.workspace.path), one[FOV], ["nuclei_prediction"])
    mean = before["nuclei_prediction"]["mean"]
    assert after["nuclei_prediction"]["mean"] == pytest.approx(mean / 2, rel=1e-4)


def test_the_source_s_channels_are_told_from_the_stain_s(one):
    stain(one, "first")
    assert one.source_channels == ["Phase", "Nuclei", "Membrane", "Sensor"]
    assert one.channels == [*one.source_channels, "nuclei_prediction"]
