"""What learns from labelled crops: on TAP's features, fixed or fine-tuned, and from scratch."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_dynaclr.comparison.probe_crops import Crops
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.tap.network import TimeArrowNet

RESNET = "resnet10t"
"""About 5 million parameters, as the paper's."""
_BATCH = 32
_RATE, _FINE_RATE = 1e-3, 1e-4
"""Learning rates of what begins from random weights, and of what is fine-tuned."""


@dataclass(frozen=True)
class Bench:
    """Crops, and what TAP makes of them.

    Attributes
    ----------
    crops
        The crops.
    network
        TAP's.
    pooled
        Mean of the features over each of the two crops, (N, 2 F).
    features
        The features, (N, 2 F, Y, X) float16; empty where nobody needs them.
    device
        Where to compute.
    """

    crops: Crops
    network: TimeArrowNet
    pooled: NDArray[np.float32]
    features: NDArray[np.float16]
    device: str


@dataclass(frozen=True)
class Learnt:
    """What a way of learning has come to.

    Attributes
    ----------
    scores
        How likely each of the held-out crops is of a dividing cell, (N,).
    parameters
        How many numbers it has learnt.
    whole
        Whether it was given all its steps.
    """

    scores: NDArray[np.float64]
    parameters: int
    whole: bool = True


def make_bench(crops: Crops, network: TimeArrowNet, device: str, job: Job, *, dense: bool) -> Bench:
    """Compute what is learnt from: once for every crop.

    Parameters
    ----------
    crops
        The crops.
    network
        TAP's.
    device
        Where to compute.
    job
        Progress and cancelling.
    dense
        Whether the features of every pixel are needed too.
    """
    network = network.to(device).eval()
    count, _, height, width = crops.pixels.shape
    channels = 2 * network.config.features
    pooled = np.empty((count, channels), np.float32)
    features = np.empty((count if dense else 0, channels, height, width), np.float16)
    limit = float(np.finfo(np.float16).max)
    with torch.inference_mode():
        for start in job.track(range(0, count, _BATCH), "features of crops"):
            rows = slice(start, start + _BATCH)
            z = _represent(network, torch.from_numpy(crops.pixels[rows]).to(device))
            pooled[rows] = z.mean((-2, -1)).cpu().numpy()
            if dense:
                features[rows] = z.clamp(-limit, limit).half().cpu().numpy()
    return Bench(crops, network, pooled, features, device)


def _represent(network: TimeArrowNet, pixels: Tensor) -> Tensor:
    """Compute features of both frames of crops (B, 2, Y, X): (B, 2 F, Y, X)."""
    z = network.represent(pixels.flatten(0, 1).unsqueeze(1))
    return z.unflatten(0, (len(pixels), 2)).flatten(1, 2)


def linear(bench: Bench, rows: NDArray[np.intp], _seed: int, _end: float, _job: Job) -> Learnt:
    """Learn a logistic regression on the mean features of both frames (a linear probe).

    Features are standardised by all crops that may be learnt from, which takes no labels: of a few
    labelled ones, every feature would differ as much as any other.
    """
    held_out, dividing = bench.crops.held_out, bench.crops.dividing
    scale = StandardScaler().fit(bench.pooled[~held_out])
    model = LogisticRegression(class_weight="balanced", max_iter=5000)
    model.fit(scale.transform(bench.pooled[rows]), dividing[rows])
    scores = model.decision_function(scale.transform(bench.pooled[held_out]))
    return Learnt(scores, bench.pooled.shape[1] + 1)


def resnet(bench: Bench, rows: NDArray[np.intp], seed: int, end: float, job: Job) -> Learnt:
    """Train a small ResNet on fixed features."""
    net = _resnet(bench.pooled.shape[1], seed)
    groups = [{"params": list(net.parameters()), "lr": _RATE}]
    return _train(bench, bench.features, rows, net, net, groups, seed, end, job)


def scratch(bench: Bench, rows: NDArray[np.intp], seed: int, end: float, job: Job) -> Learnt:
    """Train the same ResNet on pixels, from scratch."""
    net = _resnet(2, seed)
    groups = [{"params": list(net.parameters()), "lr": _RATE}]
    return _train(bench, bench.crops.pixels, rows, net, net, groups, seed, end, job)


def fine_tuned(bench: Bench, rows: NDArray[np.intp], seed: int, end: float, job: Job) -> Learnt:
    """Train a copy of TAP itself further, with a linear layer on its mean features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        last = nn.Linear(bench.pooled.shape[1], 1)
    both = nn.ModuleDict({"tap": copy.deepcopy(bench.network), "last": last})
    tap: Any = both["tap"]
    tap.classification_head = nn.Identity()  # which takes no part
    groups = [
        {"params": list(tap.parameters()), "lr": _FINE_RATE},
        {"params": list(last.parameters()), "lr": _RATE},
    ]

    def forward(pixels: Tensor) -> Tensor:
        result: Tensor = last(_represent(tap, pixels).mean((-2, -1)))
        return result

    return _train(bench, bench.crops.pixels, rows, both, forward, groups, seed, end, job)


WAYS: dict[str, Callable[[Bench, NDArray[np.intp], int, float, Job], Learnt]] = {
    "linear": linear,
    "resnet": resnet,
    "fine-tuned": fine_tuned,
    "scratch": scratch,
}


def _resnet(channels: int, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(RESNET, in_chans=channels, num_classes=1)


def _train(
    bench: Bench,
    inputs: NDArray[Any],
    rows: NDArray[np.intp],
    module: nn.Module,
    forward: Callable[[Tensor], Tensor],
    groups: list[dict[str, Any]],
    seed: int,
    end: float,
    job: Job,
) -> Learnt:
    """Train until a moment (of time.monotonic), and score the held-out crops.

    Of inputs that are pixels, the brightness is changed too.
    """
    crops, device = bench.crops, bench.device
    module.to(device).train()
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-2)
    generator = np.random.default_rng(seed)
    sides = [rows[crops.dividing[rows]], rows[~crops.dividing[rows]]]
    done, steps = 0, _steps(len(rows))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in groups], total_steps=steps
    )
    while done < steps and (time.monotonic() < end or done < 2):
        job.check()
        # As many of each kind, so that few divisions are not drowned.
        batch = np.concatenate([generator.choice(side, _BATCH // 2) for side in sides])
        changed = augmented(inputs[batch], generator, brightness=inputs is crops.pixels)
        seen = torch.from_numpy(changed).to(device)
        wanted = torch.from_numpy(crops.dividing[batch].astype(np.float32)).to(device)
        loss = functional.binary_cross_entropy_with_logits(forward(seen)[:, 0], wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        done += 1
    module.eval()
    scores = []
    tested = np.flatnonzero(crops.held_out)
    with torch.inference_mode():
        for start in range(0, len(tested), _BATCH):
            job.check()
            part = inputs[tested[start : start + _BATCH]].astype(np.float32)
            scores.append(forward(torch.from_numpy(part).to(device))[:, 0].double().cpu().numpy())
    count = sum(one.numel() for one in module.parameters())
    return Learnt(np.concatenate(scores), count, done == steps)


def _steps(labels: int) -> int:
    """Return how many batches to learn from: 60, and more the more there is to see."""
    return 60 + min(labels // 4, 140)


def augmented(
    images: NDArray[Any], generator: np.random.Generator, *, brightness: bool
) -> NDArray[np.float32]:
    """Turn and mirror crops, and change their brightness; both frames of a pair alike.

    Parameters
    ----------
    images
        Pixels or features, (B, C, Y, X), Y as large as X.
    generator
        Of random numbers.
    brightness
        Whether to change the brightness too.
    """
    changed = np.empty(images.shape, np.float32)
    for i, one in enumerate(images):
        turned = np.rot90(one, int(generator.integers(4)), (1, 2))
        changed[i] = turned[:, :, ::-1] if generator.random() < 0.5 else turned
        if brightness:
            changed[i] = changed[i] * generator.uniform(0.8, 1.2) + generator.uniform(-0.1, 0.1)
    return changed
