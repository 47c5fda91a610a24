"""Editors of texts that are chosen from what there is, such as the channels of the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QWidget,
)

from napari_dynaclr.gui.form.fields import Editor, TextsEditor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QResizeEvent

AUTOMATIC = "automatic"
"""What a choice shows for the empty text."""

ALL = "all"
"""What a choice of several shows where none is named."""


class ChoiceEditor(Editor):
    """One of the texts there are, such as the channels of the dataset.

    Parameters
    ----------
    default
        Taken when the value is no longer possible; "" is shown as "automatic". None where
        there is none.
    editable
        Whether other texts are welcome even where there are choices.
    left_out
        What the empty text is shown as.
    """

    def __init__(
        self,
        default: str | None,
        editable: bool,
        left_out: str = AUTOMATIC,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._default, self._editable, self._left_out = default, editable, left_out
        self._combo = QComboBox()
        self._combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._combo.activated.connect(self._say)
        self._fill(self._combo)
        self.set_choices(())

    def value(self) -> str:
        """Return the chosen or typed text."""
        text, at = self._combo.currentText(), self._combo.currentIndex()
        if at < 0 or text != self._combo.itemText(at):
            at = self._combo.findText(text)
        return str(self._combo.itemData(at)) if at >= 0 else text

    def set_value(self, value: str) -> None:
        """Show a text, a new one too."""
        at = self._combo.findData(value)
        if at < 0 and not value:
            self._combo.setCurrentIndex(-1)
            if self._combo.isEditable():
                self._combo.clearEditText()
            return
        if at < 0:
            at = self._combo.count()
            self._combo.addItem(value, value)
        self._combo.setCurrentIndex(at)
        if self._combo.isEditable():
            # Qt leaves what was typed where the index stays the same.
            self._combo.setEditText(self._combo.itemText(at))

    def set_choices(self, choices: Sequence[str]) -> None:
        """Take the texts to choose from.

        The value stays if it is one of them, or if others are welcome; else the default
        is chosen, or the first text where the default is not there either.
        """
        value = self.value()
        free = self._editable or not choices
        possible = ["", *choices] if self._default == "" else list(choices)
        self._combo.clear()
        for choice in possible:
            self._combo.addItem(choice or self._left_out, choice)
        self._make_editable(free)
        if free or value in possible:
            self.set_value(value)
        else:
            self.set_value(self._default if self._default in possible else possible[0])

    def _make_editable(self, editable: bool) -> None:
        if editable == self._combo.isEditable():
            return
        self._combo.setEditable(editable)
        line = self._combo.lineEdit()
        if line is not None:
            # Completion would turn a new name into the known one that begins like it.
            self._combo.setCompleter(None)
            line.textEdited.connect(self._say)

    def _say(self) -> None:
        self.edited.emit()


class ChoicesEditor(Editor):
    """Several of the texts there are; typed while it is not known what there is.

    Parameters
    ----------
    left_out
        What it means that none is named.
    """

    tall = True

    def __init__(self, left_out: str = ALL, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._left_out = left_out
        self._value: tuple[str, ...] = ()
        self._choices: tuple[str, ...] = ()
        self._boxes: list[_Tick] = []
        self._texts = TextsEditor()
        self._fill(self._texts)
        self._texts.edited.connect(self.edited)

    def value(self) -> tuple[str, ...]:
        """Return the chosen texts: as they were set, or in the order of the choices."""
        return self._value if self._choices else self._texts.value()

    def set_value(self, value: Sequence[str]) -> None:
        """Choose some texts, new ones too."""
        self._value = tuple(value)
        self._texts.set_value(value)
        self._show()

    def set_choices(self, choices: Sequence[str]) -> None:
        """Take the texts to choose from; none if that is not known."""
        value = self.value()
        self._choices = tuple(choices)
        self.set_value([text for text in value if text in choices] if choices else value)

    def _show(self) -> None:
        wanted = [*dict.fromkeys((*self._choices, *self._value))] if self._choices else []
        if [box.title for box in self._boxes[1:]] != wanted:
            for box in self._boxes:
                self._row.removeWidget(box)
                box.hide()
                box.deleteLater()
            self._boxes = [
                self._box(text) for text in ([self._left_out, *wanted] if wanted else [])
            ]
        self._texts.setVisible(not self._boxes)
        self.setFocusProxy(self._boxes[0] if self._boxes else self._texts)
        for at, box in enumerate(self._boxes):
            box.setChecked(wanted[at - 1] in self._value if at else not self._value)

    def _box(self, text: str) -> _Tick:
        box = _Tick(text, self)
        self._row.addWidget(box)
        box.clicked.connect(self._click)
        return box

    def _click(self) -> None:
        everything = self.sender() is self._boxes[0]
        known = [*dict.fromkeys((*self._choices, *self._value))]
        ticked = zip(known, self._boxes[1:], strict=True)
        self._value = () if everything else tuple(text for text, box in ticked if box.isChecked())
        self._show()
        self.edited.emit()


class _Tick(QCheckBox):
    """A check box whose title is cut with "…" where the dock is narrow."""

    def __init__(self, title: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.title = title
        self.setToolTip(title)
        self.setAccessibleName(title)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._cut()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Cut the title anew."""
        super().resizeEvent(event)
        self._cut()

    def _cut(self) -> None:
        style, option = self.style(), QStyleOptionButton()
        if style is None:
            return
        self.initStyleOption(option)
        room = style.subElementRect(QStyle.SubElement.SE_CheckBoxContents, option, self).width()
        text = self.fontMetrics().elidedText(self.title, Qt.TextElideMode.ElideMiddle, room)
        # Qt takes a single "&" for the mark of a shortcut.
        self.setText(text.replace("&", "&&"))
