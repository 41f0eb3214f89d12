"""Several seeds of one model trained in one loop with stacked weights: the same result as one by one, up to rounding.

A small network leaves a GPU waiting for kernel launches, so several train in about the same time as one; there, a step
is also one CUDA graph (see cuda_graph). Every seed keeps its own order of batches, noise, random draws, best epoch and
early stopping; one vmapped loss and one optimizer serve all. A seed that has stopped early moves on with the others,
but nothing of it is kept.

R seeds, B images of a batch. `model.vmap_unsupported_reason` says why a model cannot be trained this way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.overrides import TorchFunctionMode

from aelab.config.runtime import Precision
from aelab.data.tensors import Tensors
from aelab.models.common import Batch, Losses, Phase
from aelab.training import cuda_graph, optimizers
from aelab.training.augmentation import augment, parse
from aelab.training.loop import Checkpointer, Learning, Snapshot, inputs, part
from aelab.training.losses import check, of_replicate
from aelab.training.settings import Training


class Seed(NamedTuple):
    """The arguments of `loop.fit` for one seed."""

    model: Any
    train: Tensors
    validation: Tensors
    draw: Callable[[str], Generator]
    callback: Any


def fit(seeds: Sequence[Seed], settings: Training, checkpointer: Checkpointer | None, precision: Precision) -> None:
    """Like loop.fit, for every seed. Checkpoints are saved after evaluations. Raises DivergedError, naming the
    replicate."""
    for seed in seeds:
        seed.model.fit_statistics(seed.train.x, seed.train.y)
    snapshot = checkpointer.latest(nn.ModuleList(seed.model for seed in seeds)) if checkpointer else None
    if snapshot:
        for replicate, seed in enumerate(seeds):
            seed.model.load_state_dict(part("model", _of(replicate, snapshot)))
    together = VectorizedTraining(seeds, settings, checkpointer, precision)
    for number, phases in enumerate(zip(*(seed.model.phases() for seed in seeds), strict=True)):
        if snapshot and number < snapshot.numbers["phase"]:
            continue
        together.begin(number, phases)
        if snapshot:
            together.restore(snapshot)
            snapshot = None
        together.run()


class VectorizedTraining:
    """The training of all seeds, one phase at a time. Everything but the steps is done by each seed's own Learning."""

    def __init__(
        self, seeds: Sequence[Seed], settings: Training, checkpointer: Checkpointer | None, precision: Precision
    ) -> None:
        self.seeds, self.settings, self.checkpointer = seeds, settings, checkpointer
        self.learnings = [Learning(seed.model, settings, seed.draw, seed.callback, None, precision) for seed in seeds]
        self.weights = stacked([seed.model for seed in seeds])
        self.which = torch.arange(len(seeds), device=seeds[0].train.x.device)

    def begin(self, number: int, phases: Sequence[Phase]) -> None:
        """Start phase `number`: phases[r] of seed r."""
        self.number, self.data = number, []
        for seed, learning, phase in zip(self.seeds, self.learnings, phases, strict=True):
            self.data.append(inputs(phase, seed.train, seed.validation))
            learning.begin(number, phase, len(seed.train.x))
        self.drawn = [learning.noise.get_state() for learning in self.learnings]
        model, phase = self.seeds[0].model, phases[0]
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        parameters = [self.weights[f"model.{names[id(parameter)]}"] for parameter in phase.parameters]
        first = self.learnings[0]  # keeps the state of the one optimizer that updates all seeds
        first.optimizer, first.schedule = optimizers.build(
            parameters, self.settings, first.total, stacked=True, rate=phase.rate
        )
        self.loss = _Loss(model, phase.loss)
        self.moves = parse(self.settings.augment) if self.data[0][0].x.dim() == 4 else {}
        self.batch, self.whole_batch = min(self.settings.batch_size, len(self.seeds[0].train.x)), self.step

    def run(self) -> None:
        """Run the remaining steps of the phase; the models then have the weights of their best evaluations."""
        if cuda_graph.serves(self.which.device):
            self.record()
        while going := [learning for learning in self.learnings if learning.going()]:
            self.learn(going)
            for replicate, (learning, splits) in enumerate(zip(self.learnings, self.data, strict=True)):
                if learning in going:
                    with of_replicate(replicate):
                        learning.measure(*splits)
                    self.drawn[replicate], learning.values = learning.noise.get_state(), {}
                else:  # it drew noise with the others; the next phase starts as it would alone
                    learning.noise.set_state(self.drawn[replicate])
            if self.checkpointer and self.checkpointer.due():
                self.checkpointer.keep(self.snapshot())
        for learning in self.learnings:
            learning.model.load_state_dict(learning.best_weights)

    def record(self) -> None:
        """Record the step of a whole batch as a CUDA graph."""
        optimizer, device = self.learnings[0].optimizer, self.which.device
        if not optimizer.state:  # torch creates it in the first step
            optimizers.create_state(optimizer)
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=device)  # a graph reads it anew in every step
        state = [*self.weights.values(), *(item for one in optimizer.state.values() for item in one.values())]
        rows = torch.zeros_like(self.which)[:, None].expand(-1, self.batch)
        nn.ModuleList(seed.model for seed in self.seeds).train()
        self.whole_batch = cuda_graph.recorded(self.step, rows, state, [item.noise for item in self.learnings])

    def learn(self, going: Sequence[Learning]) -> None:
        """Run the steps until the next evaluation. going: the seeds that still learn; the others get the batches of the
        first of these."""
        for learning in self.learnings:
            learning.model.train()
        values = []  # [terms, R] for every step
        start, stop = going[0].span()
        for _ in range(start, stop):
            rows = torch.stack([(item if item in going else going[0]).rows() for item in self.learnings])
            step = self.whole_batch if rows.shape[1] == self.batch else self.step
            values.append(step(rows).clone())
            self.learnings[0].schedule.step()
            for learning in self.learnings:
                learning.callback.step()
            for learning in going:
                learning.advance()
        self.tell(going, torch.stack(values), start)

    def step(self, rows: Tensor) -> Tensor:
        """One update from the images `rows` [R, B]; returns the losses before it, [terms, R]."""
        batches = []
        for learning, (train, _), mine in zip(self.learnings, self.data, rows, strict=True):
            clean = augment(train.x[mine], self.moves, learning.noise) if self.moves else train.x[mine]
            batches.append(Batch(clean, learning.noises(clean, learning.noise), train.y[mine]))
        batch = Batch(*(torch.stack(item) for item in zip(*batches, strict=True)))
        losses = vmap(self.losses, randomness="same")(self.weights, batch, self.which)
        losses.total.sum().backward()  # no seed's loss depends on another's weights
        self.learnings[0].optimizer.step()
        self.learnings[0].optimizer.zero_grad()
        self.terms = ["total", *losses.terms]
        return torch.stack([item.detach().float() for item in (losses.total, *losses.terms.values())])

    def losses(self, weights: dict[str, Tensor], batch: Batch, which: Tensor) -> Losses:
        """The loss of one seed, as vmap calls it."""
        generators = [learning.noise for learning in self.learnings]
        with _Draws(generators, which), self.learnings[0].autocast:
            return functional_call(self.loss, weights, (batch, generators[0]))

    def tell(self, going: Sequence[Learning], values: Tensor, start: int) -> None:
        """Pass the losses of the steps from `start` on, [steps, terms, R], to each Learning that still learns."""
        for replicate, learning in enumerate(self.learnings):
            if learning in going:
                learning.values = {name: values[:, term, replicate] for term, name in enumerate(self.terms)}
                with of_replicate(replicate):
                    check(values[:, 0, replicate], learning.phase.name, start, self.settings.lr)

    def snapshot(self) -> Snapshot:
        """The state of training after an evaluation."""
        item = [learning.snapshot() for learning in self.learnings]
        tensors = {f"{i}/{name}": tensor for i, one in enumerate(item) for name, tensor in one.tensors.items()}
        return Snapshot({"phase": self.number, "seeds": [one.numbers for one in item]}, tensors)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the phase from a snapshot; the models have their weights already."""
        for replicate, learning in enumerate(self.learnings):
            learning.restore(_of(replicate, snapshot))
            self.drawn[replicate] = learning.noise.get_state()


def _of(replicate: int, snapshot: Snapshot) -> Snapshot:
    """One seed's part of a snapshot."""
    return Snapshot(snapshot.numbers["seeds"][replicate], part(str(replicate), snapshot))


def stacked(models: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The models' weights and buffers [R, ...] under the names of `_Loss`; the models' own become rows of these."""
    parameters, buffers = stack_module_state(list(models))
    for replicate, model in enumerate(models):
        own = dict(model.named_parameters()) | dict(model.named_buffers())
        for name, tensor in (parameters | buffers).items():
            own[name].data = tensor.data[replicate]
    return {f"model.{name}": tensor for name, tensor in (parameters | buffers).items()}


class _Loss(nn.Module):
    """A phase's loss as a module, so that `functional_call` can replace the weights of its model."""

    def __init__(self, model: nn.Module, loss: Callable[[Batch, Generator], Losses]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch, generator: Generator) -> Losses:
        return self.loss(batch, generator)


class _Draws(TorchFunctionMode):
    """Inside vmap, draw random numbers from each seed's own generator.

    which: the number of the seed, a tensor that vmap maps over, which makes vmap map over the draws as well.
    """

    def __init__(self, generators: Sequence[Generator], which: Tensor) -> None:
        super().__init__()
        self.generators, self.which = generators, which

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not isinstance(kwargs.get("generator"), Generator):
            return func(*args, **kwargs)
        first, *others = args
        fills = isinstance(first, Tensor) and func.__name__.endswith("_")  # x.exponential_(generator=...)
        if any(isinstance(item, Tensor) for item in (others if fills else args)):
            raise NotImplementedError(
                f"{func.__name__}: draws that depend on a tensor need a model that is `vmap_unsupported_reason`"
            )
        draws = []
        for generator in self.generators:
            place = torch.empty(first.shape, dtype=first.dtype, device=first.device) if fills else first
            draws.append(func(place, *others, **(kwargs | {"generator": generator})))
        own = torch.stack(draws).index_select(0, self.which.view(1)).squeeze(0)
        return first.copy_(own) if fills else own
