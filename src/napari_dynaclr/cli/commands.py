"""How commands are made: one line per error, and options from the Params of a method."""

from __future__ import annotations

import difflib
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from napari_dynaclr.core.errors import Cancelled, DynaclrError
from napari_dynaclr.core.naming import as_options
from napari_dynaclr.core.registry import find_method, methods
from napari_dynaclr.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic.fields import FieldInfo

    from napari_dynaclr.core.params import Params

_SUMMARY = {
    "simulate": "Make a simulated time-lapse with ground truth.",
    "convert": "Convert TIFF stacks or folders of TIFFs to OME-Zarr.",
    "stain": "Stain nuclei and membranes virtually, from label-free images.",
    "segment": "Find the cells of every time point.",
    "track": "Link segmented cells over time.",
    "correct": "Put tracks right: list what is suspect, do actions, write them.",
    "embed": "Embed every tracked cell at every time point.",
    "train": "Train a network: an encoder of cells, a stainer, a tracker, TAP or SSLProfiler.",
    "find": "Find likely events, such as divisions, in whole movies.",
    "project": "Map the embedding to two or more dimensions.",
    "profile": "Profile wells and conditions, to compare them as wholes.",
    "annotate": "Take over annotations from a table, or from likely events.",
    "classify": "Predict a state for every cell from a few annotated ones.",
    "evaluate": "Measure stains, tracks, embeddings, events, profiles and predictions.",
    "compare": "Measure encoders, trackers, or ways to learn from few labels, beside each other.",
}


class Commands(click.Group):
    """The group of all commands; turns errors meant for the user into one line."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command line and leave with its exit code; without arguments, help.

        click's own errors (an unknown option, a missing one) come out as one line too.
        """
        given = sys.argv[1:] if args is None else list(args)
        options |= {"standalone_mode": False, "prog_name": "napari-dynaclr"}
        try:
            code = super().main(given or ["--help"], *rest, **options)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "napari-dynaclr"
            text = one_line(error.format_message())
            stop = "" if text[-1] in ".?" else "."
            click.echo(f"Error: {text}{stop} See '{command} --help'.", err=True)
            code = 2
        except click.ClickException as error:
            click.echo(f"Error: {one_line(error.format_message())}", err=True)
            code = 2
        except click.Abort:
            code = 130
        code = code if isinstance(code, int) else 0
        working = any(one.name.startswith("napari-dynaclr") for one in threading.enumerate())
        if args is None and working:
            # A cancelled network is still at its last batch: PyTorch would abort the program.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        sys.exit(code)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names, or suggest the nearest."""
        near = difflib.get_close_matches(args[0], self.commands, n=1)
        if near and args[0] not in self.commands:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; exit 2 on bad input, 130 when cancelled."""
        try:
            return super().invoke(ctx)
        except DynaclrError as error:
            click.echo(f"Error: {one_line(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except (Cancelled, KeyboardInterrupt):
            click.echo("Cancelled. Run the same command again to resume.", err=True)
            ctx.exit(130)
        except OSError as error:
            place = f": {error.filename}" if error.filename else ""
            click.echo(f"Error: {one_line(error.strerror or str(error))}{place}", err=True)
            ctx.exit(2)


@contextmanager
def own_names(kind: type[Params]) -> Iterator[Callable[[str], str]]:
    """Have errors name settings as options; give what does so with other sentences.

    Parameters
    ----------
    kind
        Of the settings that they are about.
    """
    try:
        yield lambda text: as_options(text, kind)
    except DynaclrError as error:
        error.args = (as_options(str(error), kind),)
        raise


class MethodCommand(click.Command):
    """A command whose options are the settings of the method that ``--method`` names."""

    def __init__(self, stage: str, **kwargs: Any) -> None:
        super().__init__(name=stage, help=_SUMMARY[stage], **kwargs)
        self.stage = stage
        self._common = list(self.params)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look for the method first, then read its options."""
        name = None
        for i, arg in enumerate(args):
            if arg == "--method" and i + 1 < len(args):
                name = args[i + 1]
            elif arg.startswith("--method="):
                name = arg.partition("=")[2]
        try:
            self._describe(name)
        except DynaclrError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help, with the default method's options if none was chosen."""
        if self.params == self._common:
            self._describe(None)
        return super().get_help(ctx)

    def _describe(self, name: str | None) -> None:
        method = find_method(self.stage, name)
        known = methods(self.stage)
        choices = "; ".join(f"{m.name}: {m.title}" for m in known)
        choose = click.Option(
            ["--method"],
            type=click.Choice([m.name for m in known]),
            default=method.name,
            show_default=True,
            help=f"{choices}. Options below are those of '{method.name}'.",
        )
        self.params = [*self._common, choose, *_options(method.params_class())]


def _options(kind: type[Params]) -> list[click.Option]:
    """Make one option of each field of some settings."""
    options = []
    for name, field in sorted(kind.model_fields.items(), key=_is_advanced):
        flag = name.replace("_", "-")
        default = "" if field.is_required() else _default(field.default)
        about = as_options(field.description or field.title or name, kind)
        text = f"{about}{_bounds(field)}"
        shared: dict[str, Any] = {"help": text + default, "default": None}
        origin = get_origin(field.annotation)
        if field.annotation is bool:
            options.append(click.Option([f"--{flag}/--no-{flag}", name], **shared))
        elif origin is Literal:
            kinds = click.Choice([str(value) for value in get_args(field.annotation)])
            options.append(click.Option([f"--{flag}", name], type=kinds, **shared))
        elif origin is tuple:
            shared["help"] += " May be given several times."
            options.append(click.Option([f"--{flag}", name], multiple=True, **shared))
        else:
            metavar = _unit(field) or _METAVARS.get(str(field.annotation), "TEXT")
            options.append(
                click.Option(
                    [f"--{flag}", name],
                    type=str,
                    metavar=metavar,
                    required=field.is_required(),
                    **shared,
                )
            )
    return options


_UNITS = {
    "um": "UM", "min": "MINUTES", "minutes": "MINUTES", "hours": "HOURS", "s": "SECONDS",
    "frames": "FRAMES", "pixels": "PIXELS", "epochs": "EPOCHS", "GB": "GB",
}  # fmt: skip


def _unit(field: FieldInfo) -> str:
    """Return the unit of a setting as its title has it, in the words of the help; "" for none."""
    return _UNITS.get((field.title or "").rpartition("(")[2].rstrip(")"), "")


_METAVARS = {str(int): "INTEGER", str(int | None): "INTEGER", str(float): "NUMBER"}


def _is_advanced(named: tuple[str, FieldInfo]) -> bool:
    """Whether an option is one of those that few people need: they come last."""
    extra = named[1].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("advanced"))


def _bounds(field: Any) -> str:
    found = {}
    for item in field.metadata:
        for name in ("gt", "ge", "lt", "le"):
            value = getattr(item, name, None)
            if value is not None:
                found[name] = value
    words = {"gt": "above {:g}", "ge": "from {:g}", "lt": "below {:g}", "le": "to {:g}"}
    said = [text.format(found[name]) for name, text in words.items() if name in found]
    return f" [{' '.join(said)}]" if said else ""


def _default(value: Any) -> str:
    return "" if value in ("", (), None) else f" [default: {value}]"
