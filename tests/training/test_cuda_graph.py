"""Steps recorded as CUDA graphs do what the steps do."""

import dataclasses

import pytest
import torch

from aelab.config import seeding
from aelab.data.tensors import Tensors
from aelab.models.common import Spec, registry
from aelab.training import cuda_graph, loop, vectorized
from aelab.training.settings import Training
from aelab.training.vectorized import Seed

SPEC = Spec((1, 28, 28), 10)
SETTINGS = Training("adam", 1e-3, "one_cycle", 0.0, 40, 3, None, None, None, 1, ("masking 0.3",), (), ())
VAE = ("vae", {"hidden": (30,), "latent_dim": 5})

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch sees none")


def counter():
    """A step that adds its input and a draw to its state, that state and the generator."""
    total, generator = torch.zeros(2), torch.Generator().manual_seed(0)

    def step(x):
        total.add_(x).add_(torch.rand(2, generator=generator))
        return total.clone()

    return step, total, generator


def test_what_cannot_be_recorded_is_done_step_by_step_with_one_line_about_it(monkeypatch, capsys):
    def refuse(step, buffer, generators):
        step(buffer)
        total.grad = torch.ones(2)
        raise RuntimeError("called a synchronizing CUDA operation\nand much more")

    monkeypatch.setattr(cuda_graph, "_record", refuse)
    step, total, generator = counter()
    plain, *_ = counter()
    assert cuda_graph.recorded(step, torch.ones(2), [total], [generator]) is step
    assert total.grad is None
    assert torch.equal(step(torch.ones(2)), plain(torch.ones(2)))
    assert capsys.readouterr().err == "learning without a CUDA graph: called a synchronizing CUDA operation\n"


class Heard:
    def __init__(self):
        self.epochs = []

    def steps(self, phase, total): ...
    def step(self): ...

    def evaluated(self, evaluation, model):
        self.epochs.append(dataclasses.asdict(evaluation))


def seeds(digits, device="cpu", model=VAE):
    x, y = (each[:200].to(device) for each in digits)
    found = []
    for seed in range(2):

        def draw(use, seed=seed):
            return seeding.generator(1, seed, use, device="cpu" if use in ("order", "modules") else device)

        built = registry.build(*model, SPEC, torch.Generator().manual_seed(seed)).to(device)
        found.append(Seed(built, Tensors(x[:100], y[:100]), Tensors(x[100:], y[100:]), draw, Heard()))
    return found


def losses(some):
    return [[epoch["validation"]["total"] for epoch in seed.callback.epochs] for seed in some]


@gpu
def test_on_a_gpu_a_recorded_step_replays_with_its_inputs_and_draws_on(capsys):
    def counter():
        total, generator = torch.zeros(2, device="cuda"), torch.Generator("cuda").manual_seed(0)

        def step(x):
            total.add_(x).add_(torch.rand(2, generator=generator, device="cuda"))
            return total.clone()

        return step, total, generator

    step, total, generator = counter()
    plain, *_ = counter()
    replay = cuda_graph.recorded(step, torch.ones(2, device="cuda"), [total], [generator])
    assert capsys.readouterr().err == ""
    assert not total.any()
    for x in (1.0, 5.0, -2.0):
        assert torch.equal(replay(torch.full((2,), x, device="cuda")), plain(torch.full((2,), x, device="cuda")))


@gpu
def test_on_a_gpu_a_step_that_waits_for_it_is_not_recorded(capsys):
    def step(x):
        return x * x.sum().item()

    x = torch.ones(2, device="cuda")
    assert cuda_graph.recorded(step, x, [], []) is step
    assert "learning without a CUDA graph" in capsys.readouterr().err
    assert torch.equal(step(x), 2 * x)


@gpu
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("model", [VAE, ("conv", {"encoder": ("conv 4 k3 s2 relu",), "decoder": ("convt 1 k4 s2",)})])
def test_on_a_gpu_seeds_that_learn_together_with_a_graph_end_as_alone(model, optimizer, digits, capsys):
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer, weight_decay=0.01)
    one, other = seeds(digits, "cuda", model), seeds(digits, "cuda", model)
    for seed in one:
        loop.fit(seed.model, seed.train, seed.validation, settings, seed.draw, seed.callback)
    vectorized.fit(other, settings, None, "float32")
    assert capsys.readouterr().err == ""
    for mine, theirs in zip(losses(one), losses(other), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
