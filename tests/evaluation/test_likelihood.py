"""Importance sampling against a likelihood that can be added up."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from aelab.evaluation import likelihood
from aelab.models.common import GaussianAutoencoder, Likelihood, Spec, log_bernoulli


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model():
    """A linear variational autoencoder of 2 x 2 pixels and one latent, its encoder untrained: a poor proposal."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    decoder = nn.Sequential(nn.Linear(1, 4), nn.Unflatten(1, (1, 2, 2)))
    with torch.no_grad():
        decoder[0].weight.mul_(3)
    return GaussianAutoencoder(Spec((1, 2, 2), 2), encoder, decoder, 1).eval()


def exact(model, x):
    """-log of the integral of p(x|z) N(z; 0, 1) over a fine grid of z, mean over images."""
    z = torch.linspace(-8, 8, 4001)[:, None]
    with torch.no_grad():
        log_p = torch.stack([log_bernoulli(image, model.decoder(z)) for image in x])  # [N, grid]
    prior = -0.5 * z[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
    return -((log_p + prior).double().logsumexp(1) + math.log(16 / 4000)).mean().item()


def test_many_draws_find_the_exact_likelihood(model):
    x = likelihood.binarised(torch.full((40, 1, 2, 2), 0.5), random())
    assert isinstance(model, likelihood.Weighted)
    found = likelihood.importance(model, x, 20_000, random())
    assert found["nll"] == pytest.approx(exact(model, x), abs=0.005)


def test_fewer_draws_are_an_upper_bound_and_all_are_above_the_truth(model):
    x = likelihood.binarised(torch.full((500, 1, 2, 2), 0.5), random())
    one, ten = (likelihood.importance(model, x, k, random())["nll"] for k in (1, 10))
    assert one > ten > exact(model, x) - 0.01


def test_one_draw_is_the_evidence_lower_bound(model):
    x = likelihood.binarised(torch.full((50_000, 1, 2, 2), 0.5), random())
    assert isinstance(model, Likelihood)
    one = likelihood.importance(model, x, 1, random())["nll"]
    assert one == pytest.approx(likelihood.bound(model, x, random(1))["negative_elbo"], rel=0.02)


class Given:
    def __init__(self, log_w):
        self.log_w = log_w

    def log_weights(self, x, k, generator):
        return self.log_w[:, None].expand(-1, len(x))


def test_effective_draws_by_hand():
    x = torch.zeros(3, 1, 1, 1)
    even = likelihood.importance(Given(torch.zeros(8)), x, 8, random())
    assert even == {"nll": pytest.approx(0), "ess": pytest.approx(8)}
    one = likelihood.importance(Given(torch.tensor([0.0, -1000, -1000, -1000])), x, 4, random())
    assert one == {"nll": pytest.approx(math.log(4)), "ess": pytest.approx(1)}
    # weights 3 and 1: (3 + 1)^2 / (9 + 1)
    two = likelihood.importance(Given(torch.tensor([3.0, 1.0]).log()), x, 2, random())
    assert two == {"nll": pytest.approx(-math.log(2)), "ess": pytest.approx(1.6)}


def test_chunks_change_nothing(model, monkeypatch):
    x = likelihood.binarised(torch.full((6, 1, 2, 2), 0.5), random())
    monkeypatch.setattr(model, "log_weights", lambda part, k, generator: part.flatten(1).sum(1).expand(k, -1))
    whole = likelihood.importance(model, x, 3, random())
    monkeypatch.setattr(likelihood, "AT_ONCE", 4)
    assert likelihood.importance(model, x, 3, random()) == whole


def test_binary_images_have_the_grey_values_as_chances():
    x = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3).expand(10_000, -1, -1, -1)
    binary = likelihood.binarised(x, random())
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(binary.mean(0).flatten(), torch.tensor([0.0, 0.25, 1.0]), atol=0.015, rtol=0)


class Linear:
    """p(z) = N(0, I), p(x|z) = N(W z + b, s^2 I) on 5 pixels and 2 latents; q(z|x) is the true posterior, `widened`."""

    def __init__(self, s=0.7, widened=1.0):
        self.W = torch.randn(5, 2, generator=random(1), dtype=torch.float64)
        self.b = torch.randn(5, generator=random(2), dtype=torch.float64)
        self.s, self.widened = s, widened

    def marginal(self):
        covariance = self.W @ self.W.T + self.s**2 * torch.eye(5, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(self.b, covariance)

    def posterior(self, x):
        """N(S W'(x - b) / s^2, S) with S^-1 = I + W'W / s^2 (Bishop 2006, eq. 2.116)."""
        covariance = torch.linalg.inv(torch.eye(2, dtype=torch.float64) + self.W.T @ self.W / self.s**2)
        mean = (x.flatten(1).double() - self.b) @ self.W @ covariance / self.s**2
        return torch.distributions.MultivariateNormal(mean, self.widened * covariance)

    def log_weights(self, x, k, generator):
        q = self.posterior(x)
        eps = torch.randn(k, len(x), 2, generator=generator, dtype=torch.float64)
        z = q.loc + eps @ q.scale_tril[0].T
        given_z = torch.distributions.Normal(z @ self.W.T + self.b, self.s).log_prob(x.flatten(1).double()).sum(-1)
        return given_z + torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z)


@pytest.fixture
def five():
    """Images of five pixels."""
    return 2 * torch.randn(7, 1, 1, 5, generator=random(3))


@pytest.mark.parametrize("k", [1, 8])
def test_under_the_true_posterior_every_draw_is_the_exact_likelihood_of_a_linear_model(five, k):
    model = Linear()
    assert isinstance(model, likelihood.Weighted)
    exactly = -model.marginal().log_prob(five.flatten(1).double()).mean().item()
    found = likelihood.importance(model, five, k, random())
    assert found == {"nll": pytest.approx(exactly, abs=1e-9), "ess": pytest.approx(k)}


def test_a_poor_proposal_finds_the_exact_likelihood_of_a_linear_model_with_fewer_effective_draws(five):
    model = Linear(widened=3.0)
    exactly = -model.marginal().log_prob(five.flatten(1).double()).mean().item()
    found = likelihood.importance(model, five, 40_000, random())
    assert found["nll"] == pytest.approx(exactly, abs=0.01)
    # per latent E[w]^2 / E[w^2] = sqrt(2 v - 1) / v at v times the variance: 5 / 9 for two latents at v = 3
    assert found["ess"] == pytest.approx(40_000 * 5 / 9, rel=0.02)
    assert likelihood.importance(model, five.repeat(100, 1, 1, 1), 1, random())["nll"] > exactly + 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_many_images_take_no_more_memory_than_few():
    """In a process of its own, whose memory nothing else has scattered."""
    code = """if True:
        from pathlib import Path
        from aelab.config import runtime
        runtime.pin("cpu", 1)
        import torch
        from aelab.evaluation import likelihood
        from aelab.models.common import Spec, registry
        def private():
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1000
        config = {"hidden": (8,), "latent_dim": 2, "draws": 1}
        model = registry.build("iwae", config, Spec((1, 28, 28), 10), torch.Generator().manual_seed(0))
        x = torch.rand(60, 1, 28, 28).round()
        likelihood.importance(model, x[:3], 5000, torch.Generator().manual_seed(0))
        before = private()
        likelihood.importance(model, x, 5000, torch.Generator().manual_seed(0))
        print(private() - before)
    """
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(told) < 100, f"60 images took {float(told):.0f} MB more than three"
