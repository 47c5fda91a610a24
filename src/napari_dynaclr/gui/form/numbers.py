"""A box for numbers that shows and gives back exactly the number it was given."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from qtpy.QtCore import QSize, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QLineEdit, QSizePolicy

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from qtpy.QtWidgets import QWidget

_TYPED = {
    int: re.compile(r"\s*[+-]?\d*\s*"),
    float: re.compile(r"\s*[+-]?\d*[.,]?\d*([eE][+-]?\d*)?\s*"),
}
"""What may stand in the box while a number is being typed."""


class NumberBox(QAbstractSpinBox):
    """Spin box whose value is the number that its text says.

    Qt's own boxes round floats to a fixed count of decimals, end at 2**31 - 1 and
    silently change a number out of bounds; superqt's large one clamps while one is
    still typing. Here 1e-05 stays 1e-05, and what is not allowed stays to be seen,
    for the form to say what is wrong with it.

    Parameters
    ----------
    info
        A pydantic field; its default and bounds give the step.
    kind
        ``int`` or ``float``.
    """

    edited = Signal()
    """The user changed the text."""

    def __init__(
        self, info: FieldInfo, kind: type[int] | type[float], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._kind = kind
        self._allowed: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
        self._low, self._high = _bound(info, "ge", "gt"), _bound(info, "le", "lt")
        self._last = info.default if isinstance(info.default, (int, float)) else self._low or 0
        self._step = step_of(self._last, self._low, self._high, kind)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._line = QLineEdit(self)
        self._line.textEdited.connect(self._say)
        self._line.textChanged.connect(self._remember)
        self.setLineEdit(self._line)

    def value(self) -> int | float | str:
        """Return the number, or the text as it is where that is no number."""
        text = self._line.text().strip()
        try:
            return self._kind(text.replace(",", ".") if self._kind is float else text)
        except ValueError:
            return text

    def set_value(self, value: float | str) -> None:
        """Show a number, without a signal."""
        text = value if isinstance(value, str) else repr(value).removesuffix(".0")
        self._line.setText(text)

    def set_placeholder(self, text: str) -> None:
        """Say what it means that there is no number."""
        self._line.setPlaceholderText(text)

    def step(self) -> int | float:
        """Return by how much an arrow key changes the number."""
        return self._step

    def _say(self) -> None:
        self.edited.emit()

    def _remember(self) -> None:
        value = self.value()
        if not isinstance(value, str) and math.isfinite(value):
            self._last = value

    def _stepped(self, steps: int) -> int | float:
        """Return the number some steps on; the present one where that is not allowed."""
        value = self._last + steps * self._step
        if self._kind is float:
            # Decimals, since 0.1 + 0.2 in floats is not what anybody wants to see in a box.
            value = float(Decimal(repr(self._last)) + steps * Decimal(repr(self._step)))
        value = max(value, self._low) if self._low is not None else value
        value = min(value, self._high) if self._high is not None else value
        try:
            self._allowed.validate_python(self._kind(value))
        except ValueError:  # an open bound, such as 0 where more than 0 is asked for
            return self._last
        return self._kind(value)

    # Names of Qt's virtual methods.

    def stepBy(self, steps: int) -> None:
        """Change the number as an arrow key or button does."""
        before = self.value()
        self.set_value(self._stepped(steps))
        self.selectAll()
        if self.value() != before:
            self.edited.emit()

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        """Say which of the arrows do something."""
        flags = QAbstractSpinBox.StepEnabledFlag.StepNone
        if self._stepped(1) != self.value():
            flags |= QAbstractSpinBox.StepEnabledFlag.StepUpEnabled
        if self._stepped(-1) != self.value():
            flags |= QAbstractSpinBox.StepEnabledFlag.StepDownEnabled
        return flags

    def validate(self, text: str | None, at: int) -> tuple[QValidator.State, str, int]:
        """Refuse letters; everything else may be on its way to a number."""
        fits = _TYPED[self._kind].fullmatch(text or "")
        state = QValidator.State.Acceptable if fits else QValidator.State.Invalid
        return state, text or "", at

    def sizeHint(self) -> QSize:
        """Ask for the width of an ordinary number."""
        width = self.fontMetrics().horizontalAdvance("0" * 8)
        return QSize(width, max(self._line.sizeHint().height(), super().sizeHint().height()))

    def minimumSizeHint(self) -> QSize:
        """Return the size hint: a shorter number would be cut."""
        return self.sizeHint()


def step_of(
    default: float, low: float | None, high: float | None, kind: type[int] | type[float]
) -> int | float:
    """Choose a handy step: 1, 2 or 5 times a power of ten.

    Parameters
    ----------
    default
        The usual value: the step is at most a tenth of it.
    low, high
        Bounds, or None: the step is at most a hundredth of the range.
    kind
        ``int`` or ``float``; integers below 100 go by 1.
    """
    sizes = [abs(default) / 10] if default else []
    if low is not None and high is not None and high > low:
        sizes.append((high - low) / 100)
    size = Decimal(repr(min(sizes, default=0.1)))
    exponent = size.adjusted()
    lead = max(lead for lead in (1, 2, 5) if lead <= size.scaleb(-exponent))
    step = float(Decimal(lead).scaleb(exponent))
    if kind is int:
        return int(step) if abs(default) >= 100 and step >= 1 else 1
    return step


def _bound(info: FieldInfo, *names: str) -> int | float | None:
    found = [getattr(rule, name) for rule in info.metadata for name in names if hasattr(rule, name)]
    return found[0] if found else None
