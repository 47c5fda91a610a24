"""The command line: help, progress, what it prints, and Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from commands import PROGRAM, digest, refused, run, strays, succeed

from napari_dynaclr import __version__
from napari_dynaclr.cli.places import table_place
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.naming import as_options
from napari_dynaclr.core.registry import COMPOSED, MAKERS, METHODS, STAGES, find_method
from napari_dynaclr.core.taskbook import write_tasks
from napari_dynaclr.core.tasks import Task, new_states
from napari_dynaclr.terminal import show_table

if TYPE_CHECKING:
    from pathlib import Path

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and ptys are POSIX")

# -- help ------------------------------------------------------------------------


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_the_help_lists_every_stage(args):
    said = succeed(*args).out
    for stage in (*MAKERS, *STAGES, *COMPOSED, "run", "info", "export", "review", "tasks", "demo"):
        assert re.search(rf"^  {stage} +[A-Z]", said, re.MULTILINE)


def test_the_version():
    assert succeed("--version").out == f"napari-dynaclr, version {__version__}\n"


def flat(text: str) -> str:
    """Join lines as they were before the terminal broke them, also at hyphens."""
    return re.sub(r"(?<=\w)- (?=\w)", "-", " ".join(text.split()))


@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.stage}-{m.name}")
def test_the_help_of_a_method_lists_its_settings_with_defaults_and_bounds(method):
    said = flat(succeed(method.stage, "--method", method.name, "--help").out)
    assert flat(f"Options below are those of '{method.name}'") in said
    for name, field in method.params_class().model_fields.items():
        assert f"--{name.replace('_', '-')}" in said
        assert flat(as_options(field.description, method.params_class())) in said
        if not field.is_required() and field.default not in ("", (), None):
            assert f"[default: {field.default}]" in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("find",), ("--radius UM", "--window MINUTES", "--border UM", "--delta-t FRAMES")),
        (("train", "--method", "profiler"), ("--time-window MINUTES", "--pixel-size UM")),
        (("train", "--method", "tap"), ("--memory GB", "--patch-size PIXELS", "--delta-t FRAMES")),
        (("evaluate", "--method", "events"), ("--radius UM", "--window MINUTES")),
    ],
)
def test_the_help_says_units(args, said):
    found = flat(succeed(*args, "--help").out)
    assert [one for one in said if one not in found] == []


def test_bounds_are_told_as_they_are():
    said = flat(succeed("track", "--help").out)
    assert "from the data. [above 0 to 1000] [default: 15.0]" in said
    assert "closes no gaps. [from 0 to 50] [default: 2]" in said
    assert "Makes the map repeatable. [from 0] [default: 0]" in flat(
        succeed("project", "--help").out
    )


@pytest.mark.parametrize("stage", [*MAKERS, *STAGES, *COMPOSED])
def test_the_help_of_a_stage_shows_the_default_method_and_the_others(stage):
    said = flat(succeed(stage, "--help").out)
    names = [method.name for method in METHODS if method.stage == stage]
    assert f"--method [{'|'.join(names)}]" in said
    assert f"Options below are those of '{names[0]}'" in said
    assert said == flat(succeed(stage, f"--method={names[0]}", "--help").out)


# -- what it prints ---------------------------------------------------------------


def test_a_stage_shows_some_rows_and_where_the_rest_is(plate, processed):
    ran = succeed("track", plate, "--workspace", processed.workspace.path)
    table = processed.workspace.tracks(processed["A/1/0"])
    assert "track_id" in ran.out
    assert str(table["id"].iloc[0]) in ran.out
    where = re.escape(str(processed.workspace.plate("tracks")))
    assert re.search(rf"\.\.\. \d+ rows in all: {where}\n", ran.out)
    assert ran.out.endswith(f"track: results in {processed.workspace.path}\n")


def test_a_profile_shows_its_wells_and_where_the_table_is(plate, processed):
    home = processed.workspace.path
    said = run("profile", plate, "--workspace", home, "--map", "none").out
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines()]
    rows = {row[0]: row[1:] for row in lines if row}
    assert list(rows) == ["A/1", "B/1"]
    assert rows["A/1"][:3] == ["A", "2", "10"]
    assert f"pooled to these wells: {home / 'profiles/features'}\n" in said


def test_what_no_cell_has_is_left_blank(capsys):
    show_table(pd.DataFrame({"t": [-1, 2], "track_id": [-1, 7], "share": [0.5, 1e-9]}))
    lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines()]
    rows = [[cell.strip() for cell in line] for line in lines if line]
    assert rows == [["-1", "", "0.5"], ["2", "7", "1e-09"]]


def test_whole_numbers_that_are_not_known_are_left_blank(capsys):
    unknown = pd.array([3, None], dtype="Int64")
    show_table(pd.DataFrame({"track_id": unknown, "cells": unknown}))
    lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines()]
    assert [[cell.strip() for cell in line] for line in lines if line] == [["3", "3"], ["", ""]]


def test_places_of_tables_are_those_of_the_stage_and_not_of_the_last_run(processed):
    home = processed.workspace
    home.record({"stage": "evaluate", "method": "retrieval", "table": "retrieval-mine-well.csv"})
    home.record({"stage": "embed", "method": "features", "status": "finished"})
    places = {
        ("find", "tap"): "events/tap",
        ("evaluate", "retrieval"): "evaluation/retrieval-mine-well.csv",
        ("evaluate", "nuisance"): "evaluation",
        ("profile", "fields"): "profiles/fields",
    }
    for (stage, name), place in places.items():
        method = find_method(stage, name)
        params = method.params_class().model_construct()
        assert table_place(method, processed, params) == home.path / place


def test_values_given_as_text_reach_the_method(plate, processed):
    args = ["project", plate, "--workspace", processed.workspace.path]
    said = succeed(*args, "--method", "pca", "--components", 3).out
    assert "PCA3" in said
    assert "PCA4" not in said
    assert processed.workspace.runs()[-1]["params"] == {"embedding": "features", "components": 3}


def test_options_that_may_be_repeated(plate, processed):
    home = processed.workspace.path
    succeed(
        "embed", plate, "--workspace", home, "--fov", "A/1/0", "--fov", "B/1/1",
        "--channels", "Nuclei", "--channels", "Sensor",
    )  # fmt: skip
    last = processed.workspace.runs()[-1]
    assert last["fovs"] == ["A/1/0", "B/1/1"]
    assert last["params"]["channels"] == ["Nuclei", "Sensor"]


def test_what_is_done_is_not_done_again(plate, processed):
    home = processed.workspace.path
    stamps = {path: path.stat().st_mtime_ns for path in home.glob("*.zarr/*/*/*/*.csv")}
    assert stamps
    for stage in ("segment", "track", "embed", "classify"):
        succeed(stage, plate, "--workspace", home)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_info_tells_what_has_been_done(plate, processed, tmp_path):
    said = succeed("info", plate, "--workspace", processed.workspace.path).out
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in said.splitlines())
    assert facts["FOVs"] == "4 in 2 wells"
    assert facts["channels"] == "Phase, Nuclei, Membrane, Sensor"
    assert facts["frame interval"] == "30 min"
    assert facts["embeddings.features"] == "4 of 4 FOVs"
    assert facts["last run"].startswith("classify finished at")
    succeed("info", plate, "--workspace", tmp_path / "none.dynaclr")
    assert not (tmp_path / "none.dynaclr").exists()


def test_exports(plate, processed, tmp_path):
    home = processed.workspace.path
    succeed("export", plate, "annotations", tmp_path / "a.csv", "--workspace", home)
    assert "infection_state" in pd.read_csv(tmp_path / "a.csv")
    succeed("export", plate, "embedding", tmp_path / "e.zarr", "--workspace", home)
    assert (tmp_path / "e.zarr/X").is_dir()
    said = succeed("export", plate, "curve", tmp_path / "c.csv", "--workspace", home).out
    assert said == f"export: wrote {tmp_path / 'c.csv'}\n"
    curve = pd.read_csv(tmp_path / "c.csv")
    assert list(curve) == ["well", "t", "hours", "cells", "fraction", "low", "high"]
    args = ("export", plate, "curve", tmp_path / "u.csv", "--workspace", home)
    succeed(*args, "--state", "uninfected", "--fov", "B/1")
    other = pd.read_csv(tmp_path / "u.csv")
    infected = curve[curve["well"] == "B/1"]
    assert (infected["fraction"].to_numpy() + other["fraction"]).tolist() == pytest.approx([1] * 10)
    assert refused(*args, "--state", "sick").startswith("'sick' is no state of infection")
    assert "Name it with --state" in refused(*args, "--task", "shape")
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_review_lists_cells_and_writes_them(plate, processed, tmp_path):
    args = ("review", plate, "--workspace", processed.workspace.path)
    said = succeed(*args, "--count", 3, "--out", tmp_path / "next.csv").out
    table = pd.read_csv(tmp_path / "next.csv")
    assert len(table) == 3
    assert {"fov_name", "track_id", "t", "id", "reason", "score"} <= set(table)
    assert said.count("infected at") == 3
    assert said.endswith(f"review: wrote {tmp_path / 'next.csv'}\n")
    assert "not shown here" not in said
    assert succeed(*args, "--by", "cluster", "--count", 2).out.endswith("review: 2 cells\n")
    assert "No predictions of 'death'" in refused(*args, "--task", "death")
    assert "--count" in refused(*args, "--count", 0)


def test_nothing_to_review_is_said(plate, processed):
    args = ("review", plate, "--workspace", processed.workspace.path, "--fov", "A/1/0")
    processed.workspace.journal.unlink()
    assert succeed(*args, "--by", "disagreement").out == "review: nothing to look at\n"


def test_tasks_lists_states_with_keys_colours_options_and_counts(plate, processed, tmp_path):
    def rows(home):
        said = succeed("tasks", plate, "--workspace", home).out
        lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines()]
        return {(row[0], row[1]): row[2:] for row in lines if row}, said

    listed, said = rows(processed.workspace.path)
    carried = "carried forward, inherited"
    assert listed["infection", "infected"] == ["2", "#D55E00", "20", carried]
    assert listed["death", "dead"] == ["2", "#D55E00", "0", "carried forward"]
    assert listed["division", "unknown"] == ["0", "#999999", "0", "of one time point"]
    assert said.endswith("tasks: the default ones\n")
    assert rows(tmp_path / "none.dynaclr")[0]["infection", "infected"][2] == "0"
    assert not (tmp_path / "none.dynaclr").exists()
    own = Task("shape", "shape_state", new_states("round", "flat"))
    write_tasks(processed.workspace, [own])
    listed, said = rows(processed.workspace.path)
    assert next(iter(listed)) == ("shape", "round")
    assert ("infection", "infected") in listed, "its annotations are there"
    assert ("death", "dead") not in listed
    assert said.endswith(f"tasks: {processed.workspace.path / 'tasks.json'}\n")


def test_annotate_shows_where_and_what_and_fits_a_terminal(plate, processed, tmp_path):
    clicks = tmp_path / "clicks.csv"
    nodes = processed.workspace.tracks(processed["B/1/0"]).query("t == 4")
    nodes[["t", "y", "x"]].assign(fov_name="B/1/0", state="dead").to_csv(clicks, index=False)
    args = ("annotate", plate, "--workspace", processed.workspace.path)
    said = succeed(*args, "--path", clicks, "--task", "death").out
    assert "not shown here" not in said
    assert "parent_track_id" not in said
    assert "nan" not in said
    header = next(line for line in said.splitlines() if "fov_name" in line)
    names = ["fov_name", "t", "track_id", "y", "x", "cell_death_state", "infection_state"]
    assert sorted(re.findall(r"\w+", header)) == sorted(names)
    assert max(len(line) for line in said.splitlines() if "│" in line) <= 100


def test_a_map_of_separate_groups_says_so_in_one_sentence(plate, processed):
    home = processed.workspace.path
    ran = run("project", plate, "--workspace", home, "--knn", 1)
    assert ran.code == 0
    assert re.fullmatch(
        r"Note: The cells fall into \d+ groups that no neighbours join at --knn 1: .*\n", ran.err
    )


def test_at_the_end_zarr_has_the_time_that_it_needs(tmp_path):
    # Its thread is busy for longer than zarr itself would wait for it.
    code = f"""
import time, zarr
from napari_dynaclr.cli.commands import let_zarr_end
from zarr.core import sync
zarr.create_array({str(tmp_path / "a.zarr")!r}, shape=(4,), dtype="u1")[:] = 1
sync.loop[0].call_soon_threadsafe(time.sleep, 1)
let_zarr_end()
assert not sync.iothread[0].is_alive()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


# -- in a real terminal ------------------------------------------------------------


class Terminal:
    """What came of a command in a pseudo-terminal."""

    def __init__(self, code: int, raw: str) -> None:
        self.code = code
        self.raw = raw
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw)
        self.out = "\n".join(re.split(r"[\r\n]+", text))


def in_terminal(*args: object, columns: int = 100) -> Terminal:
    """Run the program as a user at a terminal does, both streams on it."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        [PROGRAM, *map(str, args)], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
        env={**os.environ, "TERM": "xterm-256color"},
    ) as process:  # fmt: skip
        os.close(theirs)
        raw = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            raw += part
        code = process.wait(60)
    os.close(ours)
    return Terminal(code, raw.decode())


EXPECTED = re.compile(
    r"""
    \s* | \s*(segment|track|embed|project|annotate|classify|evaluate|pipeline|convert)
    | [┏┡└┃│].* | \.\.\.\ \d+\ rows\ in\ all:\ .* | not\ shown\ here:.* | \w+:\ results\ in\ .*
    | Note:\ Picture:\ .* | held-out\ .* | \ {4}\w+:\ predicted\ .* | .*━.*        # a progress bar
    """,
    re.VERBOSE,
)


@posix_only
def test_a_whole_chain_prints_nothing_but_its_own_lines(plate, processed, truth, tmp_path):
    home = tmp_path / "chain.dynaclr"
    clicks = tmp_path / "clicks.csv"
    table = current_annotations(processed).rename(columns={"infection_state": "state"})
    table[["fov_name", "t", "y", "x", "state"]].to_csv(clicks, index=False)
    (tmp_path / "all.yaml").write_text(
        "- segment\n- track\n- embed\n- project: {knn: 60}\n"
        f"- annotate: {{path: '{clicks}'}}\n- classify\n"
        f"- evaluate: {{method: tracking, truth: '{truth}'}}\n- evaluate\n"
    )
    ran = in_terminal("run", plate, tmp_path / "all.yaml", "--workspace", home, columns=60)
    assert ran.code == 0
    assert "━" in ran.raw  # there was a progress bar
    assert [line for line in ran.out.splitlines() if not EXPECTED.fullmatch(line)] == []
    # What is too wide for this terminal is named, not cut to pieces.
    assert re.search("not shown here: .*parent_track_id", flat(ran.out))
    assert "…" not in ran.out


# -- Ctrl-C ------------------------------------------------------------------------


def start(*args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(PROGRAM), *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(found, process: subprocess.Popen[str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


@posix_only
def test_ctrl_c_cancels_cleanly_and_a_rerun_resumes(plate, processed, tmp_path):
    home = tmp_path / "stopped.dynaclr"
    process = start("segment", plate, "--workspace", home)
    finished = home / "segmentation.zarr/A/1/0/cells.csv"
    wait_for(finished.exists, process)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines() == [
        "Stopping after this item; Ctrl-C again to stop at once.",
        "Cancelled. Run the same command again to resume.",
    ]
    assert strays(home) in ([], [".partial"])
    stamp = finished.stat()
    succeed("segment", plate, "--workspace", home)
    assert finished.stat().st_mtime_ns == stamp.st_mtime_ns
    assert finished.stat().st_ino == stamp.st_ino
    done = {name: hash_ for name, hash_ in digest(home).items() if name.startswith("segm")}
    whole = digest(processed.workspace.path)
    assert done == {name: hash_ for name, hash_ in whole.items() if name.startswith("segm")}
    assert [line["status"] for line in read_runs(home)] == ["cancelled", "finished"]


def read_runs(home: Path) -> list[dict]:
    return pd.read_json(home / "runs.jsonl", lines=True).to_dict("records")


# A stage that does not come to its next item.
STUCK = """
import sys, time
from pathlib import Path
import napari_dynaclr.segmentation.threshold as threshold
from napari_dynaclr.cli import main
def stuck(*args):
    Path(sys.argv[-1], "stuck").touch()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.01)
threshold.segment_frame = stuck
main()
"""


@posix_only
def test_a_second_ctrl_c_stops_at_once(plate, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, "segment", str(plate), "--workspace", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for((tmp_path / "stuck").exists, process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Stopping after this item")
    time.sleep(0.2)
    assert process.poll() is None  # it waits for its item
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert (process.returncode, err) == (130, "Cancelled. Run the same command again to resume.\n")
    shutil.rmtree(tmp_path / "stuck", ignore_errors=True)
    assert not (tmp_path / "segmentation.zarr").exists()
    assert read_runs(tmp_path)[-1]["status"] in ("failed", "cancelled")


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["simulate", "convert", "embed"])
def test_ctrl_c_in_other_stages(plate, processed, tmp_path, stage):
    import numpy as np
    import tifffile

    if stage == "simulate":
        args = ["simulate", tmp_path / "s.zarr", "--size", 256, "--time-points", 200]
        sign = tmp_path / ".s.zarr.partial/images.zarr/A/1/0/0/c"
    elif stage == "convert":
        pixels = np.random.default_rng(0).integers(0, 255, (300, 512, 512), np.uint8)
        tifffile.imwrite(tmp_path / "m.tif", pixels, metadata={"axes": "TYX"}, ome=True)
        args = ["convert", tmp_path / "m.tif", tmp_path / "m.zarr"]
        sign = tmp_path / ".m.partial.zarr/A/1/0/0/c/5"
    else:
        home = processed.workspace.path
        args = ["embed", plate, "--workspace", home, "--ring", 2]
        sign = home / ".partial/embeddings.features/A_1_1"
    process = start(*args)
    wait_for(sign.exists, process)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 130, err
    assert err.endswith("Cancelled. Run the same command again to resume.\n")
    if stage == "convert":
        assert [path.name for path in tmp_path.iterdir() if "m." in path.name] == ["m.tif"]
    assert not (tmp_path / "s.zarr").exists()
