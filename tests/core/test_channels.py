"""Names of channels, as people give them."""

from __future__ import annotations

import pytest

from napari_dynaclr.core.channels import is_label_free, named_after, prediction_of


@pytest.mark.parametrize(
    "name",
    [
        "Phase3D",
        "phase contrast",
        "Channels_Phase",
        "DIC",
        "brightfield",
        "Bright-field",
        "BF",
        "ch0_BF",
        "Trans",
        "transmitted light",
        "QPI",
        "DPC",
        "Retardance",
        "State0_label-free",
    ],
)
def test_label_free_channels_are_known(name):
    assert is_label_free(name)


@pytest.mark.parametrize(
    "name",
    [
        "Nuclei",
        "GFP EX488 EM525-45",
        "nuclei_prediction",
        "Sensor",
        "mCherry-Transferrin",
        "Transgene GFP",
        "S-phase FUCCI",
        "G1-phase",
        "BrightViolet421",
    ],
)
def test_fluorescence_is_not_label_free(name):
    assert not is_label_free(name)


def test_the_plainest_word_decides():
    assert named_after("nuclei", ["Phase", "H2B-mIFP", "nuclei_prediction"]) == "nuclei_prediction"
    assert named_after("nuclei", ["Phase", "Nuclei", "nuclei_prediction"]) == "Nuclei"
    assert named_after("membrane", ["Phase", "CAAX-mScarlet"]) == "CAAX-mScarlet"
    assert named_after("membrane", ["Phase", "Nuclei"]) is None


def test_a_virtual_stain_is_named_after_its_channel():
    assert prediction_of("Nuclei") == "nuclei_prediction"
    assert prediction_of("Plasma membrane") == "plasma_membrane_prediction"
