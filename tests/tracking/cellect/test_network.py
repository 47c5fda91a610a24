"""The network: layout of the published one, any size of image, blocks that agree."""

from __future__ import annotations

import pytest
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.tracking.cellect import network
from napari_dynaclr.tracking.cellect.architecture import CellectConfig
from napari_dynaclr.tracking.cellect.network import CellectNet

SMALL = CellectConfig(base=2, levels=3, embedding=8, enhancement_base=1)


@pytest.mark.parametrize("downsampling", ["strided", "pooled"])
def test_the_default_is_as_large_as_the_published_one(downsampling):
    net = CellectNet(CellectConfig(downsampling=downsampling))
    assert sum(weight.numel() for weight in net.parameters()) == 2_541_972
    assert len(net.state_dict()) == 64


@pytest.mark.parametrize("size", [(33, 50, 1), (16, 16, 5), (5, 7, 2)])
def test_any_size_is_taken_and_given_back(size):
    maps = CellectNet(SMALL).eval()(torch.randn(2, 2, *size))
    channels = [one.shape[1] for one in maps]
    assert channels == [3, 5, 8, 2, 1]
    assert all(one.shape[2:] == size and one.shape[0] == 2 for one in maps)
    assert all(bool(torch.isfinite(one).all()) for one in maps)
    assert (maps.size >= 0).all()


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_every_number_of_levels_makes_a_network_that_learns_everywhere(levels):
    config = CellectConfig(base=2, levels=levels, embedding=4, dropout=0)
    net = CellectNet(config)
    maps = net(torch.randn(1, 2, 64, 64, 2))
    sum(one.square().sum() for one in maps).backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_depth_is_never_halved():
    """A change in one slice of a deep stack must not reach all slices by downsampling."""
    net = CellectNet(CellectConfig(base=2, levels=2, embedding=4, norm="batch")).eval()
    frames = torch.randn(1, 2, 16, 16, 41)
    before = net(frames).segmentation
    frames[..., 0] += 10
    after = net(frames).segmentation
    assert not torch.allclose(before[..., 0], after[..., 0])
    assert torch.equal(before[..., -1], after[..., -1])


def test_embedding_of_some_voxels_is_that_of_the_map():
    net = CellectNet(SMALL).eval()
    frames = torch.randn(2, 2, 20, 24, 3)
    index = tuple(torch.tensor(one) for one in ([0, 1, 1], [3, 19, 0], [0, 23, 7], [2, 0, 1]))
    whole = net(frames).embedding
    few = net.embed_at(net.see(frames).embedding, index)
    torch.testing.assert_close(few, whole[index[0], :, *index[1:]])


def test_the_first_frame_is_told_from_the_second():
    net = CellectNet(SMALL).eval()
    frames = torch.randn(1, 2, 16, 16, 1)
    assert not torch.allclose(net(frames).levels, net(frames.flip(1)).levels)


@pytest.mark.parametrize("wrong", [{"base": 0}, {"levels": 1}, {"dropout": 1.0}])
def test_what_makes_no_network_is_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        CellectConfig(**wrong)


@pytest.mark.parametrize("downsampling", ["strided", "pooled"])
def test_a_single_slice_is_computed_flat_with_the_same_result(downsampling):
    config = CellectConfig(base=2, levels=3, embedding=4, norm="batch", downsampling=downsampling)
    net = CellectNet(config).eval()
    frames = torch.randn(1, 2, 24, 20, 1)
    flat = net(frames)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "_Conv3d", torch.nn.Conv3d)
        deep = network.CellectNet(config).eval()
    deep.load_state_dict(net.state_dict())
    for one, other in zip(flat, deep(frames), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
