"""Unpooling by remembered places: torch's, exactly, in deterministic mode; and places are part of the code."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from aelab.config import seeding
from aelab.models import conv_unpool
from aelab.models.common import Spec, registry
from aelab.training.loop import fit
from aelab.training.settings import Training

SPEC = Spec((1, 28, 28), 10)
CONFIGS = {
    "conv_unpool": {"channels": (6, 4), "strides": (3, 1), "output": "linear", "loss": "mse"},
    "one_layer": {"channels": (3,), "strides": (2,), "pool": 3},
}


class Silent:
    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...


def build(config, seed=0):
    return registry.build("conv_unpool", config, SPEC, torch.Generator().manual_seed(seed))


def learned(config, data, steps):
    model = build(config)
    settings = Training("adam", 2e-3, "constant", 0.0, len(data.x), steps, None, None, None, 1, (), (), ())
    fit(model, data, data, settings, partial(seeding.generator, 0), Silent())
    return model


@pytest.mark.parametrize(("shape", "size"), [((10, 10), 2), ((5, 5), 2), ((7, 8), 3), ((4, 9), 4), ((3, 3), 3)])
def test_unpooling_is_torch_s_and_puts_every_value_where_it_came_from(shape, size):
    x = torch.randn(3, 4, *shape, generator=torch.Generator().manual_seed(0)).relu()  # with many equal values: zeros
    values, places = conv_unpool.pool(x, size)
    ours = conv_unpool.unpool(values, places, size, shape)
    expected, flat = F.max_pool2d(x, size, return_indices=True)
    assert torch.equal(values, expected)
    assert places.min() >= 0
    assert places.max() < size**2
    torch.use_deterministic_algorithms(False)  # torch refuses to unpool in deterministic mode
    try:
        theirs = F.max_unpool2d(expected, flat, size, output_size=shape)
    finally:
        torch.use_deterministic_algorithms(True)
    assert torch.equal(ours, theirs)
    kept = ours != 0
    assert torch.equal(ours[kept], x[kept])
    assert torch.equal(F.max_pool2d(ours, size), values)


def test_gradients_of_pooling_and_unpooling_reach_the_maxima_alone():
    x = torch.rand(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)

    def there_and_back(x):
        values, places = conv_unpool.pool(x, 2)
        return conv_unpool.unpool(values, places, 2, (5, 5))

    assert torch.autograd.gradcheck(there_and_back, x)
    (gradient,) = torch.autograd.grad(there_and_back(x).sum(), x)
    assert torch.equal(gradient != 0, there_and_back(x) != 0)


def test_the_code_holds_the_values_and_the_places_of_both_poolings(digits):
    model = build({"channels": (16, 8), "strides": (3, 1), "output": "linear", "loss": "mse"})
    x = digits[0][:5]
    z = model.encode(x)
    assert z.shape == (5, 8 * 2 * 2 + 8 * 2 * 2 + 16 * 5 * 5)
    first, first_places = conv_unpool.pool(model.encoder[0](x), 2)
    assert first.shape[1:] == (16, 5, 5)
    second, second_places = conv_unpool.pool(model.encoder[1](first), 2)
    assert torch.equal(z, torch.cat([second.flatten(1), second_places.flatten(1), first_places.flatten(1)], 1))
    # the decoder by hand: 2 -> 5 by unpooling, a transposed convolution, 5 -> 10, and one to 28
    maps = model.decoder[0](conv_unpool.unpool(second, second_places, 2, (5, 5))).relu()
    maps = model.decoder[1](conv_unpool.unpool(maps, first_places, 2, (10, 10)))
    assert torch.equal(model.decode(z), maps)
    assert torch.equal(model.reconstruct(x), maps)


def test_any_numbers_decode_as_places(digits):
    model = build(CONFIGS["conv_unpool"])
    z = model.encode(digits[0][:2])
    between = torch.lerp(z[:1], z[1:], torch.linspace(0, 1, 5)[:, None])
    torch.testing.assert_close(model.decode(between)[[0, -1]], model.decode(z))
    values = 4 * 2 * 2
    shifted = z.clone()
    shifted[:, values:] += 0.4  # rounds back
    assert torch.equal(model.decode(shifted), model.decode(z))
    shifted[:, values:] = torch.where(z[:, values:] == 3, 99.0, z[:, values:])  # kept within the window
    assert torch.equal(model.decode(shifted), model.decode(z))


@pytest.mark.parametrize(
    ("shape", "config"),
    [
        ((1, 28, 28), {"channels": (4, 4), "strides": (2, 2)}),
        ((3, 13, 10), {"channels": (4, 2), "strides": (1, 1), "pool": 3}),
        ((1, 11, 16), {"channels": (4,), "strides": (4,)}),
    ],
)
def test_every_image_size_comes_back(shape, config):
    model = registry.build("conv_unpool", config, Spec(shape, 2), torch.Generator().manual_seed(0))
    assert model.reconstruct(torch.rand(2, *shape)).shape == (2, *shape)


def test_bad_knobs_are_named():
    good = CONFIGS["conv_unpool"]
    for key, value in (("channels", ()), ("strides", (1,)), ("strides", (0, 1)), ("pool", 1)):
        with pytest.raises(ValueError, match=f"^{key}: "):
            build({**good, key: value})
    with pytest.raises(ValueError, match=r"^pool: 7 is wrong; allowed: up to the map's 1 rows or columns"):
        build({**good, "pool": 7})
