"""A stainer at work: from the raw slices of a FOV to slices of virtual stain."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.background import in_background, read_ahead
from napari_dynaclr.core.errors import UnreadablePixels
from napari_dynaclr.core.normalize import summarize
from napari_dynaclr.staining.intensities import Intensities
from napari_dynaclr.staining.reading import (
    End,
    Flat,
    Slice,
    Source,
    intensities,
    read_slices,
    scaled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.device import Device
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.staining.architecture import StainerConfig
    from napari_dynaclr.staining.frames import Frames
    from napari_dynaclr.staining.inference import Running, Settled

_SLAB = 32 << 20
"""Bytes of stained slices that are handed on together."""

_SPACING_MATTERS = 1.2
"""Factor between voxel sizes above which it is worth a word."""


@dataclass(frozen=True)
class Prepared:
    """A network that is ready, and what it is to see and to give.

    Attributes
    ----------
    network
        A module from (N, C, Z, Y, X) to (N, K, Z, Y, X).
    config
        Its shape.
    source
        What it sees of a FOV.
    targets
        Names of the channels that it gives.
    voxel_size
        (z, y, x) in um that it was trained with, as far as that is known.
    told
        What the user should know of how it was prepared, a sentence each.
    """

    network: Any
    config: StainerConfig
    source: Source
    targets: tuple[str, ...]
    voxel_size: tuple[float | None, float, float] | None = None
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class How:
    """How images are stained.

    Attributes
    ----------
    z_stride
        Slices from one window to the next.
    zeros
        Continue images by zeros to the multiple that VisCy takes, not by reflection to the
        network's own.
    resample
        Bring images to the voxel size of the training, and the result back.
    """

    z_stride: int = 1
    zeros: bool = False
    resample: bool = False


@dataclass(frozen=True)
class Stained:
    """Some slices of a time point's virtual stain.

    Attributes
    ----------
    t, z
        Time point, and the first of the slices.
    pixels
        (K, slices, Y, X) float32; no slices where the time point has no image.
    last
        Whether the time point is complete with these.
    empty
        "zeros", "NaN" or "one value" if the source holds nothing else at this time point.
    error
        Why the source cannot be read at this time point.
    """

    t: int
    z: int
    pixels: NDArray[np.float32]
    last: bool = False
    empty: str = ""
    error: UnreadablePixels | None = None


class Stainer:
    """A method at work: what its module's ``open_stainer`` gives for a run.

    The network is loaded when it is first needed.

    Parameters
    ----------
    dataset
        The images.
    prepare
        Loads the network.
    how, running
        How images are stained, and how the network is run.
    device
        Where to compute.
    weights
        Hashes of the weights that the result depends on.
    about
        What else is to be kept with the result, by name.
    job
        Takes notes.
    """

    def __init__(
        self,
        dataset: Dataset,
        prepare: Callable[[], Prepared],
        how: How,
        running: Running,
        device: Device,
        weights: tuple[str, ...],
        about: Mapping[str, str],
        job: Job,
    ) -> None:
        self.weights, self.about = weights, dict(about)
        self._dataset, self._prepare, self._how = dataset, prepare, how
        self._running, self._device, self._job = running, device, job
        self._prepared: Prepared | None = None
        self._frames: Frames | None = None
        self._said: set[str] = set()

    @property
    def prepared(self) -> Prepared:
        """The network, loaded now if it was not yet."""
        if self._prepared is None:
            self._job.report("load the network")
            self._prepared = in_background(self._prepare, self._job)
            for line in self._prepared.told:
                self._job.note(line)
        return self._prepared

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that are made."""
        return self.prepared.targets

    @property
    def device(self) -> Device:
        """Where it computes."""
        return self._device

    def close(self) -> None:
        """Let go of the network, so that its memory can be released."""
        if self._frames is not None:
            self._frames.close()
        self._prepared = self._frames = None

    def goes_on(self, begun: Mapping[str, Any]) -> bool:
        """Whether a FOV can be gone on with in the same numbers, on this device.

        Parameters
        ----------
        begun
            What :meth:`stain_fov` handed to ``remember``.
        """
        from napari_dynaclr.staining.inference import half_of

        return begun.get("format", "full") in ("full", half_of(self._device))

    def lost(self, fov: Fov, times: Sequence[int]) -> dict[int, UnreadablePixels]:
        """Try whether time points can be read; return those that cannot, and why."""
        source = self.prepared.source
        found: dict[int, UnreadablePixels] = {}
        as_it_is = {-1: [Intensities()] * len(source.channels)}
        for item in read_slices(fov, times, replace(source, skip_empty=True), as_it_is):
            if isinstance(item, End) and item.error is not None:
                found[item.t] = item.error
        return found

    def stain_fov(
        self,
        fov: Fov,
        times: Sequence[int],
        job: Job,
        begun: Mapping[str, Any] | None = None,
        remember: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Iterator[Stained]:
        """Stain time points of a FOV, a few slices at a time.

        A thread reads and normalises slices, a second one computes, and the caller may
        write meanwhile.

        Parameters
        ----------
        fov
            The FOV.
        times
            Time points, ascending.
        job
            Progress of the statistics, and cancelling.
        begun
            What an earlier run remembered of this FOV: tiles, numbers and intensities are as
            they were, so that its time points go together.
        remember
            Takes what is to be remembered, in values that JSON can hold.

        Yields
        ------
        Stained
            Slices in order; a time point that is empty or cannot be read comes without.

        Raises
        ------
        InvalidInput
            If the FOV lacks the channel, or its images cannot be normalised.
        """
        if not times:
            return
        from napari_dynaclr.staining.inference import Settled

        source = self.prepared.source
        known = dict(begun or {})
        if "intensities" in known:
            scales = {-1: [Intensities(**one) for one in known["intensities"]]}
        else:
            try:
                scales = intensities(self._dataset, fov, source, job)
            except UnreadablePixels as error:
                yield from self._all_lost(fov, times, error)
                return
        self._tell_size(fov)
        settled = Settled(known.get("tile"), known.get("format"))
        items = read_slices(fov, times, source, scales)
        with closing(self._stain(fov, items, fov.shape[1:], job, settled)) as parts:
            for part in parts:
                now = self._started(job).settled
                facts = asdict(now)
                if -1 in scales:
                    facts["intensities"] = [asdict(one) for one in scales[-1]]
                if remember is not None and facts != known and part.pixels.size:
                    remember(facts)
                    known = facts
                yield part

    def stain_frame(
        self, fov: Fov, t: int, frame: NDArray[Any], job: Job, *, own: bool = True
    ) -> NDArray[np.float32]:
        """Stain one time point that is in memory, such as one that was changed on purpose.

        Parameters
        ----------
        fov
            Gives the voxel size, and the statistics if they are not the frame's own.
        t
            Time point that the frame is of.
        frame
            Raw pixels of the source channels, (C, Z, Y, X), of any size.
        job
            For cancelling.
        own
            Normalise by the statistics of the frame itself; else by those stored or computed
            for the FOV, as :meth:`stain_fov` does.

        Returns
        -------
        numpy.ndarray
            (K, Z, Y, X) float32.
        """
        from napari_dynaclr.staining.inference import Settled

        source = self.prepared.source
        flat = Flat(len(frame))
        flat.see(frame)
        if flat:
            return np.zeros((len(self.channels), *frame.shape[1:]), np.float32)
        if own:
            known = [summarize(image[np.isfinite(image)]) for image in frame]
            where = f"FOV {fov.name}, time point {t}"
            scales = [Intensities.of(one, source.mode, where) for one in known]
        else:
            found = intensities(self._dataset, fov, source, job)
            scales = found.get(-1) or found[t]

        def slices() -> Iterator[Slice | End]:
            for z in range(frame.shape[1]):
                yield Slice(t, scaled(frame[:, z], scales))
            yield End(t)

        found_slices = self._stain(fov, slices(), frame.shape[1:], job, Settled())
        return np.concatenate([one.pixels for one in found_slices], axis=1)

    def _all_lost(
        self, fov: Fov, times: Sequence[int], first: UnreadablePixels
    ) -> Iterator[Stained]:
        """Say of each time point by itself why it cannot be read."""
        errors = self.lost(fov, times)
        nothing = self._nothing(fov.shape[2:])
        for t in times:
            yield Stained(t, 0, nothing, last=True, error=errors.get(t, first))

    def _stain(
        self,
        fov: Fov,
        items: Iterator[Slice | End],
        shape: tuple[int, ...],
        job: Job,
        settled: Settled,
    ) -> Generator[Stained]:
        frames = self._started(job)
        frames.begin(settled)
        size = self._model_size(fov, shape)
        # Threads end when they are left, not only when somebody forgets the error that was raised.
        with closing(read_ahead(items, job, depth=4)) as ready:

            def made() -> Iterator[Stained]:
                yield from self._time_points(frames, ready, shape, size, job)

            with closing(read_ahead(made(), job)) as answers:
                yield from answers

    def _time_points(
        self,
        frames: Frames,
        items: Iterable[Slice | End],
        shape: tuple[int, ...],
        size: tuple[int, int, int],
        job: Job,
    ) -> Iterator[Stained]:
        """Stain stack after stack."""
        source = iter(items)
        for item in source:
            stack = _Stack(source, item)
            z = 0
            kept: Stained | None = None
            for slab in frames.stain(stack, shape, size, _together(shape), job):
                if kept is not None:
                    yield kept
                kept = Stained(stack.t, z, slab)
                z += slab.shape[1]
            end = stack.end
            if end.empty or end.error is not None:
                nothing = self._nothing(shape[1:])
                yield Stained(end.t, 0, nothing, last=True, empty=end.empty, error=end.error)
            elif kept is not None:
                yield replace(kept, last=True)

    def _nothing(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return np.empty((len(self.channels), 0, *shape), np.float32)

    def _started(self, job: Job) -> Frames:
        prepared = self.prepared

        def start() -> Frames:
            from napari_dynaclr.staining.frames import Frames
            from napari_dynaclr.staining.inference import Inference

            config = prepared.config
            infer = Inference(prepared.network, config.stride, self._device, self._running)
            return Frames(infer, config, self._how.z_stride, self._how.zeros)

        if self._frames is None:
            self._frames = in_background(start, job)
        return self._frames

    # -- voxel size -------------------------------------------------------

    def _factors(self, fov: Fov) -> tuple[float, float, float]:
        """How much larger voxels are than in training, (z, y, x); 1 where that is not known."""
        trained = self.prepared.voxel_size
        if trained is None or fov.scale == (1.0, 1.0, 1.0):
            return (1.0, 1.0, 1.0)
        z, y, x = (
            here / there if there else 1.0 for here, there in zip(fov.scale, trained, strict=True)
        )
        return (z if self.prepared.config.depth > 1 else 1.0, y, x)

    def _model_size(self, fov: Fov, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """(Z, Y, X) that an image is stained at."""
        z, y, x = shape
        if not self._how.resample:
            return (z, y, x)
        near = [
            n if 1 / 1.02 < f < 1.02 else max(1, round(n * f))
            for n, f in zip((z, y, x), self._factors(fov), strict=True)
        ]
        return (near[0], near[1], near[2])

    def _tell_size(self, fov: Fov) -> None:
        """Say, once, how voxels differ from those of the training."""
        trained = self.prepared.voxel_size
        config = self.prepared.config
        lines = []
        if trained is not None and fov.scale == (1.0, 1.0, 1.0):
            lines.append(
                "The images do not say how large their pixels are; the network was trained with "
                f"{trained[2]:g} um: results are poor where they differ much."
            )
        for axis, factor in zip(("Slices", "Pixels", "Pixels"), self._factors(fov), strict=True):
            if not self._how.resample and not 1 / _SPACING_MATTERS <= factor <= _SPACING_MATTERS:
                ratio = f"{max(factor, 1 / factor):.1f}x"
                what = {
                    ("Slices", True): f"Slices are {ratio} further apart than",
                    ("Slices", False): f"Slices are {ratio} closer together than",
                    ("Pixels", True): f"Pixels are {ratio} larger than",
                    ("Pixels", False): f"Pixels are {ratio} smaller than",
                }[axis, factor > 1]
                lines.append(f"{what} those that the network was trained with: set resample.")
        depth = self._model_size(fov, fov.shape[1:])[0]
        if depth < config.out_depth:
            lines.append(
                f"The network takes {config.depth} slices, of which there are {depth}: the "
                "stacks are continued by reflection."
            )
        for line in lines:
            if line not in self._said:
                self._said.add(line)
                self._job.note(line)


class _Stack:
    """The slices of the next time point, as an iterable that stops at its end."""

    def __init__(self, source: Iterator[Slice | End], first: Slice | End) -> None:
        self._source, self._next = source, first
        self.t = first.t
        self._end: End | None = None

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        while not isinstance(self._next, End):
            image = self._next.image
            self._next = next(self._source)
            yield image
        self._end = self._next

    @property
    def end(self) -> End:
        """How it ended; slices that nobody wanted are passed over."""
        if self._end is None:
            for _ in self:
                pass
        assert self._end is not None  # the loop above ends with it
        return self._end


def _together(shape: tuple[int, ...]) -> int:
    return max(1, _SLAB // (8 * shape[1] * shape[2]))
