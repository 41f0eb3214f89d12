"""The masked autoencoder: what it sees, what it is judged by, and that patches and images are one."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from aelab.config import seeding
from aelab.models import masked_ae
from aelab.models.common import Batch, Spec, grid_positions, registry
from aelab.models.common.transformer import Attention
from aelab.training.loop import fit
from aelab.training.settings import Training

SPEC = Spec((1, 28, 28), 10)
CONFIGS = {
    "masked": {"embed_dim": 16, "depth": 2, "heads": 2, "decoder_embed_dim": 8, "decoder_depth": 1},
}


class Silent:
    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...


def build(config, seed=0):
    return registry.build("masked_ae", config, SPEC, torch.Generator().manual_seed(seed))


def learned(config, data, steps):
    model = build(config)
    settings = Training("adam", 2e-3, "constant", 0.0, len(data.x), steps, None, None, None, 1, (), (), ())
    fit(model, data, data, settings, partial(seeding.generator, 0), Silent())
    return model


@pytest.fixture
def model():
    return build(CONFIGS["masked"])


@pytest.mark.parametrize(("shape", "size"), [((1, 28, 28), 4), ((3, 8, 12), 2), ((2, 6, 3), 3)])
def test_unpatchify_undoes_patchify(shape, size):
    x = torch.rand(5, *shape)
    patches = masked_ae.patchify(x, size)
    assert patches.shape == (5, shape[1] * shape[2] // size**2, size**2 * shape[0])
    assert torch.equal(masked_ae.unpatchify(patches, size, shape), x)


def test_a_patch_is_a_square_of_the_image_row_by_row():
    x = torch.arange(28 * 28.0).view(1, 1, 28, 28)
    patches = masked_ae.patchify(x, 4)
    assert torch.equal(patches[0, 0], x[0, 0, :4, :4].flatten())
    assert torch.equal(patches[0, 1], x[0, 0, :4, 4:8].flatten())
    assert torch.equal(patches[0, 7 * 2 + 3], x[0, 0, 8:12, 12:16].flatten())


def test_three_quarters_are_hidden_evenly_and_nothing_twice(model):
    visible, hidden = model.shuffled(4000, torch.Generator().manual_seed(0))
    assert visible.shape == (4000, 12)  # 49 / 4, rounded down
    assert hidden.shape == (4000, 37)
    assert torch.equal(torch.cat([visible, hidden], 1).sort(1).values, torch.arange(49).expand(4000, -1))
    share = torch.bincount(hidden.flatten(), minlength=49) / 4000  # how often each patch is hidden
    assert share.sub(37 / 49).abs().max() < 0.04  # 6 standard deviations
    again = model.shuffled(4000, torch.Generator().manual_seed(0))
    assert torch.equal(again[0], visible)
    assert not torch.equal(model.shuffled(4000, torch.Generator().manual_seed(1))[0], visible)


def test_the_encoder_sees_the_visible_patches_alone(model):
    patches = torch.rand(3, 49, 16, requires_grad=True)
    visible, hidden = model.shuffled(3, torch.Generator().manual_seed(0))
    for out in (model.tokens(patches, visible), model.predict(patches, visible, hidden)):
        (gradient,) = torch.autograd.grad(out.square().sum(), patches)
        assert masked_ae.pick(gradient, hidden).abs().max() == 0
        assert masked_ae.pick(gradient, visible).abs().amin((0, 1)).min() > 0
    other = patches.detach().scatter(1, hidden[:, :, None].expand(-1, -1, 16), 9.0)
    assert torch.equal(model.tokens(other, visible), model.tokens(patches, visible))


def test_the_loss_counts_hidden_patches_of_the_clean_image_only(model, digits):
    clean, noisy = digits[0][:6], torch.rand(6, 1, 28, 28)
    losses = model.loss(Batch(clean, noisy, digits[1][:6]), torch.Generator().manual_seed(5))
    visible, hidden = model.shuffled(6, torch.Generator().manual_seed(5))
    raw = model.predict(masked_ae.patchify(noisy, 4), visible, hidden)
    targets = torch.stack([masked_ae.patchify(clean, 4)[i, hidden[i]] for i in range(6)])
    by_hand = F.binary_cross_entropy_with_logits(raw, targets, reduction="sum") / 6
    torch.testing.assert_close(losses.total, by_hand)
    target = digits[0][:6].clone().requires_grad_()
    by_hidden = model.hidden_error(target, torch.Generator().manual_seed(5))
    assert by_hidden.shape == (6,)
    rebuilt = torch.sigmoid(model.predict(masked_ae.patchify(clean, 4), visible, hidden))
    torch.testing.assert_close(by_hidden, (rebuilt - targets).square().flatten(1).mean(1))


def test_positions_tell_all_patches_apart_and_an_order_of_tokens_changes_nothing(model):
    where = grid_positions(7, 7, 16)
    assert where.shape == (49, 16)
    assert torch.cdist(where, where).add(9 * torch.eye(49)).min() > 0.1
    torch.testing.assert_close(where[0], torch.tensor([0.0] * 4 + [1.0] * 4 + [0.0] * 4 + [1.0] * 4))
    assert torch.equal(where[7 * 3 + 2, :8], where[7 * 3 + 5, :8])  # the same row
    assert torch.equal(where[7 * 3 + 2, 8:], where[7 * 5 + 2, 8:])  # the same column
    patches = torch.rand(2, 49, 16)
    forth = torch.arange(49).expand(2, -1)
    tokens = model.tokens(patches, forth.flip(1))
    torch.testing.assert_close(tokens.flip(1), model.tokens(patches, forth), rtol=1e-4, atol=1e-5)


def test_attention_is_torch_s():
    torch.manual_seed(0)
    ours = Attention(12, 3)
    x = torch.randn(2, 5, 12)
    q, k, v = (part.unflatten(2, (3, 4)).transpose(1, 2) for part in ours.qkv(x).chunk(3, 2))
    expected = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(ours(x), ours.out(expected))


def test_reconstruct_hides_the_same_patches_of_every_image_and_keeps_the_others(model, digits):
    x = digits[0][:8]
    x_hat = model.reconstruct(x)
    _, hidden = model.cut(model.fixed)
    kept = torch.ones(49, dtype=torch.bool)
    kept[hidden[0]] = False
    assert kept.sum() == 12
    assert torch.equal(masked_ae.patchify(x_hat, 4)[:, kept], masked_ae.patchify(x, 4)[:, kept])
    dark = masked_ae.unpatchify(
        masked_ae.patchify(x, 4) * kept[:, None], 4, SPEC.shape
    )  # hidden patches are never seen
    assert torch.equal(masked_ae.patchify(model.reconstruct(dark), 4)[:, ~kept], masked_ae.patchify(x_hat, 4)[:, ~kept])
    assert torch.equal(build(CONFIGS["masked"], seed=3).fixed, model.fixed)


def test_a_code_is_the_mean_token_and_does_not_decode(model, digits):
    x = digits[0][:3]
    everything = torch.arange(49).expand(3, -1)
    torch.testing.assert_close(model.encode(x), model.tokens(masked_ae.patchify(x, 4), everything).mean(1))
    assert not model.decodes
    with pytest.raises(NotImplementedError, match=r"^masked_ae: a code does not decode by itself"):
        model.decode(model.encode(x))


def test_bad_knobs_are_named():
    for key, value in (
        ("embed_dim", 18),
        ("decoder_embed_dim", 6),
        ("depth", 0),
        ("heads", 0),
        ("patch", 5),
        ("mask_ratio", 1.0),
    ):
        with pytest.raises(ValueError, match=f"^{key}: "):
            build({**CONFIGS["masked"], key: value})
    with pytest.raises(ValueError, match=r"^mask_ratio: 0.99 is wrong; allowed: what leaves one of 49 patches"):
        build({**CONFIGS["masked"], "mask_ratio": 0.99})
