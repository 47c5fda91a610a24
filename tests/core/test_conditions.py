from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.conditions import find_conditions, keep_conditions, read_conditions
from napari_dynaclr.core.errors import InvalidInput


@pytest.fixture
def dataset(make_plate):
    image = np.ones((1, 1, 1, 4, 4), np.uint8)
    return open_dataset(make_plate("mine.zarr", dict.fromkeys(["A/1/0", "A/1/1", "B/12/0"], image)))


@pytest.fixture
def write(tmp_path):
    def to(text: str):
        (tmp_path / "table.csv").write_text(text, encoding="utf-8")
        return tmp_path / "table.csv"

    return to


def test_without_a_table_rows_are_conditions(dataset):
    assert find_conditions(dataset) == {"A/1": "A", "B/12": "B"}


def test_wells_may_be_written_in_several_ways(dataset, write):
    for text in (
        "well,condition\nA/1,mock\nB/12,drug\n",
        "well,condition,note\nA1,mock,x\nb12,drug,y\n",
        "well,condition\nA01, mock\nB12,drug \n",
        "fov_name,condition\nA/1/0,mock\nA/1/1,mock\nB/12/0,drug\n",
        "well,condition,plate\nA/1,mock,\nA/1,other,yours\nB/12,drug,mine\n",
        "well;condition\nA1;mock\nB12;drug\n",
        "well,condition\nA/01,mock\nb/012,drug\n",
        "\ufeffwell\tcondition\nA1\tmock\nB12\tdrug\n",
    ):
        assert find_conditions(dataset, str(write(text))) == {"A/1": "mock", "B/12": "drug"}, text


def test_a_well_that_is_not_in_it_has_no_condition(dataset, write):
    found = find_conditions(dataset, str(write("well,condition\nA/1,1\n")))
    assert found == {"A/1": "1", "B/12": ""}


def test_conditions_are_what_is_written(dataset, write):
    found = find_conditions(dataset, str(write("well,condition\nA/1,None\nB/12,1.0\n")))
    assert found == {"A/1": "None", "B/12": "1.0"}


def test_what_was_kept_is_found_again(dataset, write):
    dataset.workspace.prepare(dataset.channels)
    keep_conditions(dataset, str(write("well,condition\nA/1,mock\n")))
    write("well,condition\nA/1,changed\n")
    assert find_conditions(dataset)["A/1"] == "mock"
    # A selection of FOVs is still of the same plate.
    assert find_conditions(dataset.select(["A/1/0"]))["A/1"] == "mock"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("well,what\nA/1,mock\n", r"lacks the column condition: it has well, what"),
        ("well,condition\nA/1,mock\nA/1,drug\n", r"gives well A/1 two conditions"),
        ("well,condition\nA/1,\n", r"names no condition"),
        ("well,condition\nC/3,mock\n", r"names wells that mine\.zarr does not have \(C/3\): it h"),
        ("well,condition,plate\nA/1,mock,yours\n", r"says nothing of plate 'mine'"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(dataset, write, text, said):
    with pytest.raises(InvalidInput, match=said) as error:
        find_conditions(dataset, str(write(text)))
    assert "\n" not in str(error.value)


def test_a_plate_may_write_its_wells_with_zeros(make_plate, write):
    image = np.ones((1, 1, 1, 4, 4), np.uint8)
    dataset = open_dataset(make_plate("zeros.zarr", dict.fromkeys(["A/01/0", "A/10/0"], image)))
    found = find_conditions(dataset, str(write("well,condition\nA1,mock\nA/10,drug\n")))
    assert found == {"A/01": "mock", "A/10": "drug"}


def test_a_table_of_another_encoding_is_one_line(dataset, tmp_path):
    (tmp_path / "latin.csv").write_bytes("well,condition\nA/1,1 µM\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"latin.csv is not text in UTF-8: save the conditions"):
        find_conditions(dataset, str(tmp_path / "latin.csv"))


def test_a_missing_table_is_one_line(tmp_path):
    with pytest.raises(InvalidInput, match="is no file: check the path of the conditions table"):
        read_conditions(tmp_path / "none.csv")
