"""A training step as a CUDA graph: recorded once, then launched as a whole, which removes the launch overhead of small
nets.

A graph reads and writes the memory addresses that it was recorded with. So inputs are copied into a buffer, weights and
optimizer state change in place, and generators are registered so that every replay continues their random stream.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

WARM = 3  # steps before the recording, as torch's notes on CUDA graphs ask for
TRIED = 3  # steps that a recording must reproduce, weights and random draws continuing
AGREE = 1e-3  # relative tolerance of the comparison

Step = Callable[[Tensor], Tensor]


def serves(device: torch.device) -> bool:
    """Whether steps on this device can be recorded."""
    return device.type == "cuda"


def recorded(step: Step, x: Tensor, state: Sequence[Tensor], generators: Sequence[Generator]) -> Step:
    """`step` as a CUDA graph; or `step` itself, with a message, if it cannot be recorded or its replays differ.

    step(x) returns a tensor; everything is on one GPU. It changes the tensors of `state` in place, draws from
    `generators` and depends on nothing else that changes. This function leaves all of them unchanged. The graph's
    output is overwritten by its next call, and it takes inputs of the same shape only.
    """
    buffer, before = x.clone(), [item.detach().clone() for item in state]
    drawn = [generator.get_state() for generator in generators]

    def back() -> None:
        with torch.no_grad():
            for tensor, was in zip(state, before, strict=True):
                tensor.copy_(was)
                tensor.grad = None  # left by a step that failed half-way
        for generator, was in zip(generators, drawn, strict=True):
            generator.set_state(was)

    try:
        graph, output = _record(step, buffer, generators)
        back()
        steps = [step(buffer).clone() for _ in range(TRIED)]
        back()
        replays = [(graph.replay(), output.clone())[1] for _ in range(TRIED)]
        if not all(torch.allclose(*pair, rtol=AGREE) for pair in zip(steps, replays, strict=True)):
            raise RuntimeError("its replays differ from the step")
    except RuntimeError as error:
        print(f"learning without a CUDA graph: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
        return step
    finally:
        back()

    def replay(x: Tensor) -> Tensor:
        buffer.copy_(x)
        graph.replay()
        return output

    return replay


def _record(step: Step, buffer: Tensor, generators: Sequence[Generator]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """Warm up on a side stream, where a step that synchronises (and so cannot be recorded) raises, then record."""
    with torch.cuda.device(buffer.device):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with warnings.catch_warnings(action="ignore"):  # this mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        try:
            with torch.cuda.stream(side):
                for _ in range(WARM):
                    step(buffer)
        finally:
            torch.cuda.set_sync_debug_mode("default")
            torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            output = step(buffer)
        return graph, output
