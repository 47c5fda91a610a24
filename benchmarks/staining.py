"""Time to stain virtually, beside VisCy's sliding windows, and what larger strides bring.

The peer is on PyPI: ``pip install "napari-dynaclr[bench]"``. Without it, this says so and stops.

Both get the same checkpoint (VisCy's own), stack, device and statistics of the images (made by
VisCy), and write OME-Zarr: VisCy by its data module, Lightning module, loop and writer, with the
loader that is its quickest for the case. Each side lives in processes of its own; they take
turns, and medians over the rounds count. "Ratio of work" compares the processor's time,
which other programs disturb less than the clock. "With its padding" is that
where we continue images by zeros as far as VisCy does: then both results must be the same.

    python staining.py [--device cuda] [--rounds 5] [--loader 0 1] [CASE...]
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import staining_ours as ours
import staining_viscy as viscy
from common import Side, show
from staining_cases import CASES, TARGETS, Case

if TYPE_CHECKING:
    from common import Measured
    from numpy.typing import NDArray

LOADERS = ((0, 1), (1, 1), (0, 4), (1, 4))
"""Worker processes, and windows of a batch."""

PROBE = 4
"""Windows that the loaders are tried with."""


def median(rounds: list[Measured], what: str) -> float:
    return float(np.median([getattr(one, what) for one in rounds]))


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Pearson's coefficient of the pixels of all slices together."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def least(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """That of the channel (axis 1) where it is least."""
    return min(correlation(a[:, i], b[:, i]) for i in range(a.shape[1]))


def inner(a: NDArray[np.float32]) -> NDArray[np.float32]:
    """The middle half along Y and X."""
    height, width = (n // 4 for n in a.shape[-2:])
    return a[..., height:-height, width:-width]


def quickest(case: Case, device: str, them: Side) -> tuple[int, int]:
    """Return the loader that VisCy is quickest with."""
    windows = case.time_points * (case.slices - case.made.depth + 1)
    loaders = [one for one in LOADERS if one[1] <= windows]
    tried = {one: them.run(viscy.stain, case, device, *one, min(PROBE, windows)) for one in loaders}
    return min(tried, key=lambda one: tried[one].seconds)


def compare(
    case: Case, rounds: int, device: str, loader: tuple[int, int] | None
) -> tuple[dict[str, object], dict[str, object], list[dict[str, object]]]:
    """Rows of a case in the three tables: time, agreement, strides."""
    us, them = Side(), Side()
    # Neither what is loaded once for all is counted, nor the counting.
    read = us.run(ours.reads, case, device), them.run(viscy.reads, case, device)
    loader = loader or quickest(case, device, them)
    padded, theirs = [], []
    mine: dict[int, list[Measured]] = {stride: [] for stride in case.strides}
    for _ in range(rounds):
        theirs.append(them.run(viscy.stain, case, device, *loader))
        padded.append(us.run(ours.stain, case, device, 1, "viscy"))
        same = us.run(ours.result, case)
        stains = {}
        for stride, found in mine.items():
            found.append(us.run(ours.stain, case, device, stride, "reflect"))
            stains[stride] = us.run(ours.result, case)
    other = them.run(viscy.result, case)
    steps = {n: them.run(viscy.stride, case, device, n) for n in case.strides[1:]}
    us.close()
    them.close()
    return (
        times(case, mine[1], padded, theirs, loader, read),
        agreement(case, stains[1], same, other),
        [
            strides(n, case, mine, theirs, stains, other, steps.get(n))
            for n in (case.strides if len(case.strides) > 1 else ())
        ],
    )


def times(
    case: Case,
    mine: list[Measured],
    padded: list[Measured],
    theirs: list[Measured],
    loader: tuple[int, int],
    read: tuple[float, float],
) -> dict[str, object]:
    height, width = case.size
    return {
        "case": case.name,
        "network": case.network,
        "T x Z x Y x X": f"{case.time_points} x {case.slices} x {height} x {width}",
        "ours, s": median(mine, "seconds"),
        "VisCy, s": median(theirs, "seconds"),
        "ratio": median(theirs, "seconds") / median(mine, "seconds"),
        "ratio of work": median(theirs, "processor") / median(mine, "processor"),
        "of work, with its padding": median(theirs, "processor") / median(padded, "processor"),
        "its loader": f"{loader[0]} workers, batches of {loader[1]}",
        "ours, MB": median(mine, "megabytes"),
        "VisCy, MB": median(theirs, "megabytes"),
        "ours, reads of a slice": read[0],
        "VisCy's reads": read[1],
    }


def agreement(
    case: Case,
    reflected: NDArray[np.float32],
    same: NDArray[np.float32],
    other: NDArray[np.float32],
) -> dict[str, object]:
    row: dict[str, object] = {
        "case": case.name,
        "same padding: largest difference": float(np.abs(same - other).max() / np.abs(other).max()),
        "PCC": f"{least(same, other):.6f}",
        "reflection: PCC": f"{least(reflected, other):.5f}",
        "of the inner half": f"{least(inner(reflected), inner(other)):.5f}",
        "PCC to fluorescence, ours": "-",
        "VisCy's": "-",
    }
    if case.made.trained:
        true = ours.truth(case)
        row["PCC to fluorescence, ours"] = f"{least(reflected, true):.4f}"
        row["VisCy's"] = f"{least(other, true):.4f}"
    return row


def strides(
    stride: int,
    case: Case,
    mine: dict[int, list[Measured]],
    theirs: list[Measured],
    stains: dict[int, NDArray[np.float32]],
    other: NDArray[np.float32],
    step: NDArray[np.float32] | None,
) -> dict[str, object]:
    seconds = median(mine[stride], "seconds")
    work = median(mine[stride], "processor")
    row: dict[str, object] = {
        "case": case.name,
        "stride": stride,
        "ours, s": seconds,
        "ratio to stride 1": median(mine[1], "seconds") / seconds,
        "of work": median(mine[1], "processor") / work,
        "ratio to VisCy at 1": median(theirs, "seconds") / seconds,
        "of the work": median(theirs, "processor") / work,
    }
    for i, channel in enumerate(TARGETS):
        row[f"PCC to stride 1, {channel}"] = (
            f"{correlation(stains[stride][:, i], stains[1][:, i]):.4f}"
        )
    row["VisCy's own steps, PCC"] = "-" if step is None else f"{least(step, other):.4f}"
    return row


def measure(cases: list[Case], rounds: int, device: str, loader: tuple[int, int] | None) -> None:
    timed, near, far = [], [], []
    for case in cases:
        make(case)
        row, agreed, strided = compare(case, rounds, device, loader)
        timed.append(row)
        near.append(agreed)
        far += strided
    show(f"From images to stains on disk, on {device} ({rounds} rounds, in turn)", timed)
    show("Stains of both", near)
    if far:
        show("Windows further apart", far)


def make(case: Case) -> None:
    """Make the images and the weights, where there are none yet."""
    us, them = Side(), Side()
    if not case.plate.exists():
        us.run(ours.prepare, case)
        them.run(viscy.prepare, case)
    if case.made.trained and not case.trained.exists():
        us.run(ours.train, case)
    if not case.weights.exists():
        them.run(viscy.weights, case)
    us.close()
    them.close()


def main(arguments: list[str] | None = None) -> None:
    if find_spec("cytoland") is None or find_spec("viscy_utils") is None:
        print("\nstaining.py: skipped, for `pip install cytoland viscy-utils` is missing")
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "mps"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--loader",
        type=int,
        nargs=2,
        metavar=("WORKERS", "BATCH"),
        help="VisCy's; its quickest if left out",
    )
    given = parser.parse_args(arguments)
    cases = [CASES[name] for name in given.cases or CASES]
    measure(cases, given.rounds, given.device, given.loader and tuple(given.loader))


if __name__ == "__main__":
    main()
