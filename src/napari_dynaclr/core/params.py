"""Params: a method's settings, described once.

The fields of a subclass give the form in the GUI, the options of the command
line with their help, and the record of provenance.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"\w[\w-]*")

_APART = {"speed_only", "on_failure"}
"""Hints of fields that a result does not depend on."""


def check_name(name: str) -> str:
    """Return a name that results are kept under, if it can be that of a file.

    Raises
    ------
    ValueError
        If it has other characters than letters, digits, - and _.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("use letters, digits, - and _")
    return name


class Params(BaseModel):
    """Settings of one method: frozen, unknown names refused.

    Subclasses write each field once, with ``Field(title=, description=, ge=, le=)``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Build from loose values, as a file or a command line holds them.

        Parameters
        ----------
        values
            Field names and values; text is converted where that is safe.

        Raises
        ------
        InvalidInput
            If a name is unknown or a value not allowed; one line names them all.
        """
        try:
            return cls.model_validate({str(name): value for name, value in values.items()})
        except ValidationError as error:
            reasons = "; ".join(cls._reason(detail) for detail in error.errors())
            raise InvalidInput(f"{reasons}.") from None

    @classmethod
    def _reason(cls, detail: Any) -> str:
        name = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, cls.model_fields, n=1)
            known = (
                f"did you mean '{near[0]}'?" if near else f"known: {', '.join(cls.model_fields)}"
            )
            return f"unknown setting '{name}' ({known})"
        if detail["type"] == "missing":
            return f"'{name}' is required"
        message = str(detail["msg"]).removeprefix("Value error, ")
        message = message[:1].lower() + message[1:].partition(", unable to parse")[0]
        if not name:  # of settings that do not go together, which the message names
            return message
        return f"{name} = {detail['input']!r}: {message}"

    def digest(self) -> str:
        """Short hash of the settings; equal settings give equal digests.

        Fields that say ``json_schema_extra={"speed_only": True}`` are left out: they
        change how fast a result is there, not what it is. So are those with ``on_failure``:
        they say what happens where there is nothing to make a result from, and the
        stage answers for it that such places are made when there is.
        """
        apart = {
            name
            for name, field in type(self).model_fields.items()
            if isinstance(field.json_schema_extra, dict)
            and not _APART.isdisjoint(field.json_schema_extra)
        }
        text = json.dumps(self.model_dump(mode="json", exclude=apart), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class ComputeParams(Params):
    """Settings of whatever runs a network: where, and how exactly."""

    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto",
        title="Device",
        description="Where to compute; auto takes the fastest there is.",
        json_schema_extra={"advanced": True, "speed_only": True},
    )
    precision: Literal["auto", "full", "mixed"] = Field(
        "auto",
        title="Precision",
        description="Mixed is twice as fast on an NVIDIA GPU, where auto chooses it.",
        json_schema_extra={"advanced": True},
    )
