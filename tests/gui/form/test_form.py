from __future__ import annotations

import math
import re
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError
from qtpy.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent, QMouseEvent, QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.core.device import Device
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.registry import METHODS
from napari_dynaclr.gui.form.choices import ALL, AUTOMATIC
from napari_dynaclr.gui.form.editors import hints_of, make_editor
from napari_dynaclr.gui.form.fields import join, split
from napari_dynaclr.gui.form.form import Form
from napari_dynaclr.gui.form.numbers import NumberBox, step_of

CHOICES = {
    "channels": ["Phase", "Nuclei", "Sensor & GFP"],
    "embeddings": ["features", "dynaclr"],
    "encoders": ["/data/plate.dynaclr/weights/mine.safetensors"],
    "starts": ["/data/plate.dynaclr/weights/mine.safetensors", "DynaCLR-DENV-VS+Ph"],
    "stainers": ["/data/plate.dynaclr/weights/stainer.safetensors"],
    "tasks": ["infection", "division"],
    "trackers": ["/data/plate.dynaclr/weights/tracker.safetensors"],
    "arrows": ["/data/plate.dynaclr/weights/arrow.safetensors"],
    "profilers": ["/data/plate.dynaclr/weights/profiler.safetensors"],
    "maps": ["phate"],
    "profiles": ["features"],
}
every_method = pytest.mark.parametrize(
    "method", METHODS, ids=[f"{method.stage}-{method.name}" for method in METHODS]
)
BIG = 2**31


class AllKinds(Params):
    """One field of every kind."""

    flag: bool = Field(False, title="Flag", description="Yes or no.")
    count: int = Field(3, title="Count", ge=0, le=1000)
    large: int = Field(BIG, title="Large", ge=0)
    rate: float = Field(1e-4, title="Rate", gt=0, le=1e-2)
    text: str = Field("a", title="Text", min_length=1)
    way: Literal["one", "two"] = Field("one", title="Way")
    device: Device = Field(Device.AUTO, title="Device")
    texts: tuple[str, ...] = Field((), title="Texts")
    channel: str = Field("", title="Channel", json_schema_extra={"choices": "channels"})
    channels: tuple[str, ...] = Field((), title="Chans", json_schema_extra={"choices": "channels"})
    task: str = Field(
        "infection", title="Task", json_schema_extra={"choices": "tasks", "editable": True}
    )
    order: tuple[str, ...] = Field(
        (),
        title="Order",
        json_schema_extra={"choices": "channels", "ordered": True, "left_out": "its own"},
    )
    path: str = Field("", title="Path", json_schema_extra={"path": "file", "filter": "CSV (*.csv)"})
    weights: str = Field(
        "", title="Weights", json_schema_extra={"path": "file", "choices": "encoders"}
    )
    size: int | None = Field(
        None, title="Size", ge=32, json_schema_extra={"left_out": "64, or the encoder's"}
    )
    levels: tuple[float, ...] = Field((0.5, 2.0), title="Levels")
    limit: float | None = Field(None, title="Limit", ge=0, le=10)
    seed: int = Field(0, title="Seed", ge=0, json_schema_extra={"advanced": True})
    nodes: Literal[1] = Field(1, title="Nodes", json_schema_extra={"command_line": True})


class Needy(Params):
    """A field without a default, and a strict one of a shared name."""

    path: str = Field(title="Points", json_schema_extra={"path": "file"})
    count: int = Field(5, title="How many", ge=0, le=10)


@pytest.fixture
def show(qtbot):
    """Show a form in a window of its own."""

    def build(kind=None, choices=None) -> Form:
        form = Form(kind, choices)
        qtbot.addWidget(form)
        form.show()
        form.activateWindow()
        qtbot.waitUntil(form.isActiveWindow)
        return form

    return build


@pytest.fixture(autouse=True)
def _no_new_windows(qapp):
    before = set(map(id, qapp.topLevelWidgets()))
    yield
    QApplication.sendPostedEvents(None, 52)  # DeferredDelete
    left = [w for w in qapp.topLevelWidgets() if id(w) not in before and w.isVisible()]
    assert left == []


def inner(form: Form, name: str, kind: type) -> Any:
    return form._editors[name].findChild(kind)


def heard(form: Form) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    form.changed.connect(lambda: calls.append(form.values()))
    return calls


def text_strategy(info) -> st.SearchStrategy[str]:
    for rule in info.metadata:
        if pattern := getattr(rule, "pattern", None):
            return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)
    least = 1 if info.is_required() else 0
    return st.text(min_size=max([least, *(getattr(r, "min_length", 0) for r in info.metadata)]))


def field_strategy(info) -> st.SearchStrategy[Any]:
    bounds = {}
    for rule in info.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(rule, name):
                bounds[name] = getattr(rule, name)
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    kind = info.annotation
    numbers = st.floats(
        low,
        high,
        allow_nan=False,
        exclude_min="gt" in bounds and "ge" not in bounds,
        exclude_max="lt" in bounds,
    )
    if kind == float | None:
        return st.none() | numbers
    if kind is float:
        return numbers
    if kind is int:
        return st.integers(low, high)
    if kind == int | None:
        return st.none() | st.integers(low, high)
    if kind is str:
        return text_strategy(info)
    if kind == tuple[str, ...] and (values := hints_of(info).get("values")):
        return st.lists(st.sampled_from(values)).map(tuple)
    if kind == tuple[str, ...]:
        return st.lists(st.text()).map(tuple)
    if kind == tuple[float, ...]:
        return st.lists(st.floats(allow_nan=False)).map(tuple)
    return st.from_type(kind)


def in_form(kind: type[Params]) -> dict[str, Any]:
    fields = kind.model_fields.items()
    return {name: info for name, info in fields if not hints_of(info).get("command_line")}


def params_strategy(kind: type[Params]) -> st.SearchStrategy[Params]:
    fields = {name: field_strategy(info) for name, info in in_form(kind).items()}
    for name in {"name"} & set(fields):  # a file is named so
        fields[name] = st.from_regex(re.compile(r"\w[\w-]*", re.ASCII), fullmatch=True)

    def made(values: dict[str, Any]) -> Params:
        try:
            return kind.model_validate(values)
        except ValidationError:  # which the class refuses together
            reject()

    return st.fixed_dictionaries(fields).map(made)


# every method of the registry


@every_method
@pytest.mark.parametrize("choices", [None, CHOICES], ids=["unknown", "known"])
def test_the_form_of_every_method_shows_its_defaults(method, choices, qtbot):
    kind = method.params_class()
    form = Form(kind, choices)
    qtbot.addWidget(form)
    fields = in_form(kind)
    defaults = {name: info.default for name, info in fields.items() if not info.is_required()}
    assert form.values() == defaults
    if len(defaults) == len(fields):
        assert form.params() == kind()
        assert form.problem() == ""
    else:
        assert "is required" in form.problem()


@every_method
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_settings_of_every_method_come_back_as_they_went_in(method, data, qtbot):
    kind = method.params_class()
    form = Form(kind, data.draw(st.sampled_from([None, CHOICES])))
    calls = heard(form)
    params = data.draw(params_strategy(kind))
    form.set_params(params)
    assert form.params() == params
    assert form.problem() == ""
    assert calls == []
    form.deleteLater()


@every_method
def test_every_field_says_what_it_is_and_few_are_shown_at_first(method, qtbot):
    kind = method.params_class()
    form = Form(kind)
    qtbot.addWidget(form)
    form.show()
    buddies = {label.buddy(): label for label in form.findChildren(QLabel) if label.buddy()}
    for name, info in in_form(kind).items():
        label = buddies[form._editors[name]]
        assert label.text() == info.title
        assert label.toolTip()
    shown = [name for name, editor in form._editors.items() if editor.isVisible()]
    # Trainings have to be told more than other methods; correcting has a dock of its own.
    assert len(shown) <= {"train": 11, "compare": 15, "correct": 6}.get(method.stage, 5)
    assert all(not hints_of(kind.model_fields[name]).get("advanced") for name in shown)


def test_hints_are_ones_that_the_form_knows():
    for method in METHODS:
        for info in method.params_class().model_fields.values():
            hints = hints_of(info)
            known = {"choices", "editable", "ordered", "path", "filter", "left_out", "advanced"}
            assert set(hints) <= known | {"command_line", "on_failure", "speed_only", "values"}
            assert hints.get("choices", "maps") in CHOICES
            assert hints.get("path", "any") in {"file", "folder", "any"}


# every kind of field, both ways


@settings(max_examples=60, deadline=None)
@given(params=params_strategy(AllKinds), known=st.booleans())
def test_every_kind_of_field_comes_back_exactly(params, known, qapp):
    form = Form(AllKinds, CHOICES if known else None)
    form.set_params(params)
    assert form.params() == params
    form.deleteLater()


@given(st.lists(st.text()))
def test_texts_in_one_line_can_be_told_apart(texts):
    assert split(join(texts)) == tuple(texts)


def test_texts_are_read_as_people_write_them():
    assert split(" GFP,  Phase ") == ("GFP", "Phase")
    assert split('"GFP, 488", Phase') == ("GFP, 488", "Phase")
    assert split("GFP, ,") == ("GFP",)
    assert split("  ") == ()


def test_a_click_sets_a_flag(show, qtbot):
    form = show(AllKinds)
    calls = heard(form)
    qtbot.mouseClick(inner(form, "flag", QCheckBox), Qt.LeftButton, pos=QPoint(8, 8))
    assert form.params().flag is True
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("count", "512", 512),
        ("large", str(2**70), 2**70),
        ("rate", "1e-5", 1e-5),
        ("rate", "0,0025", 0.0025),
    ],
)
def test_numbers_are_taken_as_typed(name, typed, value, show, qtbot):
    form = show(AllKinds)
    calls = heard(form)
    box = inner(form, name, NumberBox)
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, typed)
    assert getattr(form.params(), name) == value
    qtbot.keyClick(box, Qt.Key_Return)
    form._defaults.setFocus()
    assert getattr(form.params(), name) == value
    assert calls[-1][name] == value


def test_arrows_step_within_the_bounds(show, qtbot):
    form = show(AllKinds)
    calls = heard(form)
    box = inner(form, "count", NumberBox)
    for _ in range(5):
        qtbot.keyClick(box, Qt.Key_Down)
    assert form.params().count == 0
    assert len(calls) == 3
    assert not box.stepEnabled() & NumberBox.StepEnabledFlag.StepDownEnabled
    rate = inner(form, "rate", NumberBox)
    for _ in range(30):
        qtbot.keyClick(rate, Qt.Key_Down)
    # 0 is not allowed, so that the last step is not taken.
    assert form.params().rate == pytest.approx(rate.step())
    qtbot.keyClick(rate, Qt.Key_Up)
    assert form.params().rate == 2 * rate.step()


@pytest.mark.parametrize(
    ("default", "low", "high", "kind", "step"),
    [
        (12.0, 0, 1000, float, 1.0),
        (0.15, 0, 1, float, 0.01),
        (1e-5, 0, 1e-3, float, 1e-6),
        (0.0, 0, None, float, 0.1),
        (0.0, 0, 1, float, 0.01),
        (5, 2, 100, int, 1),
        (20_000, 100, 1_000_000, int, 2000),
        (512, 64, 4096, int, 20),
    ],
)
def test_steps_are_handy(default, low, high, kind, step):
    assert step_of(default, low, high, kind) == step


def test_letters_do_not_get_into_numbers(show, qtbot):
    form = show(AllKinds)
    box = inner(form, "count", NumberBox)
    qtbot.keyClicks(box, "x.e")
    assert form.params().count == 3


def test_text_and_texts_are_typed(show, qtbot):
    form = show(AllKinds)
    calls = heard(form)
    qtbot.keyClicks(inner(form, "text", QLineEdit), "bc")
    qtbot.keyClicks(inner(form, "texts", QLineEdit), "x, y")
    qtbot.keyClicks(inner(form, "path", QLineEdit), "/a.csv")
    params = form.params()
    assert (params.text, params.texts, params.path) == ("abc", ("x", "y"), "/a.csv")
    assert calls[-1] == form.values()


def test_options_are_chosen_with_the_keyboard(show, qtbot):
    form = show(AllKinds)
    qtbot.keyClick(inner(form, "way", QComboBox), Qt.Key_Down)
    qtbot.keyClick(inner(form, "device", QComboBox), Qt.Key_Down)
    params = form.params()
    assert (params.way, params.device) == ("two", Device.CUDA)


def test_an_open_setting_is_ticked_or_just_typed(show, qtbot):
    form = show(AllKinds)
    qtbot.keyClicks(inner(form, "limit", NumberBox), "2.5")
    assert form.params().limit == 2.5
    assert inner(form, "limit", QCheckBox).isChecked()
    qtbot.mouseClick(inner(form, "limit", QCheckBox), Qt.LeftButton, pos=QPoint(8, 8))
    assert form.params().limit is None
    assert inner(form, "limit", NumberBox).lineEdit().text() == ""
    qtbot.keyClick(inner(form, "limit", NumberBox), Qt.Key_Up)
    assert form.params().limit > 2.5
    inner(form, "limit", NumberBox).selectAll()
    qtbot.keyClick(inner(form, "limit", NumberBox), Qt.Key_Backspace)
    assert form.params().limit is None
    assert form.problem() == ""


def test_several_channels_are_ticked_in_the_order_of_the_dataset(show, qtbot):
    form = show(AllKinds, CHOICES)
    calls = heard(form)
    boxes = {box.title: box for box in form._editors["channels"].findChildren(QCheckBox)}
    assert boxes[ALL].isChecked()
    for channel in ("Sensor & GFP", "Phase"):
        qtbot.mouseClick(boxes[channel], Qt.LeftButton, pos=QPoint(8, 8))
    assert form.params().channels == ("Phase", "Sensor & GFP")
    assert not boxes[ALL].isChecked()
    qtbot.mouseClick(boxes[ALL], Qt.LeftButton, pos=QPoint(8, 8))
    assert form.params().channels == ()
    assert not boxes["Phase"].isChecked()
    assert len(calls) == 3


# texts whose order matters


def rows(form: Form) -> list[str]:
    shown = inner(form, "order", QListWidget)
    return [shown.item(row).text() for row in range(shown.count())]


def row_at(form: Form, row: int) -> QPoint:
    shown = inner(form, "order", QListWidget)
    return shown.visualItemRect(shown.item(row)).center()


def tick(form: Form, row: int, qtbot) -> None:
    shown = inner(form, "order", QListWidget)
    box = QPoint(shown.visualItemRect(shown.item(row)).left() + 9, row_at(form, row).y())
    qtbot.mouseClick(shown.viewport(), Qt.LeftButton, pos=box)


def drag_row(form: Form, start: int, end: int, qtbot) -> None:
    view = inner(form, "order", QListWidget).viewport()
    qtbot.mousePress(view, Qt.LeftButton, pos=row_at(form, start))
    for row in range(start, end, 1 if end > start else -1):
        qtbot.mouseMove(view, row_at(form, row))
    # A display without a window manager tells nobody where qtbot moves the pointer.
    move_mouse(view, row_at(form, end))
    qtbot.mouseRelease(view, Qt.LeftButton, pos=row_at(form, end))


def move_mouse(view: QWidget, place: QPoint) -> None:
    where, there = QPointF(place), QPointF(view.mapToGlobal(place))
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QMouseEvent(QEvent.Type.MouseMove, where, there, Qt.MouseButton.NoButton, left, none)
    QApplication.sendEvent(view, event)


def test_ticked_rows_are_numbered_and_dragged_into_their_order(show, qtbot):
    form = show(AllKinds, CHOICES)
    calls = heard(form)
    note = form._editors["order"].findChild(QLabel)
    assert note.text() == "none ticked: its own"
    assert note.isVisible()
    tick(form, 0, qtbot)
    tick(form, 2, qtbot)
    assert rows(form) == ["1.  Phase", "Nuclei", "2.  Sensor & GFP"]
    assert form.params().order == ("Phase", "Sensor & GFP")
    assert not note.isVisible()
    drag_row(form, 2, 0, qtbot)
    assert rows(form) == ["1.  Sensor & GFP", "2.  Phase", "Nuclei"]
    assert form.params().order == ("Sensor & GFP", "Phase")
    assert calls[-1]["order"] == ("Sensor & GFP", "Phase")
    tick(form, 0, qtbot)
    tick(form, 1, qtbot)
    assert form.params().order == ()
    assert note.isVisible()


def test_rows_are_moved_by_buttons_and_keys(show, qtbot):
    form = show(AllKinds, CHOICES)
    form.set_params(AllKinds(order=("Nuclei", "Phase")))
    assert rows(form) == ["1.  Nuclei", "2.  Phase", "Sensor & GFP"]
    calls = heard(form)
    shown = inner(form, "order", QListWidget)
    up, down = form._editors["order"].findChildren(QPushButton)
    assert not up.isEnabled()
    qtbot.mouseClick(shown.viewport(), Qt.LeftButton, pos=row_at(form, 1))
    qtbot.mouseClick(up, Qt.LeftButton)
    assert form.params().order == ("Phase", "Nuclei")
    assert not up.isEnabled(), "it is at the top"
    qtbot.keyClick(shown, Qt.Key_Down, Qt.AltModifier)
    assert form.params().order == ("Nuclei", "Phase")
    assert down.isEnabled()
    qtbot.keyClick(shown, Qt.Key_Space)
    assert form.params().order == ("Nuclei",)
    assert len(calls) == 3


def test_the_order_of_the_rows_stays_while_the_choices_do(show, qtbot):
    form = show(AllKinds, CHOICES)
    tick(form, 2, qtbot)
    before = rows(form)
    form.set_choices(CHOICES)
    assert rows(form) == before == ["Phase", "Nuclei", "1.  Sensor & GFP"]
    form.set_choices({"channels": ["GFP", "Sensor & GFP"]})
    assert rows(form) == ["1.  Sensor & GFP", "GFP"]
    form.set_choices({})
    assert form.params().order == ("Sensor & GFP",)
    line = inner(form, "order", QLineEdit)
    assert line.isVisible()
    line.clear()
    assert line.placeholderText() == "its own"


# files that are known


def test_known_files_are_offered_by_name_and_others_can_be_typed(show, qtbot, monkeypatch):
    known = CHOICES["encoders"][0]
    form = show(AllKinds, CHOICES)
    calls = heard(form)
    combo = inner(form, "weights", QComboBox)
    assert form.params().weights == ""
    assert [combo.itemText(i) for i in range(combo.count())] == ["mine.safetensors"]
    qtbot.keyClick(combo, Qt.Key_Down)
    assert form.params().weights == known
    assert combo.lineEdit().toolTip() == known
    assert combo.currentText() == "mine.safetensors"
    combo.lineEdit().selectAll()
    qtbot.keyClicks(combo.lineEdit(), "/other/m.ckpt")
    assert form.params().weights == calls[-1]["weights"] == "/other/m.ckpt"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (known, ""))
    qtbot.mouseClick(inner(form, "weights", QPushButton), Qt.LeftButton)
    assert form.params().weights == known


def test_a_known_file_keeps_its_path_when_it_is_known_no_more(show):
    known = CHOICES["encoders"][0]
    form = show(AllKinds)
    form.set_params(AllKinds(weights=known))
    line = inner(form, "weights", QLineEdit)
    assert line.text() == known
    form.set_choices(CHOICES)
    assert line.text() == "mine.safetensors"
    assert form.params().weights == known
    form.set_choices({})
    assert line.text() == known
    assert form.params().weights == known


def test_what_is_left_out_says_what_that_means(show, qtbot):
    form = show(AllKinds)
    box, limit = inner(form, "size", NumberBox), inner(form, "limit", NumberBox)
    assert box.lineEdit().placeholderText() == "64, or the encoder's"
    assert limit.lineEdit().placeholderText() == AUTOMATIC
    at = QPoint(8, 8)
    qtbot.mouseClick(inner(form, "size", QCheckBox), Qt.LeftButton, pos=at)
    assert form.params().size == 64, "the number that it stands for"
    assert box.hasFocus()
    box.selectAll()
    qtbot.keyClicks(box, "96")
    qtbot.mouseClick(inner(form, "size", QCheckBox), Qt.LeftButton, pos=at)
    assert form.params().size is None
    assert box.lineEdit().text() == ""
    qtbot.mouseClick(inner(form, "size", QCheckBox), Qt.LeftButton, pos=at)
    assert form.params().size == 96


def test_what_is_for_the_command_line_is_not_in_the_form(show):
    form = show(AllKinds)
    assert "Nodes" not in [label.text() for label in form.findChildren(QLabel)]
    assert form.params().nodes == 1


def test_browse_asks_for_what_is_wanted(show, qtbot, monkeypatch):
    asked = []

    def answer(parent, title, start, pattern):
        asked.append(pattern)
        return "/data/points.csv", pattern

    monkeypatch.setattr(QFileDialog, "getOpenFileName", answer)
    form = show(AllKinds)
    calls = heard(form)
    qtbot.mouseClick(inner(form, "path", QPushButton), Qt.LeftButton)
    assert form.params().path == "/data/points.csv"
    assert asked == ["CSV (*.csv)"]
    assert len(calls) == 1
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    qtbot.mouseClick(inner(form, "path", QPushButton), Qt.LeftButton)
    assert form.params().path == "/data/points.csv"


def test_a_dropped_file_gives_its_path(show, tmp_path):
    form = show(AllKinds)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "a.csv"))])
    keys = Qt.KeyboardModifier.NoModifier
    event = QDropEvent(
        QPointF(3, 3), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, keys
    )
    inner(form, "path", QLineEdit).dropEvent(event)
    assert form.params().path == str(tmp_path / "a.csv")


# choices


def test_an_empty_default_is_shown_as_automatic(show, qtbot):
    form = show(AllKinds, CHOICES)
    combo = inner(form, "channel", QComboBox)
    shown = [combo.itemText(at) for at in range(combo.count())]
    assert shown == [AUTOMATIC, *CHOICES["channels"]]
    assert form.params().channel == ""
    qtbot.keyClick(combo, Qt.Key_Down)
    assert form.params().channel == "Phase"


def test_choices_keep_the_value_where_they_can(show):
    form = show(AllKinds, CHOICES)
    calls = heard(form)
    form.set_params(AllKinds(channel="Nuclei", channels=("Nuclei", "Phase"), task="mine"))
    form.set_choices({"channels": ["GFP", "Nuclei"], "tasks": ["division"]})
    params = form.params()
    assert (params.channel, params.channels, params.task) == ("Nuclei", ("Nuclei",), "mine")
    form.set_choices({"channels": ["GFP"]})
    params = form.params()
    assert (params.channel, params.channels) == ("", ())
    assert calls == []


def test_without_choices_any_text_can_be_typed(show, qtbot):
    form = show(AllKinds)
    calls = heard(form)
    combo = inner(form, "channel", QComboBox)
    assert combo.isEditable()
    combo.lineEdit().selectAll()
    qtbot.keyClicks(combo.lineEdit(), "GFP")
    assert form.params().channel == "GFP"
    assert calls[-1]["channel"] == "GFP"
    form.set_choices({"channels": ["GFP", "Phase"]})
    assert not combo.isEditable()
    assert form.params().channel == "GFP"
    form.set_choices({})
    assert combo.isEditable()
    assert form.params().channel == "GFP"


def test_a_default_that_is_not_there_gives_way(show):
    class One(Params):
        embedding: str = Field(
            "features", title="Embedding", json_schema_extra={"choices": "embeddings"}
        )

    form = show(One, {"embeddings": ["dynaclr", "other"]})
    assert form.params().embedding == "dynaclr"
    form.set_choices({"embeddings": ["other", "features"]})
    assert form.params().embedding == "features"


# the form as a whole


def test_a_bad_value_is_named_by_its_title_and_stays_to_be_seen(show, qtbot):
    form = show(AllKinds)
    assert not form._message.isVisible()
    box = inner(form, "count", NumberBox)
    box.selectAll()
    qtbot.keyClicks(box, "5000")
    assert form.problem() == "Count = 5000: input should be less than or equal to 1000."
    assert form._message.isVisible()
    assert form._message.text() == form.problem()
    with pytest.raises(InvalidInput, match=r"^count = 5000"):
        form.params()
    assert form.values()["count"] == 5000
    box.selectAll()
    qtbot.keyClick(box, Qt.Key_Backspace)
    assert form.problem().startswith("Count = ''")
    qtbot.keyClicks(box, "7")
    assert form.problem() == ""
    assert not form._message.isVisible()


def test_what_is_required_is_asked_for(show, qtbot):
    form = show(Needy)
    assert form.problem() == "'Points' is required."
    qtbot.keyClicks(inner(form, "path", QLineEdit), "x")
    assert form.params() == Needy(path="x")
    form.reset()
    assert form.problem() == "'Points' is required."


def test_defaults_is_one_change(show, qtbot):
    form = show(AllKinds)
    form.set_params(AllKinds(count=9, flag=True, limit=2.0, channel="GFP"))
    calls = heard(form)
    qtbot.mouseClick(form._defaults, Qt.LeftButton)
    assert form.params() == AllKinds()
    qtbot.mouseClick(form._defaults, Qt.LeftButton)
    assert len(calls) == 1


def test_another_kind_keeps_what_the_user_set(show):
    form = show(AllKinds)
    form.set_params(AllKinds(path="/a.csv", count=7))
    form.kind = Needy
    assert form.params() == Needy(path="/a.csv", count=7)
    form.kind = AllKinds
    form.set_params(AllKinds(path="/a.csv", count=700))
    form.kind = Needy
    assert form.params().count == 5, "700 is out of its bounds"
    form.kind = AllKinds
    assert form.params().count == 3
    form.set_params(AllKinds(path="/b.csv"))
    form.kind = Needy
    assert form.params() == Needy(path="/b.csv", count=5), "a default does not travel"


def test_settings_of_another_kind_bring_their_form(show):
    form = show(AllKinds)
    form.set_params(Needy(path="p", count=2))
    assert form.kind is Needy
    assert form.params() == Needy(path="p", count=2)


def test_no_settings_is_said(show):
    form = show()
    assert form.params() == Params()
    assert [label.text() for label in form._main.findChildren(QLabel)] == ["No settings."]
    assert not form._defaults.isVisible()
    assert not form._more.isVisible()


def test_advanced_is_folded_until_asked_for(show, qtbot):
    form = show(AllKinds)
    assert not form._editors["seed"].isVisible()
    qtbot.keyClick(form._more, Qt.Key_Space)
    assert form._editors["seed"].isVisible()
    assert form._editors["flag"].isVisible()


def test_a_switch_leaves_no_widgets_behind(show, qapp):
    form = show(AllKinds, CHOICES)
    QApplication.sendPostedEvents(None, 52)
    windows, count = len(qapp.topLevelWidgets()), len(form.findChildren(QWidget))
    for _ in range(5):
        form.kind = Needy
        form.kind = AllKinds
        form.set_choices({})
        form.set_choices(CHOICES)
    QApplication.sendPostedEvents(None, 52)
    assert len(qapp.topLevelWidgets()) == windows
    assert len(form.findChildren(QWidget)) == count


def tabs(window: QWidget, qtbot, count: int) -> list[QWidget]:
    found = []
    for _ in range(count):
        found.append(QApplication.focusWidget())
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key_Tab)
    return found


def test_tab_goes_from_top_to_bottom_after_a_switch_too(qtbot):
    window = QWidget()
    qtbot.addWidget(window)
    before, form, after = QPushButton("before"), Form(Needy, CHOICES), QPushButton("after")
    column = QVBoxLayout(window)
    for widget in (before, form, after):
        column.addWidget(widget)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    form.kind = AllKinds
    form.set_choices({**CHOICES, "channels": ["A", "B"]})
    form._more.setChecked(True)
    window.resize(400, 900)
    QApplication.sendPostedEvents()  # the layout's own
    qtbot.waitUntil(lambda: form.height() > 700)
    qtbot.wait(50)
    before.setFocus()
    # Three ticks for the channels, a button at each of two paths, a tick at each of two
    # optional numbers, a button that moves the row in focus; four buttons around the fields.
    found = tabs(window, qtbot, len(in_form(AllKinds)) + 11)
    rows = [widget.mapTo(window, widget.rect().center()).y() // 8 for widget in found]
    assert found[0] is before
    assert found[-1] is after
    assert form._defaults in found
    assert rows == sorted(rows)
    assert len(set(map(id, found))) == len(found)


@pytest.mark.parametrize(
    ("name", "kind"), [("count", NumberBox), ("way", QComboBox), ("channel", QComboBox)]
)
def test_the_wheel_turns_only_what_has_the_focus(name, kind, show):
    form = show(AllKinds, CHOICES)
    widget = inner(form, name, kind)
    before = form.values()
    form._more.setFocus()

    def turn():
        event = QWheelEvent(
            QPointF(5, 5),
            QPointF(widget.mapToGlobal(QPoint(5, 5))),
            QPoint(0, 0),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        event.ignore()
        QApplication.sendEvent(widget, event)
        return event.isAccepted()

    assert not turn(), "the dock is to scroll"
    assert form.values() == before
    widget.setFocus()
    assert turn()
    assert form.values() != before


def test_a_long_channel_name_leaves_the_dock_narrow(show):
    name = "Nuclei " * 30
    form = show(AllKinds, {"channels": [name]})
    assert form.minimumSizeHint().width() <= 300
    form.resize(300, 700)
    assert "…" in form._editors["channels"].findChildren(QCheckBox)[1].text()
    assert form._editors["channels"].findChildren(QCheckBox)[1].title == name


def test_infinity_is_shown_as_it_is(qtbot):
    class Open(Params):
        size: float = Field(0.0, title="Size", ge=0)

    form = Form(Open)
    qtbot.addWidget(form)
    form.set_params(Open(size=math.inf))
    assert form.params().size == math.inf
    inner(form, "size", NumberBox).stepBy(1)
    assert form.params().size == 0.1


def test_a_type_without_an_editor_is_a_programming_error(qapp):
    class Strange(Params):
        numbers: dict[str, int] = Field({}, title="Numbers")

    with pytest.raises(TypeError, match="no editor"):
        make_editor(Strange.model_fields["numbers"])


def test_values_out_of_bounds_are_refused_by_the_class_itself():
    with pytest.raises(ValidationError):
        AllKinds(count=5000)
