"""The form of a method's settings: a Params class turned into widgets, and back."""

from __future__ import annotations

import html
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.gui.form.editors import hints_of, make_editor, start_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

    from napari_dynaclr.gui.form.fields import Editor


_PLAIN = """
QPushButton { background: transparent; border: none; text-align: left; padding: 2px 5px; }
QPushButton:hover, QPushButton:focus { text-decoration: underline; }
"""
"""A button that looks like a heading: napari's own shows "checked" in its loudest colour."""


class Form(QWidget):
    """Settings of one method as labelled fields, the rarer ones folded away.

    Everything it shows comes from the fields of the Params class: label, tool tip,
    bounds, default, and the hints of :func:`~napari_dynaclr.gui.form.editors.hints_of`.
    What is for the command line only is not shown, and keeps its default.

    Parameters
    ----------
    kind
        The Params class to show; one without fields if None.
    choices
        See :meth:`set_choices`.
    """

    changed = Signal()
    """The user changed :meth:`values`."""

    def __init__(
        self,
        kind: type[Params] | None = None,
        choices: Mapping[str, Sequence[str]] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._kind: type[Params] = Params
        self._choices = dict(choices or {})
        self._editors: dict[str, Editor] = {}
        self._seen: dict[str, Any] = {}
        self._main, self._advanced = QWidget(self), QWidget(self)
        self._more = QPushButton()
        self._more.setCheckable(True)
        self._more.setStyleSheet(_PLAIN)
        self._more.toggled.connect(self._unfold)
        self._defaults = QPushButton("Defaults")
        self._defaults.setToolTip("Set all fields back to their defaults.")
        self._defaults.clicked.connect(self._on_defaults)
        self._message = QLabel()
        self._message.setWordWrap(True)
        self._message.setTextFormat(Qt.TextFormat.PlainText)
        self._lay_out()
        self._build(kind or Params, {})

    @property
    def kind(self) -> type[Params]:
        """The Params class that is shown.

        A new one takes over what the user set in fields of the same name and type, as
        far as its bounds allow that; what was at its default gets the new default.
        """
        return self._kind

    @kind.setter
    def kind(self, kind: type[Params]) -> None:
        if kind is self._kind:
            return
        old, shown = self._kind.model_fields, self.values()
        kept = {
            name: shown[name]
            for name, info in kind.model_fields.items()
            if name in shown
            and old[name].annotation == info.annotation
            and shown[name] != start_value(old[name])
            and _allowed(info, shown[name])
        }
        self._build(kind, kept)

    def values(self) -> dict[str, Any]:
        """Return the values as shown, allowed or not; without required ones left empty."""
        shown = {name: editor.value() for name, editor in self._editors.items()}
        fields = self._kind.model_fields
        return {
            name: value
            for name, value in shown.items()
            if not (fields[name].is_required() and value == "")
        }

    def params(self) -> Params:
        """Return the settings.

        Raises
        ------
        InvalidInput
            If a value is not allowed; one line.
        """
        return self._kind.parse(self.values())

    def set_params(self, params: Params) -> None:
        """Show some settings, of another kind too; ``changed`` is not emitted."""
        if type(params) is not self._kind:
            self._build(type(params), {})
        self._show(dict(params))

    def set_choices(self, choices: Mapping[str, Sequence[str]]) -> None:
        """Say what there is to choose from.

        Parameters
        ----------
        choices
            Texts by hint: "channels", "embeddings", "encoders" (paths), "tasks", "maps". A
            field keeps its value where it is still there, else gets its default or the first text;
            where nothing is known, any text may be typed. ``changed`` is not emitted.
        """
        self._choices = dict(choices)
        for name in self._editors:
            self._choose(name)
        self._chain()
        self._settle()

    def problem(self) -> str:
        """Return the line that says what is wrong, by the fields' titles; "" if nothing is."""
        try:
            self.params()
        except InvalidInput as error:
            return self._by_title(str(error))
        return ""

    def reset(self) -> None:
        """Show the defaults; ``changed`` is not emitted."""
        self._show({name: start_value(info) for name, info in _shown(self._kind).items()})
        for name in self._editors:
            self._choose(name)
        self._settle()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow napari's theme."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.StyleChange:
            self._paint_message()

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.addWidget(self._more)
        bar.addStretch(1)
        bar.addWidget(self._defaults)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._main)
        column.addLayout(bar)
        column.addWidget(self._advanced)
        column.addWidget(self._message)
        column.addStretch(1)
        self._paint_message()

    def _build(self, kind: type[Params], values: Mapping[str, Any]) -> None:
        """Make the fields of a class anew, at their defaults but for some values."""
        self._kind = kind
        self._main, self._advanced = self._renewed(self._main), self._renewed(self._advanced)
        fields = _shown(kind)
        # In the order of the tab key: the folded ones come last.
        folded = {name for name, info in fields.items() if hints_of(info).get("advanced")}
        self._editors = {}
        for name in sorted(fields, key=lambda name: name in folded):
            self._editors[name] = make_editor(fields[name])
            _add_row(
                self._advanced if name in folded else self._main, fields[name], self._editors[name]
            )
            self._editors[name].edited.connect(self._on_edit)
            self._choose(name)
        if not fields:
            _grid(self._main).addWidget(QLabel("No settings."), 0, 0)
        self._more.setVisible(bool(folded))
        self._defaults.setVisible(bool(fields))
        self._unfold(self._more.isChecked())
        self._chain()
        self._show(values)

    def _renewed(self, old: QWidget) -> QWidget:
        """Put an empty grid in the place of the old one."""
        new = QWidget(self)
        grid = QGridLayout(new)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(0, 2)
        grid.setColumnStretch(1, 3)
        layout = self.layout()
        if layout is not None:
            layout.replaceWidget(old, new)
        old.hide()
        old.deleteLater()
        return new

    def _choose(self, name: str) -> None:
        hint = hints_of(self._kind.model_fields[name]).get("choices")
        if hint:
            self._editors[name].set_choices(self._choices.get(str(hint), ()))

    def _show(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if name in self._editors:
                self._editors[name].set_value(value)
        self._settle()

    def _settle(self) -> None:
        """Take what is shown as seen, and say what is wrong with it."""
        self._seen = self.values()
        problem = self.problem()
        self._message.setText(problem)
        self._message.setVisible(bool(problem))

    def _on_edit(self) -> None:
        if self.values() != self._seen:
            self._settle()
            self.changed.emit()

    def _on_defaults(self) -> None:
        before = self.values()
        self.reset()
        if self.values() != before:
            self.changed.emit()

    def _unfold(self, unfolded: bool) -> None:
        # Hidden, not squeezed to no height as superqt's QCollapsible does it: the tab
        # key would stop at fields that nobody sees.
        self._more.setText("▾ Advanced" if unfolded else "▸ Advanced")
        self._advanced.setVisible(unfolded and not self._more.isHidden())

    def _chain(self) -> None:
        """Lead the tab key through the fields from top to bottom.

        Qt puts new widgets at the end of the window's chain, behind what follows the form.
        """
        stops = [*_stops(self._main), self._more, self._defaults, *_stops(self._advanced)]
        before = self.previousInFocusChain()
        while before is not None and before is not self:
            if not self.isAncestorOf(before) and _is_stop(before, self.window()):
                stops.insert(0, before)
                break
            before = before.previousInFocusChain()
        for first, second in pairwise(stops):
            QWidget.setTabOrder(first, second)

    def _by_title(self, line: str) -> str:
        for name, info in self._kind.model_fields.items():
            title = (info.title or name).replace("\\", r"\\")
            line = re.sub(rf"(^|; ){name}(\.\d+)? = ", rf"\g<1>{title} = ", line)
            line = line.replace(f"'{name}' is required", f"'{title}' is required")
        return line

    def _paint_message(self) -> None:
        # A bar in the theme's colour, since its yellow cannot be read as text on light ground.
        self._message.setStyleSheet(
            f"border-left: 3px solid {_warning_colour()}; padding: 2px 0 2px 6px"
        )


def _shown(kind: type[Params]) -> dict[str, FieldInfo]:
    """Return the fields of a class that a form shows."""
    fields = kind.model_fields.items()
    return {name: info for name, info in fields if not hints_of(info).get("command_line")}


def _add_row(body: QWidget, info: FieldInfo, editor: Editor) -> None:
    """Add a label and an editor, beneath each other where the editor is a wide one."""
    title, about = info.title or "", info.description or ""
    label = QLabel(title)
    label.setWordWrap(True)
    label.setBuddy(editor)
    for widget in (label, editor):
        widget.setToolTip(_rich(about))
    editor.setAccessibleName(title)
    editor.setAccessibleDescription(about)
    grid = _grid(body)
    row = grid.rowCount()
    if editor.wide:
        grid.addWidget(label, row, 0, 1, 2)
        editor.setContentsMargins(5, 0, 0, 0)  # where napari begins the text of labels
        grid.addWidget(editor, row + 1, 0, 1, 2)
    else:
        top = Qt.AlignmentFlag.AlignTop
        grid.addWidget(label, row, 0, top if editor.tall else Qt.AlignmentFlag.AlignVCenter)
        grid.addWidget(editor, row, 1)


def _rich(text: str) -> str:
    """Make a tool tip that wraps: Qt keeps plain text in one line, however long."""
    return f"<qt>{html.escape(text)}</qt>" if text else ""


def _grid(body: QWidget) -> QGridLayout:
    grid = body.layout()
    assert isinstance(grid, QGridLayout)
    return grid


def _stops(body: QWidget) -> list[QWidget]:
    return [widget for widget in body.findChildren(QWidget) if _is_stop(widget, body.window())]


def _is_stop(widget: QWidget, window: QWidget | None) -> bool:
    """Whether the tab key stops here, if it is shown; menus and lists are windows of their own."""
    tab = widget.focusPolicy() & Qt.FocusPolicy.TabFocus
    return bool(tab) and widget.focusProxy() is None and widget.window() is window


def _allowed(info: FieldInfo, value: Any) -> bool:
    try:
        TypeAdapter(info.rebuild_annotation()).validate_python(value)
    except ValidationError:
        return False
    return True


def _warning_colour() -> str:
    from napari.settings import get_settings
    from napari.utils.theme import get_theme

    return str(get_theme(get_settings().appearance.theme).warning)
