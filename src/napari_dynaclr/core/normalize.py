"""Normalisation statistics per dataset, FOV and time point.

VisCy's ``normalization`` attributes are used where a dataset has them. Where not,
one streaming pass computes the same statistics from the same sample (every 32nd
pixel in Y and X) and keeps them in the workspace, as the source is read-only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_dynaclr.core.atomic import write_text
from napari_dynaclr.core.errors import InvalidInput, UnreadablePixels
from napari_dynaclr.core.fov import fill_gaps
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.runs import source_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov

Level = Literal["dataset", "fov", "timepoint"]
Statistics = dict[str, float]

GRID = 32
"""Spacing of the sampled pixels in Y and X, VisCy's."""

EPSILON = 1e-8

_PERCENTILES = {"p1": 1, "p5": 5, "p95": 95, "p99": 99}
_SKETCH = np.linspace(0, 100, 1001)


def normalize(image: NDArray[Any], statistics: Statistics, sub: str, div: str) -> NDArray[Any]:
    """Return ``(image - sub) / (div + 1e-8)`` in float32, VisCy's formula.

    Parameters
    ----------
    image
        Any shape.
    statistics
        From :func:`statistics`.
    sub, div
        Names of statistics, such as "mean" and "std", or "median" and "iqr".
    """
    scaled = (np.asarray(image, np.float32) - statistics[sub]) / (statistics[div] + EPSILON)
    return scaled.astype(np.float32, copy=False)


def summarize(sample: NDArray[Any]) -> Statistics:
    """Statistics of a sample of pixels, under VisCy's names."""
    values = np.asarray(sample, dtype=np.float64).ravel()
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "max": float(values.max()),
        **_quantile_statistics(np.percentile(values, _SKETCH)),
    }


def _quantile_statistics(sketch: NDArray[np.floating]) -> Statistics:
    """Derive median, IQR and the percentiles from quantiles at :data:`_SKETCH`."""

    def at(percentile: float) -> float:
        return float(np.interp(percentile, _SKETCH, sketch))

    found = {name: at(percentile) for name, percentile in _PERCENTILES.items()}
    return {
        "median": at(50),
        "iqr": at(75) - at(25),
        **found,
        "p95_p5": found["p95"] - found["p5"],
        "p99_p1": found["p99"] - found["p1"],
    }


def statistics(
    dataset: Dataset,
    fov: Fov,
    channels: Sequence[str],
    level: Level = "fov",
    job: Job | None = None,
    *,
    lenient: bool = False,
) -> dict[str, Any]:
    """Statistics of some channels of a FOV.

    Parameters
    ----------
    dataset
        The dataset; for level "dataset" all its FOVs are needed.
    fov
        The FOV concerned.
    channels
        Channel names.
    level
        "dataset", "fov", or "timepoint".
    job
        Progress of the pass over the pixels, where one is needed.
    lenient
        Leave out time points that cannot be read, where some can. Such statistics stand in for
        the FOV's only as long as these cannot be read, and only for those who ask so.

    Returns
    -------
    dict
        Channel -> statistics; for "timepoint", channel -> time point -> statistics.

    Raises
    ------
    InvalidInput
        If a chunk is damaged.
    """
    job = job or Job()
    name = f"{level}_statistics"
    stored = {channel: _from_source(fov, channel, name) for channel in channels}
    missing = [channel for channel, found in stored.items() if found is None]
    if missing and level == "dataset":
        stored.update(_over_dataset(dataset, missing, job, lenient))
    elif missing:
        computed = _of_fov(dataset, fov, missing, job, lenient)
        stored.update({channel: computed[channel][name] for channel in missing})
    return stored


def _from_source(fov: Fov, channel: str, level: str) -> Any:
    """Read VisCy's statistics; None where they are not all there."""
    try:
        found = fov.attributes["normalization"][channel][level]
        if level == "timepoint_statistics":
            by_time = {int(t): dict(values) for t, values in found.items()}
            whole = all(_usable(by_time.get(t, {})) for t in range(fov.shape[0]))
            return by_time if whole else None
        return dict(found) if _usable(found) else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _usable(values: dict[str, Any], names: Sequence[str] = ("mean", "std")) -> bool:
    try:
        return all(np.isfinite(float(values.get(name, np.nan))) for name in names)
    except (TypeError, ValueError):
        return False


def _of_fov(
    dataset: Dataset, fov: Fov, channels: Sequence[str], job: Job, lenient: bool = False
) -> dict[str, Any]:
    """Read a FOV's statistics from the workspace, computing what is not there."""
    file = dataset.workspace.path / "statistics" / f"{fov.file_name}.json"
    stain = dataset.workspace.key("stain", fov)
    known = _load(file, fov, stain)
    missing = [
        channel
        for channel in channels
        if channel not in known
        or (not _whole(known[channel], fov) and _more(fov, channel, known[channel], lenient))
    ]
    if missing:
        known.update(_compute(fov, missing, job, lenient))
        dataset.workspace.prepare(dataset.channels)
        about = {"source": source_key(fov), "stain": stain, "channels": known}
        write_text(file, json.dumps(about))
    for entry in known.values():
        entry["timepoint_statistics"] = {
            int(t): values for t, values in entry["timepoint_statistics"].items()
        }
    return known


def _whole(known: dict[str, Any], fov: Fov) -> bool:
    """Whether statistics are of all time points."""
    return len(known["timepoint_statistics"]) == fov.shape[0]


def _more(fov: Fov, channel: str, known: dict[str, Any], lenient: bool) -> bool:
    """Whether there is more to take statistics of than there was when these were made."""
    if not lenient:
        return True
    lost = [t for t in range(fov.shape[0]) if str(t) not in known["timepoint_statistics"]]
    try:
        return any(True for _ in _samples(fov, [channel], lost, lenient))
    except UnreadablePixels:
        return False


def _load(file: Path, fov: Fov, stain: str | None) -> dict[str, Any]:
    """Read what is known of the pixels that are there now; a stain may have been made anew."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        known = dict(stored["channels"]) if stored["source"] == source_key(fov) else {}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}
    if stored.get("stain") == stain:
        return known
    return {channel: known[channel] for channel in known if channel in fov.source_channels}


def statistics_at(fov: Fov, channels: Sequence[str], t: int) -> dict[str, Statistics]:
    """Statistics of one time point by channel, from its pixels.

    Raises
    ------
    InvalidInput
        If a chunk is damaged.
    """
    ((_, frame),) = _samples(fov, channels, [t], lenient=False)
    return {name: summarize(sample) for name, sample in zip(channels, frame, strict=True)}


def _samples(
    fov: Fov, channels: Sequence[str], times: Iterable[int], lenient: bool
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read every 32nd pixel in Y and X of some time points, (C, Z, Y, X) each.

    One damaged time point must not keep the others from being used: a lenient pass leaves it
    out, and fails only if there is no other.
    """
    left = list(times)
    failed: UnreadablePixels | None = None
    found = 0
    while left:
        try:
            for t, sample in _sampled(fov, channels, list(left)):
                yield t, sample
                left.remove(t)
                found += 1
        except UnreadablePixels as error:
            if not lenient:
                raise
            failed = error
            left = [t for t in left if t not in error.times]
    if failed is not None and not found:
        raise failed


def _sampled(
    fov: Fov, channels: Sequence[str], times: Sequence[int]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read in slabs where that is possible, so that a deep stack need not fit into memory."""
    if not fov.reads_apart(channels):
        for t, frame in fov.frames(channels, times, allow_empty=True):
            yield t, frame[:, :, ::GRID, ::GRID]
        return
    for t in times:
        parts = [slab[:, :, ::GRID, ::GRID].copy() for _, slab in fov.slabs(channels, t)]
        yield t, fill_gaps(np.concatenate(parts, axis=1))


def _compute(fov: Fov, channels: Sequence[str], job: Job, lenient: bool) -> dict[str, Any]:
    """One pass over a FOV; per time point a sample, summarised before the next."""
    per_time: dict[str, dict[int, Statistics]] = {channel: {} for channel in channels}
    sketches: dict[str, list[NDArray[np.floating]]] = {channel: [] for channel in channels}
    samples = _samples(fov, channels, range(fov.shape[0]), lenient)
    for t, frame in job.track(samples, f"statistics {fov.name}", total=fov.shape[0]):
        for channel, sample in zip(channels, frame, strict=True):
            per_time[channel][t] = summarize(sample)
            sketches[channel].append(np.percentile(sample, _SKETCH))
    return {
        channel: {
            "timepoint_statistics": per_time[channel],
            "fov_statistics": pool(list(per_time[channel].values()), sketches[channel]),
            # The sketch lets a dataset's percentiles be pooled without its pixels.
            "sketch": np.percentile(np.concatenate(sketches[channel]), _SKETCH).tolist(),
        }
        for channel in channels
    }


def pool(
    parts: Sequence[Statistics],
    sketches: Sequence[NDArray[np.floating]],
    counts: Sequence[int] | None = None,
) -> Statistics:
    """Combine the statistics of several samples.

    Mean, standard deviation, minimum and maximum are exact; the percentiles come
    from the samples' 1,001 quantiles each.

    Parameters
    ----------
    parts
        From :func:`summarize`.
    sketches
        Quantiles of each sample.
    counts
        Pixels in each sample; all the same if omitted.

    Raises
    ------
    InvalidInput
        If there are no parts.
    """
    if not parts:
        raise InvalidInput("There are no pixels to take statistics of.")
    means = np.array([part["mean"] for part in parts])
    variances = np.array([part["std"] for part in parts]) ** 2
    weights = np.ones(len(parts)) if counts is None else np.asarray(counts, float)
    mean = np.average(means, weights=weights)
    return {
        "mean": float(mean),
        "std": float(np.sqrt(np.average(variances + (means - mean) ** 2, weights=weights))),
        "min": min(part["min"] for part in parts),
        "max": max(part["max"] for part in parts),
        **_quantile_statistics(_pooled_quantiles(sketches, weights)),
    }


def _pooled_quantiles(
    sketches: Sequence[NDArray[np.floating]], weights: NDArray[np.floating]
) -> NDArray[np.floating]:
    values = np.concatenate(sketches)
    if np.ptp(weights) == 0:
        return np.asarray(np.percentile(values, _SKETCH))
    each = np.repeat(weights, len(_SKETCH))
    return np.asarray(np.percentile(values, _SKETCH, weights=each, method="inverted_cdf"))


def _over_dataset(
    dataset: Dataset, channels: Sequence[str], job: Job, lenient: bool = False
) -> dict[str, Statistics]:
    """Pool over all FOVs, chosen or not: what is chosen must not change the scale."""
    whole = dataset.whole
    known = {**whole.pooled_partly, **whole.pooled} if lenient else whole.pooled
    missing = [channel for channel in channels if channel not in known]
    found = {channel: known[channel] for channel in channels if channel in known}
    if missing:
        fovs: list[Fov] = []
        per_fov: list[dict[str, Any]] = []
        failed: UnreadablePixels | None = None
        for fov in job.track(dataset.whole.fovs, "statistics of the dataset"):
            try:
                per_fov.append(_of_fov(dataset, fov, missing, job, lenient))
                fovs.append(fov)
            except UnreadablePixels as error:
                if not lenient:
                    raise
                failed = error
        if failed is not None and not fovs:
            raise failed
        for channel in missing:
            complete = failed is None and all(
                _whole(entry[channel], fov) for fov, entry in zip(fovs, per_fov, strict=True)
            )
            found[channel] = pool(
                [entry[channel]["fov_statistics"] for entry in per_fov],
                [np.asarray(entry[channel]["sketch"]) for entry in per_fov],
                [int(np.prod(fov.shape)) for fov in fovs],
            )
            (whole.pooled if complete else whole.pooled_partly)[channel] = found[channel]
    return found


def contrast(dataset: Dataset, fov: Fov, channel: str) -> tuple[float, float]:
    """Return limits of intensity between which an image is well seen.

    Taken from the dataset's or the workspace's statistics where there are any, else
    from a thin sample of the first, the middle and the last time point.

    Parameters
    ----------
    dataset
        For the workspace.
    fov, channel
        The image.
    """
    known = _from_source(fov, channel, "fov_statistics")
    if known is None:
        file = dataset.workspace.path / "statistics" / f"{fov.file_name}.json"
        stain = dataset.workspace.key("stain", fov)
        known = _load(file, fov, stain).get(channel, {}).get("fov_statistics")
    if known is None or not _usable(known, ("p1", "p99", "max")):
        last = fov.shape[0] - 1
        times = sorted({0, last // 2, last})
        frames = [
            frame[0, :, :: GRID // 4, :: GRID // 4]
            for _, frame in fov.frames([channel], times, allow_empty=True)
        ]
        low, high = np.percentile(np.stack(frames).astype(np.float64), [0.5, 99.8])
    else:
        low, high = float(known["p1"]), float(known["p99"])
        high = min(float(known["max"]), high + 0.3 * (high - low))
    return float(low), float(high if high > low else low + 1)
