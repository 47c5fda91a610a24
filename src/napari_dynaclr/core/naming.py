"""Settings in sentences: by the names that whoever reads them knows.

Messages name a setting as Python does: ``patch_size``, ``channel=``, ``empty_frames=skip``,
``local_aggregation=False``. Who shows them to somebody else puts other names in their place: the
command line its options, the GUI the titles of its forms.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_dynaclr.core.params import Params

_SWITCH = {"True": True, "False": False}


def as_options(text: str, kind: type[Params]) -> str:
    """Name settings as the command line does: ``--patch-size``, ``--empty-frames skip``.

    Parameters
    ----------
    text
        A message.
    kind
        Of the settings that it is about.
    """

    def option(name: str, value: str) -> str:
        flag = name.replace("_", "-")
        if value in _SWITCH:
            return f"--{'' if _SWITCH[value] else 'no-'}{flag}"
        return f"--{flag} {value}".rstrip()

    return _renamed(text, kind, option)


def by_titles(text: str, kind: type[Params]) -> str:
    """Name settings as a form does: 'Patch size (pixels)', 'Empty frames' = skip.

    Parameters
    ----------
    text
        A message.
    kind
        Of the settings that it is about.
    """

    def titled(name: str, value: str) -> str:
        title = f"'{kind.model_fields[name].title or name}'"
        if value in _SWITCH:
            return f"{title} {'on' if _SWITCH[value] else 'off'}"
        return f"{title} = {value}" if value else title

    return _renamed(text, kind, titled)


def _renamed(text: str, kind: type[Params], name: Callable[[str, str], str]) -> str:
    fields = sorted(kind.model_fields, key=len, reverse=True)
    if not fields:
        return text
    # A plain word, such as "channel", is the setting only where a "=" follows.
    bare = "|".join(re.escape(one) for one in fields if "_" in one) or "(?!)"
    every = "|".join(map(re.escape, fields))
    pattern = (
        rf"(?<![\w.'/=-])(?:({every})=((?:[\w-]|\.(?=\w))*)|({bare})(?![\w=/']|\.\w))"
        rf"|(?:^|(?<=; ))({every})(?= = )"
    )
    return re.sub(
        pattern, lambda found: name(found[1] or found[3] or found[4], found[2] or ""), text
    )
