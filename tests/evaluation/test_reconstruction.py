"""Reconstruction measures against scikit-image, torch and numbers by hand."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from aelab.evaluation import reconstruction


@pytest.fixture(scope="module")
def pair(digits):
    x = digits[0][:50]
    return x, (x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def test_ssim_is_scikit_image_s(pair):
    expected = [
        structural_similarity(
            a[0].double().numpy(),
            b[0].double().numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
        )
        for a, b in zip(*pair, strict=True)
    ]
    np.testing.assert_allclose(reconstruction.ssim(*pair).numpy(), expected, atol=1e-9)


def test_psnr_is_the_mean_of_scikit_image_s_over_images(pair):
    expected = [
        peak_signal_noise_ratio(a.double().numpy(), b.double().numpy(), data_range=1)
        for a, b in zip(*pair, strict=True)
    ]
    assert reconstruction.measure(*pair, bounded=True)["psnr"] == pytest.approx(np.mean(expected))


def test_errors_by_hand():
    x = torch.zeros(2, 1, 12, 12)
    x_hat = torch.zeros(2, 1, 12, 12)
    x_hat[0] = 0.5  # 144 pixels of 0.25; the second image is perfect
    found = reconstruction.measure(x, x_hat, bounded=True)
    assert found["sse"] == pytest.approx(144 * 0.25 / 2)
    assert found["mse"] == pytest.approx(0.125)
    assert found["psnr"] == pytest.approx((10 * math.log10(4) + reconstruction.CAP) / 2)
    assert found["bce"] == pytest.approx(144 * math.log(2) / 2, rel=1e-4)


def test_perfect_images_are_capped_and_wholly_similar(pair):
    found = reconstruction.measure(pair[0], pair[0], bounded=True)
    assert (found["sse"], found["psnr"]) == (0, reconstruction.CAP)
    assert found["ssim"] == pytest.approx(1)


def test_chunks_change_nothing(pair, monkeypatch):
    whole = reconstruction.ssim(*pair)
    monkeypatch.setattr(reconstruction, "CHUNK", 7)
    torch.testing.assert_close(reconstruction.ssim(*pair), whole)


def test_other_shapes_are_an_error(pair):
    with pytest.raises(ValueError, match="differ in shape"):
        reconstruction.measure(pair[0], pair[1][:, :, :-1], bounded=True)


def test_images_smaller_than_the_window_are_an_error():
    with pytest.raises(ValueError, match="10 x 28 pixels"):
        reconstruction.ssim(torch.zeros(1, 1, 10, 28), torch.zeros(1, 1, 10, 28))


def test_strokes_and_blanks_by_hand():
    x = torch.zeros(2, 1, 2, 2)
    x[0, 0, 0] = torch.tensor([1.0, 0.6])  # two stroke pixels; the second image has none
    x[0, 0, 1, 0] = 0.5  # not above 0.5: blank
    x_hat = x.clone()
    x_hat[0, 0, 0, 0] = 0.8  # mse 0.04 / 2 on strokes
    x_hat[0, 0, 1, 1] = 0.2  # mse 0.04 / 2 on blanks
    x_hat[1] = 0.1  # mse 0.01 on blanks
    found = reconstruction.by_ink(x, x_hat)
    assert found["psnr_foreground"] == pytest.approx(-10 * math.log10(0.02), rel=1e-5)
    assert found["psnr_background"] == pytest.approx((-10 * math.log10(0.02) + 20) / 2, rel=1e-5)
    assert math.isnan(reconstruction.by_ink(x[1:], x_hat[1:])["psnr_foreground"])


def test_strokes_and_blanks_share_the_error(pair):
    x, x_hat = pair[0][:1], pair[1][:1]
    found, share = reconstruction.by_ink(x, x_hat), (x > 0.5).double().mean().item()
    mse = {name: 10 ** (-value / 10) for name, value in found.items()}
    whole = reconstruction.squared_errors(x, x_hat).item() / 784
    assert share * mse["psnr_foreground"] + (1 - share) * mse["psnr_background"] == pytest.approx(whole)


def test_keras_accuracy_is_high_for_a_black_image_and_low_for_a_near_one():
    x = torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0]).view(1, 1, 1, 5)
    assert reconstruction.keras_accuracy(x, torch.zeros_like(x)) == pytest.approx(0.6)
    assert reconstruction.keras_accuracy(x, x) == pytest.approx(0.8), "a grey pixel is never right"
    assert reconstruction.keras_accuracy(x, x - 0.1) == pytest.approx(0.8)
