"""The command line: one command per stage, the same functions as in Python.

Options and their help come from the Params; errors are one line and exit code 2.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from napari_dynaclr._version import __version__
from napari_dynaclr.core.errors import Cancelled, DynaclrError, MissingExtra
from napari_dynaclr.core.registry import MAKERS, STAGES, find_method, methods
from napari_dynaclr.terminal import one_line, show_table, terminal_job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params

_SUMMARY = {
    "simulate": "Make a simulated infection time-lapse with ground truth.",
    "convert": "Convert TIFF stacks or folders of TIFFs to OME-Zarr.",
    "segment": "Find the cells of every time point.",
    "track": "Link segmented cells over time.",
    "embed": "Embed every tracked cell at every time point.",
    "project": "Map the embedding to two or more dimensions.",
    "annotate": "Take over annotations from a table.",
    "classify": "Predict a state for every cell from a few annotated ones.",
    "evaluate": "Measure embeddings, tracks and predictions.",
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
        sys.exit(code if isinstance(code, int) else 0)

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
    for name, field in kind.model_fields.items():
        flag = name.replace("_", "-")
        default = "" if field.is_required() else _default(field.default)
        text = f"{field.description or field.title or name}{_bounds(field)}"
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
            metavar = _METAVARS.get(str(field.annotation), "TEXT")
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


_METAVARS = {str(int): "INTEGER", str(float): "NUMBER"}


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
    return "" if value in ("", ()) else f" [default: {value}]"


# -- commands ------------------------------------------------------------------

_DATASET = click.Argument(["dataset"], type=click.Path(path_type=Path))
_WORKSPACE = click.Option(
    ["--workspace"],
    type=click.Path(path_type=Path),
    help="Folder of the results; beside the dataset by default.",
)
_FOV = click.Option(
    ["--fov"],
    multiple=True,
    help="FOV (A/1/0), well (A/1) or pattern (A/*) to work on; all by default. "
    "May be given several times.",
)


def _open(dataset: Path, workspace: Path | None, fov: tuple[str, ...]) -> Dataset:
    from napari_dynaclr.core.dataset import open_dataset

    found = open_dataset(dataset, workspace)
    return found.select(fov) if fov else found


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Keep the options that were given; the others keep their defaults."""
    return {name: value for name, value in values.items() if value not in (None, ())}


def _stage(stage: str) -> Callable[..., None]:
    def run(
        dataset: Path, workspace: Path | None, fov: tuple[str, ...], method: str, **values: Any
    ) -> None:
        from napari_dynaclr.core.registry import parse

        opened = _open(dataset, workspace, fov)
        chosen = find_method(stage, method)
        params = parse(stage, method, _given(values))
        with terminal_job() as job:
            result = chosen.verb()(opened, params, job)
        show_table(result, limit=50 if stage == "evaluate" else 5)
        if stage == "classify":
            _show_scores(opened, params.model_dump()["task"])
        click.echo(f"{stage}: results in {opened.workspace.path}")

    return run


def _show_scores(dataset: Dataset, task: str) -> None:
    """Print how well held-out tracks, FOVs and wells were predicted."""
    for split, scores in dataset.workspace.scores(task).items():
        if scores is None:
            click.echo(f"held-out {split}: no score, a state is annotated in one {split} only")
            continue
        by_state = ", ".join(f"{state} {f1:.3f}" for state, f1 in scores["f1"].items())
        click.echo(f"held-out {split}: F1 {by_state} ({scores['cells']} annotated cells)")
        rows = zip(scores["states"], scores["confusion"], strict=True)
        for state, row in rows:
            counts = ", ".join(
                f"{count} as {name}" for name, count in zip(scores["states"], row, strict=True)
            )
            click.echo(f"    {state}: predicted {counts}")


def _maker(stage: str) -> Callable[..., None]:
    def run(target: Path, method: str, source: Path | None = None, **values: Any) -> None:
        from napari_dynaclr.core.registry import parse

        params = parse(stage, method, _given(values))
        with terminal_job() as job:
            paths = (target,) if source is None else (source, target)
            made = find_method(stage, method).verb()(*paths, params, job)
        click.echo(f"{stage}: wrote {made}")

    return run


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="napari-dynaclr")
def main() -> None:
    """Segment, track, embed, map, annotate and classify cells of OME-Zarr time-lapses."""


for _name in MAKERS:
    _paths = [click.Argument(["target"], type=click.Path(path_type=Path))]
    if _name == "convert":
        _paths.insert(0, click.Argument(["source"], type=click.Path(path_type=Path)))
    main.add_command(MethodCommand(_name, params=_paths, callback=_maker(_name)))
for _name in STAGES:
    main.add_command(
        MethodCommand(_name, params=[_DATASET, _WORKSPACE, _FOV], callback=_stage(_name))
    )


@main.command("run", params=[_DATASET, _WORKSPACE, _FOV])
@click.argument("pipeline", type=click.Path(path_type=Path))
def run_command(
    dataset: Path, pipeline: Path, workspace: Path | None, fov: tuple[str, ...]
) -> None:
    """Run the chain of stages in the YAML file PIPELINE."""
    from napari_dynaclr.pipeline import read_pipeline, run_pipeline

    opened = _open(dataset, workspace, fov)
    steps = read_pipeline(pipeline)
    with terminal_job() as job:
        results = run_pipeline(opened, steps, job)
    for stage, result in results.items():
        click.echo(stage)
        show_table(result, limit=50 if stage == "evaluate" else 5)
        if stage == "classify":
            for step in steps:
                if step.method.stage == stage:
                    _show_scores(opened, step.params.model_dump()["task"])
    click.echo(f"run: results in {opened.workspace.path}")


@main.command("info", params=[_DATASET, _WORKSPACE])
def info_command(dataset: Path, workspace: Path | None) -> None:
    """Say what a dataset holds and what has been done with it."""
    from napari_dynaclr.summary import summarize

    facts = summarize(_open(dataset, workspace, ()))
    width = max(map(len, facts)) + 2
    for name, text in facts.items():
        click.echo(f"{name:<{width}}{text}")


@main.command("export", params=[_DATASET, _WORKSPACE, _FOV])
@click.argument("what", type=click.Choice(["annotations", "embedding"]))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--embedding", default="features", show_default=True, help="Which embedding.")
def export_command(
    dataset: Path,
    what: str,
    target: Path,
    workspace: Path | None,
    fov: tuple[str, ...],
    embedding: str,
) -> None:
    """Write results for other tools: a napari-iohub annotation CSV, or one AnnData (Zarr)."""
    opened = _open(dataset, workspace, fov)
    if what == "annotations":
        from napari_dynaclr.annotation.export import export_annotations

        export_annotations(opened, target)
    else:
        from napari_dynaclr.embedding.export import export_embedding

        export_embedding(opened, target, embedding)
    click.echo(f"export: wrote {target}")


@main.command("demo")
@click.option(
    "--out",
    default="demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the sample, its results and the pictures.",
)
@click.option("--gui", is_flag=True, help="Show the result in napari when it is done.")
def demo_command(out: Path, gui: bool) -> None:
    """Run the whole job on a simulated infection time-lapse, from images to classified cells."""
    from napari_dynaclr.demo import run_demo

    if gui and find_spec("napari") is None:
        raise MissingExtra("napari", "napari")
    click.echo("The demo takes about four minutes on two cores.")
    with terminal_job() as job:
        result = run_demo(out, job)
    show_table(result.table, limit=50)
    for picture in result.pictures:
        click.echo(f"picture: {picture}")
    click.echo(f"results: {result.dataset.workspace.path}")
    if gui:
        show = [sys.executable, "-m", "napari_dynaclr.gui", str(result.dataset.root)]
        sys.exit(subprocess.run([*show, result.dataset.fov_names[-1]], check=False).returncode)
