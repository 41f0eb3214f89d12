"""Convolutional nets in words: what each layer takes, and what it refuses instead of leaving it out."""

import pytest
import torch
from torch import nn

from aelab.models import conv
from aelab.models.common import Spec, registry


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("maxpool 2", nn.MaxPool2d(2)),
        ("maxpool 2 p1", nn.MaxPool2d(2, padding=1)),
        ("maxpool 3 s2 p1", nn.MaxPool2d(3, 2, 1)),
        ("avgpool 3 p1 s1", nn.AvgPool2d(3, 1, 1)),
        ("up 3", nn.Upsample(scale_factor=3)),
    ],
)
def test_a_layer_without_weights_is_torch_s(words, expected):
    x = torch.rand(2, 4, 9, 9)
    assert torch.equal(conv.layer(words, 4)(x), expected(x))


@pytest.mark.parametrize(
    ("words", "kind", "stride", "padding", "kernel", "activation"),
    [
        ("conv 5", nn.Conv2d, 1, 0, 3, nn.Identity),
        ("conv 5 relu p2 k5 s3", nn.Conv2d, 3, 2, 5, nn.ReLU),
        ("convt 5 k4 s2 p1 tanh", nn.ConvTranspose2d, 2, 1, 4, nn.Tanh),
    ],
)
def test_a_convolution_has_what_its_words_say(words, kind, stride, padding, kernel, activation):
    found = conv.layer(words, 4)
    assert isinstance(found, nn.Sequential)
    assert isinstance(found[0], kind)
    assert isinstance(found[1], activation)
    assert (found[0].in_channels, found[0].out_channels) == (4, 5)
    assert (found[0].stride, found[0].padding, found[0].kernel_size) == ((stride,) * 2, (padding,) * 2, (kernel,) * 2)


CONVOLUTION = "k<kernel>, s<stride>, p<padding>, linear, relu, leaky_relu, sigmoid, tanh, silu, each once"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("maxpool 2 k3", "k3 of 'maxpool 2 k3' is wrong; allowed: s<stride>, p<padding>, each once"),
        ("avgpool 2 relu", "relu of 'avgpool 2 relu' is wrong; allowed: s<stride>, p<padding>, each once"),
        ("maxpool 2 s0", "s0 of 'maxpool 2 s0' is wrong; allowed: s<stride>, p<padding>, each once"),
        ("maxpool 3 p2", "padding of 'maxpool 3 p2' is wrong; allowed: p0 to p1, half the window"),
        ("up 2 p1", "p1 of 'up 2 p1' is wrong; allowed: nothing after it"),
        ("conv 4 k3 k5", f"k5 of 'conv 4 k3 k5' is wrong; allowed: {CONVOLUTION}"),
        ("conv 4 relu tanh", f"tanh of 'conv 4 relu tanh' is wrong; allowed: {CONVOLUTION}"),
        ("convt 4 k0", f"k0 of 'convt 4 k0' is wrong; allowed: {CONVOLUTION}"),
        ("conv 4 softplus", f"softplus of 'conv 4 softplus' is wrong; allowed: {CONVOLUTION}"),
        (
            "conv relu",
            "'conv relu' is not a layer; allowed: conv, convt, maxpool, avgpool, up, e.g. conv 16 k3 s2 p1 relu",
        ),
        ("pool 2", "'pool 2' is not a layer; allowed: conv, convt, maxpool, avgpool, up, e.g. conv 16 k3 s2 p1 relu"),
    ],
)
def test_what_a_layer_cannot_take_is_refused(words, line):
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the whole line is compared)
        conv.Config((words,), ())
    assert str(error.value) == f"encoder: {line}"


@pytest.mark.parametrize(
    ("encoder", "line"),
    [
        (("conv 4 k30",), "encoder: 'conv 4 k30' cannot take maps of 28 x 28; allowed: windows within the map"),
        (
            ("conv 4", "avgpool 27"),
            "encoder: 'avgpool 27' cannot take maps of 26 x 26; allowed: windows within the map",
        ),
        (("maxpool 2 p1",), "decoder: an output of (1, 30, 30) is wrong; allowed: the image's shape (1, 28, 28)"),
    ],
)
def test_layers_that_do_not_fit_together_are_refused(encoder, line):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        registry.build("conv", {"encoder": encoder, "decoder": ("up 2",)}, Spec((1, 28, 28), 10), torch.Generator())
    assert str(error.value) == line


@pytest.mark.parametrize("family", ["conv", "conv_vae"])
def test_nets_that_size_themselves_do_not_fade_at_first(family):
    """He et al. 2015: of inputs of mean square 1, the maps of every layer keep about half to twice that."""
    spec = Spec((3, 64, 64), 3)
    model = registry.build(family, {"channels": (16, 32, 64), "latent_dim": 8}, spec, torch.Generator().manual_seed(0))
    maps = torch.randn(32, *spec.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for layer in model.encoder[:6]:
            maps = layer(maps)
            if isinstance(layer, nn.Conv2d):  # the ReLU after it takes half, the next layer makes up for it
                assert 0.8 < maps.square().mean() < 4
        maps = torch.randn(32, *maps.shape[1:], generator=torch.Generator().manual_seed(2)) * 2**0.5
        for layer in model.decoder[2:]:
            maps = layer(maps)
            if isinstance(layer, nn.ConvTranspose2d):
                assert 0.8 < maps.square().mean() < 4
