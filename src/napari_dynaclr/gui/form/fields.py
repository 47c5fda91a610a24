"""Editors: one small widget for each kind of setting, all with the same four methods."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import create_widget
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.gui.elided import elide
from napari_dynaclr.gui.form.numbers import NumberBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo
    from qtpy.QtGui import QDragEnterEvent, QDropEvent


_PART = re.compile(r'\s*(?:("(?:[^"]|"")*")|([^,]*?))\s*(?:,|\Z)')
"""A text in a line of them: in quotes, or up to the next comma."""

_NUMBER = re.compile(r"\d+(\.\d+)?")


class WheelGuard(QObject):
    """Keeps the mouse wheel, meant to scroll the dock, from changing what it passes over."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Hand the wheel on to the parent, unless the user has clicked into the widget."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        if not isinstance(watched, QWidget) or watched.hasFocus():
            return False
        event.ignore()
        return True


class Editor(QWidget):
    """One setting: shows a value, and says when the user edits it."""

    edited = Signal()
    """The user edited the value; not emitted by :meth:`set_value`."""

    wide = False
    """Whether it wants the whole width of a form."""

    tall = False
    """Whether it may have more than one line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QVBoxLayout(self) if self.tall else QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self._row = row

    def _fill(self, widget: QWidget) -> None:
        """Put in the widget that gets the focus, safe from the mouse wheel."""
        self._row.addWidget(widget)
        self.setFocusProxy(widget)
        if isinstance(widget, QComboBox):
            elide(widget)
        widget.installEventFilter(WheelGuard(widget))

    def value(self) -> Any:
        """Return the value as shown."""
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        """Show a value."""
        raise NotImplementedError

    def set_choices(self, choices: Sequence[str]) -> None:
        """Take the texts to choose from, keeping the value where it is among them."""


class StockEditor(Editor):
    """A yes or no, a text, or one of a few values, by magicgui's widget for it."""

    def __init__(self, annotation: Any, parent: QWidget | None = None, **options: Any) -> None:
        super().__init__(parent)
        widget: Any = create_widget(annotation=annotation, options=options)
        self._widget = widget
        self._fill(self._widget.native)
        self._widget.changed.connect(self._say)

    def value(self) -> Any:
        """Return the value as shown."""
        return self._widget.value

    def set_value(self, value: Any) -> None:
        """Show a value."""
        with self._widget.changed.blocked():
            self._widget.value = value

    def _say(self) -> None:
        self.edited.emit()


class NumberEditor(Editor):
    """A number."""

    def __init__(
        self, info: FieldInfo, kind: type[int] | type[float], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._box = NumberBox(info, kind)
        self._fill(self._box)
        self._box.edited.connect(self.edited)

    def value(self) -> int | float | str:
        """Return the number, or the text where that is none."""
        return self._box.value()

    def set_value(self, value: float | str) -> None:
        """Show a number; nothing for the empty text."""
        self._box.set_value(value)

    def set_placeholder(self, text: str) -> None:
        """Say what it means that there is no number."""
        self._box.set_placeholder(text)


class TextsEditor(Editor):
    """Several texts, separated by commas.

    Parameters
    ----------
    left_out
        What it means that there are none.
    """

    def __init__(self, left_out: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._line = QLineEdit()
        self._line.setPlaceholderText(left_out or "separated by commas")
        self._fill(self._line)
        self._line.textEdited.connect(self._say)

    def value(self) -> tuple[str, ...]:
        """Return the texts, without the spaces around them."""
        return split(self._line.text())

    def set_value(self, value: Sequence[str]) -> None:
        """Show some texts."""
        self._line.setText(join(value))

    def _say(self) -> None:
        self.edited.emit()


class NumbersEditor(TextsEditor):
    """Several numbers in a line, with commas between them."""

    def value(self) -> tuple[Any, ...]:
        """Return the numbers; a text that is none is returned as it is, to be refused."""
        return tuple(map(_number, super().value()))

    def set_value(self, value: Sequence[Any]) -> None:
        """Show some numbers, all their digits."""
        super().set_value([str(number).removesuffix(".0") for number in value])


def _number(text: str) -> Any:
    for kind in (int, float):  # a whole number keeps all its digits
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class PathEditor(Editor):
    """A path: typed, chosen in a dialog, or dropped.

    Parameters
    ----------
    what
        "file", "folder", or "any" for either.
    pattern
        Filter of the file dialog, such as "CSV (*.csv)".
    left_out
        What it means that there is none.
    """

    wide = True

    def __init__(
        self, what: str, pattern: str = "", left_out: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._what, self._filter = what, pattern
        self._line = _PathLine()
        self._line.setPlaceholderText(left_out)
        self._fill(self._field())
        self._line.textChanged.connect(self._tell)
        self._line.edited.connect(self.edited)
        button = QPushButton("Browse…")
        self._row.addWidget(button)
        if what == "any":
            menu = QMenu(button)
            menu.addAction("File…", lambda: self.browse("file"))
            menu.addAction("Folder…", lambda: self.browse("folder"))
            button.setMenu(menu)
        else:
            button.clicked.connect(lambda: self.browse(what))

    def _field(self) -> QWidget:
        """Return what the path is entered in."""
        return self._line

    def _tell(self) -> None:
        self._line.setToolTip(self.value())

    def value(self) -> str:
        """Return the path as typed."""
        return self._line.text()

    def set_value(self, value: str) -> None:
        """Show a path."""
        self._line.setText(value)

    def browse(self, what: str) -> None:
        """Ask for a "file" or a "folder"."""
        start = self.value() or str(Path.home())
        title = self.accessibleName() or f"Choose a {what}"
        if what == "file":
            path, _ = QFileDialog.getOpenFileName(self, title, start, self._filter)
        else:
            path = QFileDialog.getExistingDirectory(self, title, start)
        if path:
            self._line.take(path)


class _PathLine(QLineEdit):
    """A line that takes dropped files as plain paths."""

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.textEdited.connect(lambda _: self.edited.emit())

    def take(self, path: str) -> None:
        self.setText(path)
        self.edited.emit()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        if event is not None and _local_path(event):
            event.acceptProposedAction()
        else:
            super().dragEnterEvent(event)

    def dropEvent(self, event: QDropEvent | None) -> None:
        if event is not None and (path := _local_path(event)):
            event.acceptProposedAction()
            self.take(path)
        else:
            super().dropEvent(event)


def _local_path(event: QDropEvent) -> str:
    """Return the first file that is being dropped, "" where it is something else."""
    data = event.mimeData()
    urls = data.urls() if data is not None else []
    return urls[0].toLocalFile() if urls else ""


class ListedPathEditor(PathEditor):
    """A path to a file of which some are known: these are offered by their names."""

    def _field(self) -> QWidget:
        self._known: dict[str, str] = {}
        self._combo = QComboBox()
        self._combo.setEditable(True)
        self._combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._combo.setLineEdit(self._line)
        # Completion would turn a path that is typed into the known one that begins like it.
        self._combo.setCompleter(None)
        self._combo.activated.connect(lambda _: self.edited.emit())
        return self._combo

    def value(self) -> str:
        """Return the path of the chosen file, or the path as typed."""
        text = self._line.text()
        return self._known.get(text, text)

    def set_value(self, value: str) -> None:
        """Show a path, by its name if it is a known one."""
        names = {path: name for name, path in self._known.items()}
        self._combo.setCurrentIndex(self._combo.findText(names.get(value, "")))
        self._line.setText(names.get(value, value))
        self._tell()

    def set_choices(self, choices: Sequence[str]) -> None:
        """Take the paths that are known; names are those of their files."""
        value = self.value()
        self._known = {Path(path).name: path for path in choices}
        self._combo.clear()
        for name, path in self._known.items():
            self._combo.addItem(name)
            self._combo.setItemData(self._combo.count() - 1, path, Qt.ItemDataRole.ToolTipRole)
        self.set_value(value)


class OptionalEditor(Editor):
    """A setting that may be left open: a tick in front of the editor proper.

    Parameters
    ----------
    inner
        The editor proper.
    left_out
        What it means that it is left open: shown in the place of a number.
    """

    def __init__(self, inner: Editor, left_out: str = "", parent: QWidget | None = None) -> None:
        self.tall, self.wide = inner.tall, inner.wide
        super().__init__(parent)
        self._tick, self._inner = QCheckBox(), inner
        self._fill(self._tick)
        self._row.addWidget(inner, 1)
        self._number = inner if isinstance(inner, NumberEditor) else None
        if self._number is not None:
            self._number.set_placeholder(left_out)
        else:
            inner.setEnabled(False)
            self._tick.toggled.connect(inner.setEnabled)
        # A number that it stands for is a good one to begin with.
        number = _NUMBER.match(left_out)
        self._last: Any = number.group() if number else ""
        self._tick.clicked.connect(self._click)
        inner.edited.connect(self._edit)

    def value(self) -> Any:
        """Return the value, None where there is no tick."""
        return self._inner.value() if self._tick.isChecked() else None

    def set_value(self, value: Any) -> None:
        """Show a value or None."""
        self._tick.setChecked(value is not None)
        if value is not None:
            self._inner.set_value(value)
        elif self._number is not None:
            self._number.set_value("")

    def set_choices(self, choices: Sequence[str]) -> None:
        """Pass the choices on."""
        self._inner.set_choices(choices)

    def _click(self, ticked: bool) -> None:
        """Show a number only while it counts."""
        if self._number is not None and ticked:
            self._number.set_value(self._last)
            self._number.setFocus()
        elif self._number is not None:
            self._last = self._number.value()
            self._number.set_value("")
        self.edited.emit()

    def _edit(self) -> None:
        """Tick what a number is typed for."""
        if self._number is not None:
            self._tick.setChecked(self._number.value() != "")
        self.edited.emit()


def join(texts: Sequence[str]) -> str:
    """Write texts in one line with commas; quoted where :func:`split` needs it."""
    return ", ".join(_quoted(text) if _needs_quotes(text) else text for text in texts)


def split(line: str) -> tuple[str, ...]:
    """Read texts that are separated by commas; what is in quotes may hold some."""
    parts = _PART.findall(line)
    return tuple(
        quoted[1:-1].replace('""', '"') or plain for quoted, plain in parts if quoted or plain
    )


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _needs_quotes(text: str) -> bool:
    return not text or text != text.strip() or any(sign in text for sign in ',"\r\n')
