from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weights import PRESETS
from napari_dynaclr.embedding.cell_patches import Window
from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
from napari_dynaclr.embedding.dynaclr.recipe import Recipe, choose_channels, make_window

PUBLISHED = [preset for preset in PRESETS.values() if preset.use == "embed"]


@pytest.mark.parametrize("preset", PUBLISHED, ids=lambda preset: preset.name)
def test_every_preset_is_a_whole_recipe_for_its_encoder(preset):
    recipe = Recipe.of(preset.settings, preset.name)
    depth = preset.settings["depth"]
    stem = (1 if depth == 1 else 5, 4, 4)
    config = EncoderConfig(preset.network, len(recipe.source_channels), depth, stem, stem)
    dataset = SimpleNamespace(channels=[*recipe.source_channels, "another"])
    window, told = make_window(recipe, config, dataset, allow_empty=False)
    assert told == []
    if preset.name == "DynaCLR-DENV-VS+Ph":
        assert window == Window(
            ("Phase3D", "RFP"), (30, 160, 160), 15, ("mean-std", "cell-percentiles")
        )


def test_what_is_chosen_goes_before_what_a_file_or_preset_says():
    chosen = Recipe(patch_size=64, z_start=0)
    both = chosen.over(Recipe(patch_size=160, z_start=15, normalization=("none",)))
    assert both == Recipe(patch_size=64, z_start=0, normalization=("none",))


@pytest.mark.parametrize(
    "about", [{"patch_size": "big"}, {"normalization": ["mean"]}, {"z_start": -1}]
)
def test_nonsense_in_a_file_is_one_line(about):
    with pytest.raises(
        InvalidInput, match=rf"a\.pt says something wrong about its {next(iter(about))}"
    ):
        Recipe.of(about, "a.pt")


def test_as_many_channels_as_there_are_need_no_choice():
    assert choose_channels(None, 2, ["A", "B"]) == ("A", "B")
    assert choose_channels(["B", "A"], 2, ["A", "B", "C"]) == ("B", "A")
    with pytest.raises(InvalidInput, match="Choose the 1 channel that the weights take, in their"):
        choose_channels(None, 1, ["A", "B"])
