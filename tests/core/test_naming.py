from __future__ import annotations

import pytest
from pydantic import Field

from napari_dynaclr.core.naming import as_options, by_titles
from napari_dynaclr.core.params import Params


class Some(Params):
    patch_size: int = Field(96, title="Patch size (pixels)")
    channel: str = Field("", title="Channel")
    empty_frames: str = Field("refuse", title="Empty frames")
    aggregate: bool = Field(True, title="Aggregation")
    alpha: float = Field(1.0, title="Alignment (alpha)")


@pytest.mark.parametrize(
    ("text", "option", "title"),
    [
        ("alpha = 3: too much.", "--alpha = 3: too", "'Alignment (alpha)' = 3: too"),
        ("Choose a smaller patch_size.", "--patch-size.", "'Patch size (pixels)'."),
        ("patch_size = 2: too small.", "--patch-size = 2:", "'Patch size (pixels)' = 2:"),
        ("Say which with channel=: A, B.", "with --channel: A", "with 'Channel': A"),
        ("Give empty_frames=skip.", "Give --empty-frames skip.", "Give 'Empty frames' = skip."),
        ("Do without (aggregate=False).", "(--no-aggregate).", "('Aggregation' off)."),
        ("Say aggregate=True, too.", "Say --aggregate, too.", "Say 'Aggregation' on, too."),
        (
            "Made with alpha=0.5, so.",
            "with --alpha 0.5, so.",
            "'Alignment (alpha)' = 0.5, so.",
        ),
    ],
)
def test_settings_go_by_the_names_that_the_reader_knows(text, option, title):
    assert option in as_options(text, Some)
    assert title in by_titles(text, Some)


@pytest.mark.parametrize(
    "text",
    [
        "Choose another channel, or alpha.",
        "/data/patch_size.csv lacks a column.",
        "my_patch_size and patch_sizes are others.",
        "unknown setting 'patch_size' of something.",
        "other=3 and other_size are nobody's.",
    ],
)
def test_other_words_stay(text):
    assert as_options(text, Some) == by_titles(text, Some) == text
