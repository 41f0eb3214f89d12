"""Archives: what goes in comes out, bytes that stay the same, damage that is named."""

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aelab.models.common import Spec, registry
from aelab.uses import codec

MD5 = "0123456789abcdef" * 2


def normal(n: int, k: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, k)).astype(np.float32)


@given(
    arrays(np.float32, st.tuples(st.integers(1, 9), st.just(3)), elements=st.floats(-1e6, 1e6, width=32)),
    st.integers(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_any_codes_come_back_as_they_were_rounded(codes, level):
    """Also those outside what training items have, which are clipped to it."""
    made = codec.counted(normal(300, 3), np.zeros(3, np.float32), np.array([[0.1, 0, 0.5], [1, 0, 2]], np.float32))
    numbers = made.rounded(codes, level)
    archive = made.compressed(numbers, level, MD5)
    assert codec.header(archive) == (level, len(codes), MD5[:16])
    assert np.array_equal(made.decompressed(archive), numbers)
    restored = made.restored(numbers, level)
    inside = (made.low[level] * made.steps[level] <= codes) & (
        codes <= (made.low[level] + made.sizes[level] - 1) * made.steps[level]
    )
    assert (abs(restored - codes)[inside] <= np.broadcast_to(made.steps[level] / 2 + 1e-4, codes.shape)[inside]).all()


def test_the_bytes_are_those_of_the_first_version():
    made = codec.counted(normal(100, 2), np.zeros(2, np.float32), np.array([[0.25, 1.0]], np.float32))
    archive = made.compressed(made.rounded(normal(10, 2, 1), 0), 0, MD5)
    assert archive[:6] == b"AELC\x01\x00"
    assert hashlib.sha256(archive).hexdigest()[:16] == GOLDEN


GOLDEN = "711a77b1841e259c"


def test_it_takes_about_as_many_bytes_as_the_entropy():
    made = codec.counted(normal(5000, 4), np.zeros(4, np.float32), np.full((1, 4), 0.3, np.float32))
    numbers = made.rounded(normal(5000, 4, 1), 0)
    share = [np.bincount(column) / len(column) for column in numbers.T]
    entropy = -sum((p[p > 0] * np.log2(p[p > 0])).sum() for p in share) / 8  # bytes per item
    size = (len(made.compressed(numbers, 0, MD5)) - codec.HEADER.size) / len(numbers)
    assert entropy * 0.99 < size < entropy * 1.01
    assert entropy == pytest.approx(4 * (math.log2(math.sqrt(2 * math.pi * math.e)) - math.log2(0.3)) / 8, rel=0.02)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda a: b"PK" + a[2:], "no archive"),
        (lambda a: a[:10], "no archive"),
        (lambda a: a[:4] + b"\x02" + a[5:], "version 2; this aelab reads 1"),
        (lambda a: a[:-1] + bytes([a[-1] ^ 1]), "checksum"),
        (lambda a: a[:-3], "checksum"),
        (lambda a: a[:5] + b"\x07" + a[6:], "level 8; the model has 1"),
    ],
)
def test_damage_is_named(damage, words):
    made = codec.counted(normal(100, 2), np.zeros(2, np.float32), np.full((1, 2), 0.5, np.float32))
    archive = made.compressed(made.rounded(normal(10, 2, 1), 0), 0, MD5)
    with pytest.raises(ValueError, match=words):
        made.decompressed(damage(archive))


def test_steps_share_the_error_out_equally():
    """A linear decoder: g_k are the squared norms of its columns, and the error of rounding is what was asked for."""
    draw = torch.Generator().manual_seed(0)
    columns = torch.randn(4, 20, generator=draw) * torch.tensor([[1.0], [3.0], [0.1], [0.0]])
    x = torch.randn(4000, 4, generator=draw) * torch.tensor([2.0, 5.0, 3.0, 1.0])
    decode = lambda z: z @ columns  # noqa: E731
    gain = codec.sensitivity(decode, x, x.std(0))
    assert gain.tolist() == pytest.approx(columns.square().sum(1).tolist(), rel=1e-3, abs=1e-6)
    error = 0.5
    made = codec.fit(lambda z: z, decode, x, error)
    assert (made.steps[:, 3] == 0).all(), "a number that changes nothing is left out"
    for level, ratio in enumerate(codec.RATIOS[:3]):
        each = made.steps[level, :3] ** 2 * gain[:3].numpy()
        assert each == pytest.approx([each[0]] * 3, rel=1e-3)
        back = torch.from_numpy(made.restored(made.rounded(x.numpy(), level), level))
        assert (decode(back) - decode(x)).square().sum(1).mean().item() == pytest.approx(ratio * error, rel=0.1)


def test_indices_are_stored_as_they_are():
    spec, draw = Spec((1, 8, 8), 2), torch.Generator().manual_seed(0)
    model = registry.build("vq_vae", {"channels": (4,), "depth": 3, "codebook_size": 8}, spec, draw).eval()
    x = torch.rand(60, 1, 8, 8, generator=draw)
    made = codec.of_model(model, x, 1.0)
    assert made.codec.levels == 1
    back = made.items(made.codec.decompressed(made.codec.compressed(made.numbers(x, 0), 0, MD5)), 0, x.device)
    with torch.no_grad():
        assert torch.allclose(back, model.reconstruct(x), atol=1e-6)


def test_models_that_cannot_say_why():
    spec, draw = Spec((1, 8, 8), 2), torch.Generator().manual_seed(0)
    config = {"embed_dim": 8, "depth": 1, "heads": 2, "decoder_embed_dim": 8, "decoder_depth": 1, "patch": 4}
    assert "decode to nothing" in codec.able(registry.build("masked_ae", config, spec, draw))
    assert "labels" in codec.able(registry.build("cvae", {"hidden": (4,), "latent_dim": 2}, spec, draw))
    assert "64 numbers" in codec.able(registry.build("dense", {"widths": (64,)}, spec, draw))
    assert not codec.able(registry.build("dense", {"widths": (63,)}, spec, draw))
