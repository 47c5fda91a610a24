from __future__ import annotations

import pytest
from plain import plain_bench, shut

from napari_dynaclr.gui.colouring import choose_colour, recall_colour
from napari_dynaclr.gui.settings import remember
from napari_dynaclr.session.colours import ColourBy, Kind


@pytest.fixture
def benches(qtbot):
    """Two viewers' workbenches: this session's and the next one's, or two side by side."""
    made = plain_bench(), plain_bench()
    yield made
    for one in made:
        shut(one, qtbot)


@pytest.mark.parametrize(
    "colour", [ColourBy(Kind.TRACK), ColourBy(Kind.PREDICTION, "infection")], ids=str
)
def test_a_choice_is_that_of_the_next_session_too(benches, colour):
    this, following = benches
    recall_colour(this)
    assert this.session.colour_by == ColourBy()
    choose_colour(this, colour)
    assert this.session.colour_by == colour
    recall_colour(following)
    assert following.session.colour_by == colour


def test_a_choice_in_another_viewer_changes_nothing_here(benches):
    one, two = benches
    recall_colour(two)
    choose_colour(one, ColourBy(Kind.TRACK))
    recall_colour(two)
    assert two.session.colour_by == ColourBy()


def test_what_was_chosen_here_before_a_widget_asks_stays(benches):
    one, two = benches
    choose_colour(two, ColourBy(Kind.WELL))
    choose_colour(one, ColourBy(Kind.TRACK))
    recall_colour(two)
    assert two.session.colour_by == ColourBy(Kind.WELL)


@pytest.mark.parametrize("kept", ["track", ["no such kind", ""], [1], None, {"kind": "track"}])
def test_what_another_version_remembered_does_no_harm(benches, kept):
    remember("colour by", kept)
    recall_colour(benches[0])
    assert benches[0].session.colour_by == ColourBy()
