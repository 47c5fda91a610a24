from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from iohub.ngff import open_ome_zarr

from napari_dynaclr import open_dataset
from napari_dynaclr.sample import PhenotypesParams, simulate
from napari_dynaclr.sample.params import CHANNELS
from napari_dynaclr.sample.phenotype import PHENOTYPES, USUAL
from napari_dynaclr.sample.phenotypes import phenotype_layout

if TYPE_CHECKING:
    from pathlib import Path

SMALL = PhenotypesParams(
    wells_per_phenotype=1, fields_per_well=1, time_points=1, size=256, seed=5, cells_per_fov=80
)


@pytest.fixture(scope="module")
def treated(tmp_path_factory, read_back):
    params = SMALL.model_copy(update={"fields_per_well": 2, "unevenness": 0.0})
    return read_back(simulate(tmp_path_factory.mktemp("treated") / "plate.zarr", params))


def test_every_row_and_column_holds_several_phenotypes_and_the_truth_says_which():
    layout = phenotype_layout(PhenotypesParams())
    table = pd.Series(layout.conditions).rename_axis("well").reset_index(name="condition")
    assert len(layout.fields) == 3 * 4 * 4
    assert table["condition"].value_counts().to_dict() == dict.fromkeys(list(PHENOTYPES)[:3], 4)
    table[["row", "column"]] = table["well"].str.split("/", expand=True)
    assert (table.groupby("row")["condition"].nunique() == 3).all()
    assert (table.groupby("column")["condition"].nunique() == 3).all()


def test_the_plate_on_disk(treated):
    truth = treated.path.with_name("plate_truth.zarr")
    conditions = pd.read_csv(truth / "conditions.csv")
    assert conditions.to_dict("list") == {
        "well": ["A/1", "B/1", "C/1"],
        "condition": ["control", "condensed", "ruffled"],
    }
    with open_ome_zarr(treated.path / "A/1/1", layout="fov") as position:
        assert position.channel_names == list(CHANNELS)
        scale, moved = position.metadata.multiscales[0].datasets[0].coordinate_transformations
        assert scale.scale == [1800.0, 1.0, 1.5, 0.55, 0.55]
        # The second of two fields lies to the right of the first.
        assert moved.translation == pytest.approx([0.0, 0.0, 0.0, 0.0, 256 * 0.55])
    assert open_dataset(treated.path)["A/1/1"].scale == (1.5, 0.55, 0.55)


def nuclei_of(simulated, well: str) -> list[np.ndarray]:
    """Pixels of each whole nucleus of a well, in the channel of nuclei."""
    found = []
    for name in (f"{well}/0", f"{well}/1"):
        image = simulated.images[name][0, CHANNELS.index("Nuclei"), 0].astype(float) - 100
        labels = simulated.labels[name][0, 0, 0]
        edge = {*labels[[0, -1]].ravel(), *labels[:, [0, -1]].ravel()}
        states = simulated.annotations.query("fov_name == @name").set_index("track_id")
        for label in set(np.unique(labels)) - edge - {0}:
            if states.loc[label, "cell_division_state"] == "interphase":
                found.append(image[labels == label])
    return found


def test_a_phenotype_is_texture_rather_than_brightness(treated):
    control, condensed = (nuclei_of(treated, well) for well in ("A/1", "B/1"))
    assert min(len(control), len(condensed)) >= 8

    def median(nuclei, measure):
        return float(np.median([measure(pixels) for pixels in nuclei]))

    def rough(pixels):
        return pixels.std() / pixels.mean()

    assert median(condensed, rough) > 1.2 * median(control, rough)
    assert median(condensed, np.size) < 0.95 * median(control, np.size)
    assert median(condensed, np.mean) == pytest.approx(median(control, np.mean), rel=0.15)


def test_without_strength_all_wells_look_alike(tmp_path: Path, read_back):
    for phenotype in PHENOTYPES.values():
        assert phenotype.at(0.0) == USUAL
        assert asdict(phenotype.at(1.0)) == pytest.approx(asdict(phenotype))
    none = SMALL.model_copy(update={"strength": 0.0, "size": 64, "unevenness": 0.0})
    names = read_back(simulate(tmp_path / "none.zarr", none))
    fewer = none.model_copy(update={"phenotypes": 2})
    assert set(fewer.model_dump()) == set(none.model_dump())
    other = read_back(simulate(tmp_path / "fewer.zarr", fewer))
    np.testing.assert_array_equal(names.images["B/1/0"], other.images["B/1/0"])


def test_the_light_is_the_fields_own_and_changes_no_cell(tmp_path: Path, treated, read_back):
    params = SMALL.model_copy(update={"fields_per_well": 2, "unevenness": 0.6})
    uneven = read_back(simulate(tmp_path / "uneven.zarr", params))
    ratios = []
    for name, image in treated.images.items():
        np.testing.assert_array_equal(uneven.labels[name], treated.labels[name])
        seen = uneven.images[name][0].astype(float).mean((1, 2, 3)) / image[0].mean((1, 2, 3))
        ratios.append(seen)
    spread = np.std(np.log(ratios), axis=0)
    assert (spread[1:] > 0.03).all(), "fluorescence"
    assert 0 < spread[0] < spread[1:].mean(), "phase"


def test_part_of_the_light_belongs_to_the_place_in_the_well():
    layout = phenotype_layout(PhenotypesParams(wells_per_phenotype=24, fields_per_well=9))
    gains = pd.DataFrame(
        [{"place": int(f.fov), "gain": np.log(f.light.gain["Nuclei"])} for f in layout.fields]
    )
    between = gains.groupby("place")["gain"].mean().std()
    assert 0.03 < between < gains["gain"].std()
    # The middle field of nine has no side that is nearer to the middle of the well.
    tilts = {
        place: np.mean([f.light.tilt["Nuclei"] for f in layout.fields if int(f.fov) == place], 0)
        for place in (0, 4, 8)
    }
    assert (tilts[0] > 0.05).all()
    assert (tilts[8] < -0.05).all()
    assert np.abs(tilts[4]).max() < 0.05


def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch, read_back, assert_same):
    from napari_dynaclr.sample import plate, simulation

    class Crash(BaseException):
        pass

    monkeypatch.setattr(simulation, "_workers", lambda: 1)
    params = SMALL.model_copy(update={"size": 96})
    finish = plate.PartialPlate.finish_fov

    def crash(self, field, annotations):
        if field.row == "C":
            raise Crash
        finish(self, field, annotations)

    monkeypatch.setattr(plate.PartialPlate, "finish_fov", crash)
    with pytest.raises(Crash):
        simulate(tmp_path / "plate.zarr", params)
    monkeypatch.undo()
    assert (tmp_path / ".plate.zarr.partial" / "done" / "A_1_0.csv").exists()
    resumed = read_back(simulate(tmp_path / "plate.zarr", params))
    assert_same(resumed, read_back(simulate(tmp_path / "fresh.zarr", params)))
    for name in ("plate", "fresh"):
        assert (tmp_path / f"{name}_truth.zarr" / "conditions.csv").exists()
