from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from plain import plain_bench, shut
from qtpy.QtWidgets import QApplication

from napari_dynaclr.gui.classify.classify_widget import ClassifyWidget
from napari_dynaclr.gui.classify.retrainer import retrainer
from napari_dynaclr.gui.colouring import recall_colour
from napari_dynaclr.session import Scope
from napari_dynaclr.session.colours import ColourBy, Kind

LONG = 30_000


@pytest.fixture
def bench(windowless):
    return windowless


@pytest.fixture
def widget(bench, qtbot):
    made = ClassifyWidget(bench.viewer)
    qtbot.addWidget(made)
    made.resize(360, 900)
    made.show()
    idle(bench, qtbot)
    return made


def idle(bench, qtbot):
    qtbot.waitUntil(lambda: not bench.runner.is_busy, timeout=LONG)
    QApplication.processEvents()


def annotate(bench, qtbot, state, rows=(0,)):
    bench.session.annotate(list(rows), state)
    qtbot.waitUntil(lambda: not bench.session.annotator.busy, timeout=LONG)


def test_it_shows_what_is_annotated(bench, widget, qtbot):
    counts = bench.session.marks.counts("infection")
    assert f"uninfected <b>{counts['uninfected']}</b>" in widget.counts.text()
    assert widget.hint.isHidden()
    infected = counts["infected"]
    free = [
        row for row in range(len(bench.session.cells))
        if bench.session.marks.get("B/1/0", int(bench.session.cells.id[row]), "infection") is None
    ]  # fmt: skip
    annotate(bench, qtbot, "infected", free[:1])
    now = bench.session.marks.counts("infection")["infected"]
    assert now > infected
    qtbot.waitUntil(lambda: f"infected <b>{now}</b>" in widget.counts.text())


def test_it_says_what_is_missing(bench, widget, qtbot):
    bench.session.set_task("death")
    qtbot.waitUntil(lambda: "at least one cell of two states" in widget.hint.text())
    annotate(bench, qtbot, "dead")
    qtbot.waitUntil(lambda: "All annotated cells are dead" in widget.hint.text())
    assert "No scores yet" in widget.scores.message.text()
    qtbot.waitUntil(lambda: "No curve yet" in widget.curve.message.text())
    assert widget.scores.charts.isHidden()
    assert not widget.curve.save_button.isEnabled()


def test_the_task_follows_both_ways(bench, widget, qtbot):
    bench.session.set_task("division")
    assert widget.step.form.values()["task"] == "division"
    editor = widget.step.form._editors["task"]
    editor.set_value("organelle")
    editor.edited.emit()
    assert bench.session.task.name == "organelle"


def test_scores_by_what_was_held_out(bench, widget, qtbot):
    scores = bench.session.dataset.workspace.scores("infection")
    qtbot.waitUntil(lambda: bool(widget.scores.scores))
    assert f"accuracy {scores['track']['accuracy']:.0%}" in widget.scores.summary.text()
    error = scores["track"]["calibration"]["expected_error"]
    assert f"{error:.0%}" in widget.scores.error.text()
    widget.scores.split.setCurrentText("FOV")
    assert f"<b>F1 {scores['fov']['f1_macro']:.2f}</b>" in widget.scores.summary.text()
    qtbot.waitUntil(lambda: widget.scores.confusion.picture is not None)
    qtbot.waitUntil(lambda: widget.scores.reliability.picture is not None)


def test_what_is_looked_at_is_remembered(bench, widget, qtbot):
    widget.colours[Kind.PREDICTION].click()
    widget.scores.split.setCurrentText("FOV")
    widget.scores.split.activated.emit(widget.scores.split.currentIndex())
    widget.curve.state.setCurrentText("uninfected")
    widget.curve.state.activated.emit(widget.curve.state.currentIndex())
    idle(bench, qtbot)
    again = ClassifyWidget(bench.viewer)
    qtbot.addWidget(again)
    again.show()
    assert again.scores.split.currentText() == "FOV"
    assert again.curve.state.currentText() == "uninfected"
    bench.session.set_task("division")
    assert again.curve.state.currentText() == bench.session.task.state_names[1]
    bench.session.set_task("infection")
    assert again.curve.state.currentText() == "uninfected"
    idle(bench, qtbot)
    other = plain_bench()
    recall_colour(other)
    assert other.session.colour_by == ColourBy(Kind.PREDICTION, "infection")
    shut(other, qtbot)


def test_what_cannot_be_held_out_is_explained(bench, widget, qtbot):
    qtbot.waitUntil(lambda: bool(widget.scores.scores))
    widget.scores.scores = {**widget.scores.scores, "well": None}
    widget.scores.split.setCurrentText("well")
    widget.scores._show()
    assert "one well only" in widget.scores.message.text()
    assert widget.scores.message.isVisible()
    assert not widget.scores.charts.isVisible()


def test_running_shows_progress_and_then_new_scores(bench, widget, qtbot):
    widget.step.scope.setCurrentText(Scope.PLATE.value)
    with qtbot.waitSignal(bench.session.results_changed, timeout=LONG, raising=True):
        widget.step.run()
        assert bench.runner.stage is not None
        assert not widget.step.run_button.isEnabled()
        assert widget.step.cancel_button.isEnabled()
    idle(bench, qtbot)
    assert widget.step.run_button.isEnabled()
    assert "finished" in widget.step.progress.text.text()
    assert set(widget.curve.curve["well"]) == {"A/1", "B/1"}
    bench.set_scope(Scope.PLATE)
    idle(bench, qtbot)
    assert not np.isnan(bench.session.cells.predictions["infection"].confidence).any()


def test_cancel_ends_it(bench, widget, qtbot):
    widget.step.run()
    run = bench.runner.stage
    widget.step.cancel_button.click()
    with qtbot.waitSignal(run.ended, timeout=LONG):
        pass
    idle(bench, qtbot)
    assert "running" not in widget.step.progress.text.text()
    assert widget.step.run_button.isEnabled()
    assert not widget.step.cancel_button.isEnabled()


def test_a_failure_leaves_nothing_running(bench, widget, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr(type(bench), "explain", lambda self, error: told.append(error))
    bench.session.set_task("death")
    widget.step.run()
    idle(bench, qtbot)
    assert "death" in str(told[0])
    assert widget.step.run_button.isEnabled()
    assert widget.step.progress.text.text().startswith("failed")


def test_colours_follow_both_ways(bench, widget, qtbot):
    widget.colours[Kind.PREDICTION].click()
    assert bench.session.colour_by == ColourBy(Kind.PREDICTION, "infection")
    idle(bench, qtbot)
    assert bench.session.palette.legend.title == "prediction (infection)"
    bench.colour(ColourBy(Kind.CONFIDENCE, "infection"))
    idle(bench, qtbot)
    assert [k for k, button in widget.colours.items() if button.isChecked()] == [Kind.CONFIDENCE]
    bench.session.set_task("death")
    assert not widget.colours[Kind.PREDICTION].isEnabled()
    assert widget.colours[Kind.STATE].isEnabled()


def test_the_curve_is_of_the_chosen_state_and_marks_the_time(bench, widget, qtbot):
    qtbot.waitUntil(lambda: widget.curve.curve is not None)
    assert widget.curve.state.currentText() == "infected"
    infected = widget.curve.curve["fraction"]
    widget.curve.state.setCurrentText("uninfected")
    widget.curve.state.activated.emit(widget.curve.state.currentIndex())
    idle(bench, qtbot)
    np.testing.assert_allclose(widget.curve.curve["fraction"], 1 - infected)
    bench.viewer.dims.set_current_step(0, 4)
    hours = widget.curve.curve.query("t == 4")["hours"].iloc[0]
    assert widget.curve.chart.cursor_at == pytest.approx(hours)
    widget.curve.chart.clicked.emit(hours * 1.5)
    assert bench.session.frame == 6


@pytest.mark.parametrize("kind", ["csv", "svg"])
def test_the_curve_is_saved(bench, widget, qtbot, tmp_path, kind):
    qtbot.waitUntil(lambda: widget.curve.curve is not None)
    file = tmp_path / f"curve.{kind}"
    widget.curve.save(file)
    idle(bench, qtbot)
    if kind == "csv":
        pd.testing.assert_frame_equal(
            pd.read_csv(file), widget.curve.curve.reset_index(drop=True), check_dtype=False
        )
    else:
        assert b"<svg" in file.read_bytes()


def test_folded_sections_and_a_hidden_widget_listen_to_nothing(bench, widget, qtbot):
    widget.curve.parent().heading.click()
    assert not widget.curve.isVisible()
    assert widget.curve._connected == []
    widget.hide()
    idle(bench, qtbot)
    assert widget.scores._connected == widget._connected == widget.step._connected == []
    bench.session.set_task("division")
    bench.session.results_changed.emit("classify")
    assert not bench.runner.is_busy
    widget.show()
    assert widget.step.form.values()["task"] == "division"
    again = ClassifyWidget(bench.viewer)
    qtbot.addWidget(again)
    again.show()
    assert not again.curve.isVisible()  # folded as it was left
    assert again.scores.isVisible()


def test_retraining_after_some_clicks_also_while_closed(bench, widget, qtbot):
    assert not widget.retrain.isChecked()
    widget.every.setValue(2)
    widget.retrain.click()
    assert retrainer(bench) is widget.retrainer
    widget.hide()
    started = []
    bench.runner.stage_changed.connect(
        lambda: started.append(bench.runner.stage.title) if bench.runner.stage else None
    )
    annotate(bench, qtbot, "infected", [0])
    idle(bench, qtbot)
    assert started == []
    with qtbot.waitSignal(bench.session.results_changed, timeout=LONG):
        annotate(bench, qtbot, "uninfected", [1])
        annotate(bench, qtbot, "uninfected", [2])
    idle(bench, qtbot)
    assert started == ["classify"]
    again = ClassifyWidget(bench.viewer)
    qtbot.addWidget(again)
    again.show()
    assert again.retrain.isChecked()
    assert again.every.value() == 2


def test_retraining_waits_for_two_states_and_for_what_runs(bench, widget, qtbot):
    bench.session.set_task("death")
    widget.every.setValue(1)
    widget.retrain.click()
    annotate(bench, qtbot, "dead", [0])
    idle(bench, qtbot)
    assert bench.runner.stage is None
    gate = []
    other = bench.runner.start_stage("other", lambda job: _wait_for(gate))
    annotate(bench, qtbot, "alive", [1])
    assert bench.runner.stage is other
    with qtbot.waitSignal(bench.session.results_changed, timeout=LONG) as told:
        gate.append(True)
    assert told.args == ["classify"]
    idle(bench, qtbot)
    assert (bench.session.dataset.workspace.predictions("death")).exists()


def test_only_states_that_are_given_count_towards_retraining(bench, widget, qtbot):
    widget.retrain.click()
    annotate(bench, qtbot, "infected", [0])
    for act in (bench.session.annotator.undo, bench.session.annotator.redo):
        act()
        qtbot.waitUntil(lambda: not bench.session.annotator.busy, timeout=LONG)
    annotate(bench, qtbot, "", [0])
    assert widget.retrainer.clicks == 1


def test_an_imported_table_is_learnt_from(bench, widget, qtbot, tmp_path):
    from napari_dynaclr.gui.annotating import import_table

    session = bench.session
    session.set_task("death")
    widget.retrain.click()
    here = session.here()[:4]
    _, y, x = session.cells.position[here].T
    states = ["dead", "alive"] * 2
    table = pd.DataFrame({"t": session.frame, "y": y, "x": x, "state": states})
    table.to_csv(tmp_path / "points.csv", index=False)
    started = []
    bench.runner.stage_changed.connect(
        lambda: started.append(bench.runner.stage.title) if bench.runner.stage else None
    )
    import_table(bench, "points", str(tmp_path / "points.csv"))
    qtbot.waitUntil(lambda: started == ["annotate", "classify"], timeout=LONG)
    idle(bench, qtbot)
    assert session.dataset.workspace.predictions("death").exists()


def _wait_for(gate):
    import time

    while not gate:
        time.sleep(0.01)


def test_it_leaves_no_windows_behind(bench, qtbot):
    before = {id(w) for w in QApplication.topLevelWidgets()}
    made = ClassifyWidget(bench.viewer)
    qtbot.addWidget(made)
    made.show()
    idle(bench, qtbot)
    new = [w for w in QApplication.topLevelWidgets() if id(w) not in before and w is not made]
    assert [w for w in new if w.isVisible()] == []
    made.close()
    made.deleteLater()
    QApplication.processEvents()
    bench.session.task_changed.emit()
    bench.runner.stage_changed.emit()


def test_it_fits_a_narrow_dock(widget):
    from qtpy.QtWidgets import QScrollArea

    content = widget.findChild(QScrollArea).widget()
    assert content.minimumSizeHint().width() <= 340
