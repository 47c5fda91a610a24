from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import params, profile
from napari_dynaclr.session import Session
from napari_dynaclr.session.profiles import LEVELS, ProfileMap, profile_names, read_profiles

PLAIN = params("profile", "cells", embedding="features", map="none", standardize="plate")


@pytest.fixture
def profiled(processed):
    profile(processed, PLAIN)
    return processed


def test_every_level_has_its_rows_maps_and_colours(profiled):
    assert profile_names(profiled) == ["features"]
    counts = {}
    for level in LEVELS:
        found = read_profiles(profiled, "features", level)
        counts[level] = len(found)
        assert list(found.maps) == ["pca"]
        assert found.maps["pca"].shape == (len(found), 2)
        assert found.missing == ()
        for name in found.choices():
            palette = found.paint(name)
            assert len(palette.index) == len(found)
        assert "plate" not in found.choices(), "there is one only"
    assert counts == {"field": 40, "well_time": 20, "well": 2}
    field = read_profiles(profiled, "features", "field")
    assert {"condition", "well", "hours", "t", "fov_name", "cells"} == set(field.choices())
    assert dict(field.paint("condition").legend.entries).keys() == {"A", "B"}
    assert field.paint("hours").legend.colormap
    assert field.paint("no such").legend.title == "condition"


def test_a_point_leads_to_its_field_and_time(profiled):
    field = read_profiles(profiled, "features", "field")
    rows = field.at("B/1/1", 3, profiled)
    assert len(rows) == 1
    assert field.place(int(rows[0]), profiled) == ("B/1/1", 3)
    assert field.describe(int(rows[0])).startswith("FOV B/1/1, t=3 (")
    course = field.course(int(rows[0]))
    assert field.rows["t"].to_numpy()[course].tolist() == list(range(10))
    over_time = read_profiles(profiled, "features", "well_time")
    row = int(over_time.at("B/1/1", 3, profiled)[0])
    assert over_time.place(row, profiled) == ("B/1/0", 3), "the first field of the well"
    assert "2 fields" in over_time.describe(row)
    well = read_profiles(profiled, "features", "well")
    row = int(well.at("A/1/0", 7, profiled)[0])
    assert well.place(row, profiled) == ("A/1/0", None)
    assert len(well.course(row)) == 0
    assert well.describe(row).startswith("well A/1, A")


def test_of_another_plate_there_is_nothing_to_go_to(profiled):
    rows = pd.DataFrame({"plate": ["other"], "well": ["A/1"], "fov_name": ["A/1/0"], "t": [0]})
    shown = ProfileMap("mine", "field", rows)
    assert shown.place(0, profiled) is None
    assert len(shown.at("A/1/0", 0, profiled)) == 0, "a field of the same name is another one"


def test_what_is_out_of_date_is_named(profiled):
    profiled.workspace.forget("profiles.features", profiled["A/1/1"])
    assert read_profiles(profiled, "features", "field").missing == ("A/1/1",)


def test_a_session_shows_profiles_of_its_dataset_only(profiled):
    session, heard = Session(), []
    session.profiles.changed.connect(lambda: heard.append(len(session.profiles.shown)))
    session.open(profiled)
    session.profiles.show(read_profiles(profiled, "features", "well"))
    session.profiles.colour_by("well")
    assert session.profiles.map_name == "pca"
    session.profiles.choose_map("none such")
    assert session.profiles.map_name == "pca"
    session.open(None)
    assert heard == [0, 2, 2, 2, 0]
    assert len(session.profiles.shown.paint("condition").index) == 0
    assert not np.any(session.profiles.shown.at("A/1/0", 0, profiled))
