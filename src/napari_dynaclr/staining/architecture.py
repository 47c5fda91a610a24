"""What networks for virtual staining there are, described without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["fcmae", "unext2"]


@dataclass(frozen=True)
class Backbone:
    """An encoder of timm in a UNeXt2.

    Attributes
    ----------
    dims
        Channels of each stage.
    blocks
        Blocks of each stage.
    """

    dims: tuple[int, ...]
    blocks: tuple[int, ...]


BACKBONES = {
    "convnextv2_tiny": Backbone((96, 192, 384, 768), (3, 3, 9, 3)),
    "convnextv2_atto": Backbone((40, 80, 160, 320), (2, 2, 6, 2)),
    "convnextv2_femto": Backbone((48, 96, 192, 384), (2, 2, 6, 2)),
    "convnextv2_pico": Backbone((64, 128, 256, 512), (2, 2, 6, 2)),
    "convnextv2_nano": Backbone((80, 160, 320, 640), (2, 2, 8, 2)),
    "convnextv2_small": Backbone((96, 192, 384, 768), (3, 3, 27, 3)),
    "convnextv2_base": Backbone((128, 256, 512, 1024), (3, 3, 27, 3)),
    "convnext_tiny": Backbone((96, 192, 384, 768), (3, 3, 9, 3)),
    "convnext_small": Backbone((96, 192, 384, 768), (3, 3, 27, 3)),
    "convnext_base": Backbone((128, 256, 512, 1024), (3, 3, 27, 3)),
}
"""Encoders that a UNeXt2 can have, by timm's names; the published ones have the first."""


@dataclass(frozen=True)
class StainerConfig:
    """The shape of a network for virtual staining (cytoland.txt, Model architecture).

    Attributes
    ----------
    kind
        "fcmae", whose encoder can be trained on label-free images alone, or "unext2".
    in_channels, out_channels
        Channels that it takes and gives.
    depth
        Slices that it takes; 1 for two-dimensional images.
    out_depth
        Slices that it gives; 0 for as many as it takes. Only a UNeXt2 can give fewer.
    stem
        Kernel and stride of the first convolution, (z, y, x) in pixels; y and x alike.
    dims, blocks
        Channels and blocks of each stage of an FCMAE's encoder; each stage has twice the
        channels of the one before. A UNeXt2 has those of its backbone.
    backbone
        Encoder of a UNeXt2, a key of :data:`BACKBONES`; empty for an FCMAE.
    decoder_blocks
        Blocks of each stage of the decoder.
    upsample_conv
        A convolution before the decoder's upsampling. UNeXt2 only.
    head_conv
        The head is a convolution along z, y and x, rather than pixels put in their
        places. A UNeXt2 always has it.
    head_expansion
        Width of that convolution, as a multiple.
    head_pool
        That head averages neighbouring pixels, against a pattern of checks.
    drop_path
        Probability that a block of the encoder is skipped in training.
    pretraining
        It was trained to fill in what was hidden of its own input, and stains nothing.

    Raises
    ------
    InvalidInput
        If there is no such network.
    """

    kind: Kind = "fcmae"
    in_channels: int = 1
    out_channels: int = 2
    depth: int = 1
    out_depth: int = 0
    stem: tuple[int, int, int] = (1, 2, 2)
    dims: tuple[int, ...] = (96, 192, 384, 768)
    blocks: tuple[int, ...] = (3, 3, 9, 3)
    backbone: str = ""
    decoder_blocks: int = 2
    upsample_conv: bool = False
    head_conv: bool = False
    head_expansion: int = 4
    head_pool: bool = True
    drop_path: float = 0.0
    pretraining: bool = False

    def __post_init__(self) -> None:
        if self.kind == "unext2":
            self._set(backbone=self.backbone or "convnextv2_tiny", head_conv=True)
            if self.backbone not in BACKBONES:
                raise InvalidInput(
                    f"There is no backbone '{self.backbone}': choose one of {', '.join(BACKBONES)}."
                )
            own = BACKBONES[self.backbone]
            self._set(dims=own.dims, blocks=own.blocks)
        elif self.kind != "fcmae":
            raise InvalidInput(f"There is no network '{self.kind}': choose fcmae or unext2.")
        self._set(out_depth=self.out_depth or self.depth)
        trouble = self._trouble()
        if trouble:
            raise InvalidInput(f"There can be no such {self.kind}: {trouble}.")

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _trouble(self) -> str:
        """Say why no such network can be built, or nothing."""
        z, y, x = self.stem
        counts = [self.in_channels, self.out_channels, self.depth, self.out_depth, z, y, x]
        counts += [*self.dims, *self.blocks, self.decoder_blocks, self.head_expansion]
        if min(counts) < 1:
            return "all its numbers must be 1 or more"
        if len(self.dims) != len(self.blocks) or len(self.dims) < 2:
            return f"{len(self.dims)} stages with channels, {len(self.blocks)} with blocks"
        if any(2 * one != next_ for one, next_ in zip(self.dims, self.dims[1:], strict=False)):
            return f"each stage must have twice the channels of the one before, not {self.dims}"
        if self.dims[0] % 2:
            return f"the first stage must have an even number of channels, not {self.dims[0]}"
        if self.depth < z:
            return f"a stem of {z} slices does not fit into {self.depth}"
        if self.dims[0] % (self.depth // z):
            return (
                f"its {self.dims[0]} channels cannot be divided among the {self.depth // z} levels "
                f"that a stem of {z} slices makes of {self.depth}"
            )
        if y != x:
            return f"its stem must be as high as wide, not {y} x {x}"
        if self.head_conv and x != 4:
            return f"with its head, the stem must be 4 x 4 pixels, not {y} x {x}"
        if not self.head_conv and x % 2:
            return f"the width of its stem must be even, not {x}"
        if self.kind == "unext2" and self.depth % z:
            return f"a stem of {z} slices must fit a whole number of times into {self.depth}"
        if self.kind == "fcmae" and (self.out_depth != self.depth or self.upsample_conv):
            return "it gives as many slices as it takes, and has no convolution before upsampling"
        return ""

    @property
    def levels(self) -> int:
        """Positions of the stem along z, which become channels."""
        return self.depth // self.stem[0]

    @property
    def stride(self) -> int:
        """Pixels in y and x of one pixel of the deepest stage: sizes must be multiples of it."""
        return int(self.stem[2] * 2 ** (len(self.dims) - 1))

    @property
    def reference_stride(self) -> int:
        """Multiple that VisCy enlarges images to, which is often far more than it need be."""
        if self.kind == "unext2":
            return 64
        return int(2 ** (len(self.dims) * (self.stem[2].bit_length() - 1)))

    @property
    def decoded(self) -> int:
        """Channels between decoder and head."""
        if not self.head_conv:
            return self.out_channels * self.depth * self.stem[2] ** 2
        channels = self.out_channels if self.kind == "unext2" else self.in_channels
        return (self.out_depth + 2) * channels * 4 * self.head_expansion

    def describe(self) -> str:
        """Say it in a few words, as in "fcmae, 1 channel to 2, 15 slices, stem (5, 4, 4)"."""
        name = f"unext2 on {self.backbone}" if self.kind == "unext2" else "fcmae"
        slices = f"{self.depth} slice{'s' * (self.depth > 1)}"
        if self.out_depth != self.depth:
            slices += f" to {self.out_depth}"
        return (
            f"{name}, {self.in_channels} channel{'s' * (self.in_channels > 1)} to "
            f"{self.out_channels}, {slices}, stem {self.stem}, {self.dims[0]} to {self.dims[-1]} "
            "features"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain values, for :meth:`from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Self:
        """Take a shape from plain values; other names are ignored.

        Parameters
        ----------
        values
            By the names of the fields.
        source
            Where they are from, for messages.

        Raises
        ------
        InvalidInput
            If they make no sense, or there is no such network.
        """
        try:
            return cls(**cls._fields(values))
        except (TypeError, ValueError):
            raise InvalidInput(
                f"{source} does not say properly which network it holds: choose another checkpoint."
            ) from None
        except InvalidInput as error:
            raise InvalidInput(f"{source} cannot be used. {error}") from None

    @classmethod
    def _fields(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name, default in cls().to_dict().items():
            if name not in values:
                continue
            value = values[name]
            if isinstance(default, tuple):
                given[name] = tuple(int(number) for number in value)
            else:
                given[name] = type(default)(value)
        if len(given.get("stem", (1, 1, 1))) != 3:
            raise ValueError("a stem has three sizes")
        return given
