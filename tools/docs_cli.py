"""mkdocs hook: fills docs/cli.md with the help of every command, taken from the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER = "<!-- the commands -->"
NAME = "napari-dynaclr"


def sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """Yield one Markdown section for ``command`` and one for each command below it."""
    context = click.Context(command, parent, name, max_content_width=96, terminal_width=96)
    depth = "##" if parent is None else "###"
    yield f"{depth} {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            if child is not None and not child.hidden:
                yield from sections(child, child_name, context)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the marker; called by mkdocs with every page."""
    if MARKER not in markdown:
        return markdown
    from napari_dynaclr.cli import main

    return markdown.replace(MARKER, "\n".join(sections(main, NAME, None)))
