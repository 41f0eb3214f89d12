"""Images decoded from codes: each from the code it is said to be from, with models whose decoder is known."""

import dataclasses

import numpy as np
import torch
from torch import nn

from aelab.config import params
from aelab.data.tensors import Data, Tensors
from aelab.evaluation import decoded
from aelab.evaluation.images import spread
from aelab.models.common import Autoencoder, Output, Spec
from aelab.models.common.registry import build

SPEC = Spec((1, 4, 4), 2)
SETTINGS = dataclasses.replace(params.load("evaluate"), digits=4, samples=2, steps=3, units=1)


def draw(use):
    return torch.Generator().manual_seed(0)


def known(numbers: int) -> Autoencoder:
    """The code is the image's first pixels, and they are drawn back there."""
    encoder = nn.Sequential(nn.Sequential(nn.Flatten(), First(numbers)))
    return Autoencoder(SPEC, encoder, Back(), Output("linear", "mse", "sum"))


class First(nn.Module):
    def __init__(self, numbers):
        super().__init__()
        self.numbers = numbers

    def forward(self, x):
        return x[:, : self.numbers]


class Back(nn.Module):
    def forward(self, z):
        return nn.functional.pad(z, (0, 16 - z.shape[1])).view(-1, 1, 4, 4)


def split(n=50):
    generator = torch.Generator().manual_seed(1)
    return Tensors(torch.rand(n, 1, 4, 4, generator=generator), torch.arange(n) % 2)


def kept(model, test):
    model.eval()
    with torch.no_grad():
        codes = model.encode(test.x, test.y)
    data = Data(test, test, test, {}, test, test, test)
    return decoded.of(model, data, spread(test.y, 4), codes, SETTINGS, draw)


def test_the_grid_grows_to_the_right_and_upwards():
    test = split()
    found = kept(known(2), test)
    first, second = found["grid_codes"]
    assert (np.diff(first) > 0).all()
    assert (np.diff(second) > 0).all()
    low = np.quantile(test.x[:, 0, 0, :2].numpy(), 0.02, axis=0)
    np.testing.assert_allclose([first[0], second[0]], low, rtol=1e-5)
    drawn = found["grid"].reshape(decoded.GRID, decoded.GRID, 4, 4)
    np.testing.assert_array_equal(drawn[0, :, 0, 0], (first * 255).round())
    np.testing.assert_array_equal(drawn[:, 0, 0, 1], (second[::-1] * 255).round())


def test_the_chosen_codes_are_the_median_the_nearest_and_the_tutorial_s():
    test = split()
    found = kept(known(3), test)
    median, nearest, wanted = found["chosen_codes"]
    codes = test.x.flatten(1)[:, :3].numpy()
    np.testing.assert_allclose(median, np.median(codes, 0), rtol=1e-6)
    np.testing.assert_allclose(wanted, decoded.CHOSEN)
    row = ((codes - wanted) ** 2).sum(1).argmin()
    np.testing.assert_array_equal(nearest, codes[row])
    np.testing.assert_array_equal(found["chosen_original"][0], (test.x[row, 0] * 255).round())
    assert found["chosen"][2, 0, :3].tolist() == [255, 0, 255], "1.19, -3.36, 2.06, clipped"


def test_other_sizes_have_no_grid_and_nothing_chosen():
    assert set(kept(known(4), split())) == {"interpolation", "random_codes", "fitted_codes"}


def test_codes_between_two_digits_are_in_equal_steps():
    test = split()
    found = kept(known(4), test)["interpolation"]
    assert found.shape == (decoded.PAIRS, SETTINGS.steps, 4, 4)
    codes = test.x[spread(test.y, 4)].flatten(1)[:, :4].numpy()
    for pair, (first, last) in enumerate(((0, 1), (2, 3), (0, 1))):
        middle = (codes[first] + codes[last]) / 2
        ends = [found[pair, k, 0] for k in (0, 1, 2)]
        for row, expected in zip(ends, (codes[first], middle, codes[last]), strict=True):
            np.testing.assert_allclose(row, expected * 255, atol=0.51)


def test_random_codes_are_normal_and_fitted_ones_are_like_the_training_codes():
    found = kept(known(4), split(500))
    assert found["random_codes"].shape == found["fitted_codes"].shape == (SETTINGS.samples, 4, 4)
    assert (found["random_codes"][:, 0] == 0).any(), "below 0, which no training code is"


def test_the_same_codes_are_decoded_under_every_label():
    model = build("cvae", {"hidden": (8,), "latent_dim": 3}, SPEC, draw(""))
    found = kept(model, split())["by_class"].reshape(decoded.STYLES, 2, 4, 4)
    z = torch.randn(decoded.STYLES, 3, generator=draw(""))
    with torch.no_grad():
        ones = model.decode(z, torch.ones(decoded.STYLES, dtype=torch.long))
    np.testing.assert_array_equal(found[:, 1], (ones[:, 0] * 255).round())


def test_a_cluster_s_prototype_is_its_decoded_one_hot():
    test, model = split(), build("gumbel_vae", {"hidden": (8,), "categories": 3}, SPEC, draw(""))
    found = kept(model, test)
    with torch.no_grad():
        np.testing.assert_array_equal(found["prototypes"], (model.decode(torch.eye(3))[:, 0] * 255).round())
        codes = model.encode(test.x)
    np.testing.assert_array_equal(found["clusters"], codes.argmax(1))
    several = build("gumbel_vae", {"hidden": (8,), "num_latents": 2, "categories": 3}, SPEC, draw(""))
    assert "prototypes" not in kept(several, test)


def test_swaps_take_the_column_s_content_and_the_row_s_style():
    config = {
        "hidden": (8,),
        "content": 3,
        "style": 3,
        "class_weight": 1,
        "adversarial_weight": 1,
        "variance_weight": 1.0,
        "adversary": 4,
    }
    test, model = split(), build("content_style", config, SPEC, draw(""))
    found = kept(model, test)["swaps"].reshape(4, 4, 4, 4)
    rows = spread(test.y, 4)
    with torch.no_grad():
        pair = model.swap(test.x[rows[3:]], test.x[rows[1:2]])
        own = model.reconstruct(test.x[rows])
    np.testing.assert_array_equal(found[1, 3], (pair[0, 0] * 255).round())
    np.testing.assert_array_equal(found[range(4), range(4)], (own[:, 0] * 255).round())


def test_hidden_are_the_places_that_a_masked_model_reconstructs():
    config = {"embed_dim": 8, "depth": 1, "heads": 2, "decoder_embed_dim": 8, "decoder_depth": 1, "patch": 2}
    model = build("masked_ae", config, SPEC, draw(""))
    hidden = kept(model, split())["hidden"]
    assert hidden.dtype == bool
    patches = hidden.reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(4, 4)
    assert (patches.all(1) | ~patches.any(1)).all(), "whole patches"
    assert patches.all(1).sum() == 3
