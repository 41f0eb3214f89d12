"""Recurrent autoencoders: the state is the code, rows come out in reverse, unread rows are never read."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aelab.config import seeding
from aelab.models import lstm
from aelab.models.common import Batch, Spec, registry
from aelab.training.loop import fit
from aelab.training.settings import Training

SPEC = Spec((1, 28, 28), 10)
CONFIGS = {"lstm": {"units": 24}, "lstm_predict": {"units": 24, "predict_rows": 14}}


class Silent:
    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...


def build(config, seed=0):
    return registry.build("lstm", config, SPEC, torch.Generator().manual_seed(seed))


def learned(config, data, steps):
    model = build(config)
    settings = Training("adam", 2e-3, "constant", 0.0, len(data.x), steps, None, None, None, 1, (), (), ())
    fit(model, data, data, settings, partial(seeding.generator, 0), Silent())
    return model


def ours_and_torchs(inputs, units, seed=0):
    """One of ours and torch's with the same weights."""
    ours = lstm.LSTM(inputs, units)
    ours.initialise(torch.Generator().manual_seed(seed))
    theirs = nn.LSTM(max(inputs, 1), units)
    with torch.no_grad():
        theirs.weight_ih_l0.zero_()
        if ours.inputs is not None:
            theirs.weight_ih_l0.copy_(ours.inputs)
        theirs.weight_hh_l0.copy_(ours.recurrent)
        theirs.bias_ih_l0.copy_(ours.bias)
        theirs.bias_hh_l0.zero_()
    return ours, theirs


def test_a_step_is_torch_s_and_by_hand():
    ours, theirs = ours_and_torchs(3, 5)
    x, h, c = torch.randn(4, 3), torch.randn(4, 5), torch.randn(4, 5)
    assert ours.inputs is not None
    new_h, new_c = ours.step(F.linear(x, ours.inputs, ours.bias), h, c)
    _, (expected_h, expected_c) = theirs(x[None], (h[None], c[None]))
    torch.testing.assert_close(new_h, expected_h[0])
    torch.testing.assert_close(new_c, expected_c[0])
    # all weights 0: i = f = o = 1/2, g = 0, so c halves and h = tanh(c / 2) / 2
    for parameter in ours.parameters():
        nn.init.zeros_(parameter)
    new_h, new_c = ours.step(torch.zeros(1, 20), h, c)
    torch.testing.assert_close(new_c, c / 2)
    torch.testing.assert_close(new_h, torch.tanh(c / 2) / 2)


def test_the_code_is_the_state_after_the_last_row_and_the_rows_come_out_in_reverse():
    model = build({"units": 6})
    reader, writer = model.encoder[0], model.decoder
    reads, writes = nn.LSTM(28, 6), nn.LSTM(1, 6)
    with torch.no_grad():
        writes.weight_ih_l0.zero_()
        for theirs, ours in ((reads, reader), (writes, writer)):
            theirs.weight_hh_l0.copy_(ours.recurrent)
            theirs.bias_ih_l0.copy_(ours.bias)
            theirs.bias_hh_l0.zero_()
        reads.weight_ih_l0.copy_(reader.inputs)
        x = torch.rand(3, 1, 28, 28)
        _, (h, c) = reads(x[:, 0].transpose(0, 1))
        z = model.encode(x)
        torch.testing.assert_close(z, torch.cat([h[0], c[0]], 1))
        states, _ = writes(torch.zeros(28, 3, 1), (h, c))
        emitted = torch.sigmoid(writer.row(states))  # in the order of emission
        torch.testing.assert_close(model.decode(z)[:, 0], emitted.flip(0).transpose(0, 1))


def test_the_row_emitted_first_is_the_bottom_one_that_was_read_and_the_first_predicted_one_follows_it():
    """After one step the state depends on one use of the recurrent weights: cut there, only that row still changes."""
    model = build({"units": 6, "predict_rows": 10})
    for writer, first in ((model.decoder.seen, 17), (model.decoder.unseen, 18)):
        steps = []
        step = writer.step
        writer.step = lambda given, h, c, step=step, steps=steps: (steps.append(step(given, h, c)), steps[-1])[1]
        rows = model.decoder(torch.randn(2, 12))
        torch.testing.assert_close(writer.row(steps[0][0]), rows[:, 0, first])
        torch.testing.assert_close(writer.row(steps[-1][0]), rows[:, 0, 0 if first == 17 else 27])


def test_the_composite_model_never_reads_the_rows_it_predicts(digits):
    model = build({"units": 8, "predict_rows": 14})
    x = digits[0][:4].clone().requires_grad_()
    for out in (model.encode(x), model.reconstruct(x)):
        (gradient,) = torch.autograd.grad(out.square().sum(), x)
        assert gradient[:, :, 14:].abs().max() == 0
        assert gradient[:, :, :14].abs().sum() > 0
    other = digits[0][:4].clone()
    other[:, :, 14:] = torch.rand(4, 1, 14, 28)
    assert torch.equal(model.reconstruct(x), model.reconstruct(other))


def test_the_composite_loss_is_that_of_both_halves(digits):
    model = build({"units": 8, "predict_rows": 10})
    clean, noisy = digits[0][:8], torch.rand(8, 1, 28, 28)
    losses = model.loss(Batch(clean, noisy, digits[1][:8]), torch.Generator())
    x_hat = model.reconstruct(noisy)
    for name, rows in (("reconstruction", slice(0, 18)), ("prediction", slice(18, 28))):
        by_hand = F.binary_cross_entropy(x_hat[:, :, rows], clean[:, :, rows], reduction="sum") / 8
        torch.testing.assert_close(losses.terms[name], by_hand)
    torch.testing.assert_close(losses.total, sum(losses.terms.values()))


def test_the_forget_bias_is_one_and_the_other_biases_zero():
    ours, _ = ours_and_torchs(28, 16)
    assert ours.bias.view(4, 16).tolist() == [[0] * 16, [1] * 16, [0] * 16, [0] * 16]
    assert ours.recurrent.abs().max() <= (6 / 32) ** 0.5  # Glorot: sqrt(6 / (in + out)) of one gate
    assert ours.recurrent.abs().max() > 0.9 * (6 / 32) ** 0.5


def test_colours_are_part_of_a_row():
    model = registry.build("lstm", {"units": 5, "predict_rows": 2}, Spec((3, 6, 4), 2), torch.Generator())
    assert model.reconstruct(torch.rand(2, 3, 6, 4)).shape == (2, 3, 6, 4)


def test_bad_knobs_are_named():
    with pytest.raises(ValueError, match=r"^units: 0 is wrong"):
        build({"units": 0})
    with pytest.raises(ValueError, match=r"^predict_rows: 28 is wrong; allowed: below the 28 rows or steps"):
        build({"units": 4, "predict_rows": 28})
