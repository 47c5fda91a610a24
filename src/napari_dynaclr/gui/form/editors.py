"""Which editor shows a field of a Params class: by its type, and by its hints."""

from __future__ import annotations

import types
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from napari_dynaclr.gui.form.choices import ALL, AUTOMATIC, ChoiceEditor, ChoicesEditor
from napari_dynaclr.gui.form.fields import (
    Editor,
    ListedPathEditor,
    NumberEditor,
    NumbersEditor,
    OptionalEditor,
    PathEditor,
    StockEditor,
    TextsEditor,
)
from napari_dynaclr.gui.form.order import OrderEditor

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def hints_of(info: FieldInfo) -> dict[str, Any]:
    """Return what a field says about its looks, in ``json_schema_extra``.

    Known are ``choices`` (a name of :meth:`Form.set_choices`), ``editable`` (other
    texts than those choices are welcome), ``ordered`` (several choices have an order that
    matters), ``path`` ("file", "folder" or "any"), ``filter`` (of the file dialog),
    ``left_out`` (what it means that nothing is entered, in a few words), ``advanced``
    (folded away) and ``command_line`` (not in a form at all). ``speed_only`` and
    ``on_failure`` (see :meth:`Params.digest`), and ``values`` (which texts of several are
    allowed) say nothing of looks.
    """
    extra = info.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def make_editor(info: FieldInfo) -> Editor:
    """Make the editor of a field; it shows the default, or nothing.

    Raises
    ------
    TypeError
        If there is no editor for the field's type.
    """
    editor = _editor(info, info.annotation)
    editor.set_value(start_value(info))
    return editor


def start_value(info: FieldInfo) -> Any:
    """Return what a field shows at first: its default, or nothing where one is required."""
    if not info.is_required():
        return info.get_default(call_default_factory=True)
    kind = info.annotation
    if _inner(kind) is not None:
        return None
    if options := _options(kind):
        return options[0]
    if kind is bool:
        return False
    return () if get_origin(kind) is tuple else ""


def _editor(info: FieldInfo, kind: Any) -> Editor:
    hints = hints_of(info)
    left_out = str(hints.get("left_out", ""))
    if (inner := _inner(kind)) is not None:
        return OptionalEditor(_editor(info, inner), left_out or AUTOMATIC)
    if options := _options(kind):
        named = [(_name(option), option) for option in options]
        return StockEditor(kind, widget_type="ComboBox", choices=named)
    if kind is bool:
        return StockEditor(bool, text="")
    if kind is int or kind is float:
        return NumberEditor(info, kind)
    if get_args(kind) == (str, ...) and get_origin(kind) is tuple:
        return _several(hints, left_out)
    if get_args(kind) in ((float, ...), (int, ...)) and get_origin(kind) is tuple:
        return NumbersEditor(left_out)
    if kind is str and "path" in hints:
        listed = ListedPathEditor if "choices" in hints else PathEditor
        return listed(str(hints["path"]), str(hints.get("filter", "")), left_out)
    if kind is str and "choices" in hints:
        default = None if info.is_required() else info.default
        return ChoiceEditor(default, bool(hints.get("editable", False)), left_out or AUTOMATIC)
    if kind is str:
        return StockEditor(str)
    raise TypeError(f"There is no editor for a field of type {kind}.")


def _several(hints: dict[str, Any], left_out: str) -> Editor:
    if "choices" not in hints:
        return TextsEditor(left_out)
    return OrderEditor(left_out) if hints.get("ordered") else ChoicesEditor(left_out or ALL)


def _inner(kind: Any) -> Any:
    """Return T of ``T | None``; None for other types."""
    if get_origin(kind) not in (Union, types.UnionType):
        return None
    parts = [part for part in get_args(kind) if part is not types.NoneType]
    return parts[0] if len(parts) == 1 else None


def _options(kind: Any) -> list[Any]:
    """Return the values that there are, for a Literal or an Enum; else none."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return list(kind) if isinstance(kind, type) and issubclass(kind, Enum) else []


def _name(option: Any) -> str:
    return str(option.value if isinstance(option, Enum) else option)
