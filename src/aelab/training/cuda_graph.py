"""A step of learning as a CUDA graph: recorded once, then launched as a whole, which is what small networks wait for.

Whatever a graph reads and writes stays where it was in memory when it was recorded. So inputs are copied into buffers,
weights and the optimizer's state are changed in place, and generators are registered, so that every replay draws on.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

WARM = 3  # steps before the recording, as torch's notes on CUDA graphs ask for: libraries get ready in them
TRIED = 3  # steps that a recording has to do as the step itself does them, weights and draws going on
AGREE = 1e-3  # of what they give

Step = Callable[..., Tensor]


def serves(device: torch.device) -> bool:
    """Whether steps on this device can be recorded."""
    return device.type == "cuda"


def recorded(step: Step, inputs: Sequence[Tensor], state: Sequence[Tensor], generators: Sequence[Generator]) -> Step:
    """`step` as a CUDA graph, or `step` itself and a line why: it cannot be recorded, or the replays differ from it.

    step(*inputs) -> a tensor, all on one GPU; it changes the tensors of `state` in place, draws from `generators` and
    depends on nothing else that changes. All are left as they were. What the graph gives is overwritten by its next
    call, and it takes inputs of the same shapes alone.
    """
    buffers, before = [each.clone() for each in inputs], [each.detach().clone() for each in state]
    drawn = [generator.get_state() for generator in generators]

    def back() -> None:
        with torch.no_grad():
            for tensor, was in zip(state, before, strict=True):
                tensor.copy_(was)
                tensor.grad = None  # of a step that broke off half-way
        for generator, was in zip(generators, drawn, strict=True):
            generator.set_state(was)

    try:
        graph, output = _record(step, buffers, generators)
        back()
        steps = [step(*buffers).clone() for _ in range(TRIED)]
        back()
        replays = [(graph.replay(), output.clone())[1] for _ in range(TRIED)]
        if not all(torch.allclose(*pair, rtol=AGREE) for pair in zip(steps, replays, strict=True)):
            raise RuntimeError("its replays differ from the step")
    except RuntimeError as error:
        print(f"learning without a CUDA graph: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
        return step
    finally:
        back()

    def replay(*values: Tensor) -> Tensor:
        for buffer, value in zip(buffers, values, strict=True):
            buffer.copy_(value)
        graph.replay()
        return output

    return replay


def _record(
    step: Step, buffers: Sequence[Tensor], generators: Sequence[Generator]
) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """Warm up beside the main stream, where a step that waits for the GPU (and so cannot be recorded) raises before a
    recording is under way, then record."""
    with torch.cuda.device(buffers[0].device):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with warnings.catch_warnings(action="ignore"):  # that this mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        try:
            with torch.cuda.stream(side):
                for _ in range(WARM):
                    step(*buffers)
        finally:
            torch.cuda.set_sync_debug_mode("default")
            torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            output = step(*buffers)
        return graph, output
