from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.gui.charts.charts import render
from napari_dynaclr.gui.charts.drawings import Ink
from napari_dynaclr.gui.charts.learning import draw_learning

EPOCHS = np.arange(1, 7)
SMOOTH, RANGE = "smooth-\nness ↓", "dynamic\nrange ↑"
TABLE = pd.DataFrame(
    {
        "epoch": EPOCHS,
        "loss": 3.0 / EPOCHS,
        "validation_loss": [4.0, 3.0, 2.0, 1.0, 2.0, 3.0],
        "smoothness": 0.5 / EPOCHS,
        "dynamic_range": EPOCHS / 10,
        "rank": EPOCHS * 2.0,
    }
)


def axes_of(table):
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    draw_learning(figure, Ink(), table)
    return figure.axes


def named(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_loss_is_above_and_the_embedding_below_it_over_the_same_epochs():
    loss, smoothness, span, rank = axes_of(TABLE)
    assert list(named(loss)) == ["training", "validation"]
    assert [axes.get_ylabel() for axes in (smoothness, span, rank)] == [SMOOTH, RANGE, "rank"]
    np.testing.assert_allclose(named(rank)["rank"].get_ydata(), EPOCHS * 2.0)
    assert {axes.get_xlim() for axes in (loss, smoothness, span, rank)} == {(1.0, 6.0)}
    assert rank.get_xlabel() == "epoch"


def test_the_order_of_frames_is_told_by_region_beside_chance():
    told = {"accuracy": 0.7, "accuracy_division": 0.98, "accuracy_background": 0.5}
    table = pd.DataFrame({"epoch": EPOCHS, "loss": 3.0 / EPOCHS, **told})
    _, order = axes_of(table)
    assert list(named(order)) == ["anywhere", "divisions", "background"]
    [chance] = [line for line in order.lines if line.get_linestyle() == "--"]
    assert set(chance.get_ydata()) == {0.5}
    assert order.get_ylim() == (0, 1), "what is mere chance does not look like much"
    assert order.get_legend() is not None


def test_the_parts_of_a_loss_are_drawn_where_they_are_known():
    parts = {"dino": 4.0, "aggregation": 4.5, "ibot": 5.0, "koleo": -1.0, "spread": 0.8}
    table = pd.DataFrame({"epoch": EPOCHS, "loss": 3.0 / EPOCHS, **parts})
    labels = [axes.get_ylabel() for axes in axes_of(table)]
    assert labels == ["loss", "views ↓", "hidden ↓", "KoLeo ↓", "spread"]
    assert list(named(axes_of(table)[1])) == ["same site", "another site"]
    assert list(named(axes_of(table)[2])) == ["hidden parts"], "of another size"


def test_the_epoch_that_is_kept_has_a_ring():
    loss = axes_of(TABLE)[0]
    [ring] = [line for line in loss.lines if line.get_markerfacecolor() == "none"]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (4, 1.0)


@pytest.mark.parametrize(
    ("gone", "labels"),
    [
        (["smoothness", "dynamic_range"], ["loss", "rank"]),
        (["rank"], ["loss", SMOOTH, RANGE]),
        (["validation_loss", "smoothness", "dynamic_range", "rank"], ["loss"]),
    ],
)
def test_what_was_never_measured_takes_no_room(gone, labels):
    without = axes_of(TABLE.drop(columns=gone))
    assert [axes.get_ylabel() for axes in without] == labels
    empty = TABLE.assign(**dict.fromkeys(gone, np.nan))
    assert [axes.get_ylabel() for axes in axes_of(empty)] == labels


def test_what_was_not_measured_in_an_epoch_leaves_no_gap():
    table = TABLE.assign(rank=[np.nan, 2.0, np.nan, 4.0, np.nan, 6.0])
    line = named(axes_of(table)[3])["rank"]
    np.testing.assert_array_equal(line.get_xdata(), [2, 4, 6])


def test_what_a_tracker_gets_right_is_drawn_together():
    table = TABLE[["epoch", "loss"]].assign(centre_f1=EPOCHS / 7, link_accuracy=EPOCHS / 6)
    loss, right = axes_of(table)
    assert list(named(loss)) == ["training"]
    assert {name: line.get_ydata()[-1] for name, line in named(right).items()} == {
        "centres": 6 / 7,
        "links": 1,
    }


@pytest.mark.parametrize("epochs", [1, 2, 400])
def test_any_number_of_epochs_can_be_drawn(epochs):
    table = pd.DataFrame({"epoch": np.arange(epochs) + 1, "loss": 1.0})
    picture = render(partial(draw_learning, table=table), Ink(), (320, 330), 1.0)
    assert picture.pixels.shape == (330, 320, 4)
    [axes] = axes_of(table)
    assert named(axes)["training"].get_marker() == ("o" if epochs < 30 else "None")


def test_the_correlation_has_a_line_per_stained_channel_and_none_that_is_empty():
    table = TABLE[["epoch", "loss", "validation_loss"]].assign(pcc=EPOCHS / 10)
    loss, pcc = axes_of(table)
    assert (loss.get_ylabel(), pcc.get_ylabel()) == ("loss", "PCC ↑")
    np.testing.assert_allclose(named(pcc)["PCC"].get_ydata(), EPOCHS / 10)
    assert pcc.get_legend() is None, "the axis says what it is"
    several = table.assign(pcc_Nuclei=EPOCHS / 8, pcc_Membrane=EPOCHS / 12)
    lines = named(axes_of(several)[1])
    assert list(lines) == ["Nuclei", "Membrane"]
    assert lines["Nuclei"].get_color() != lines["Membrane"].get_color()
