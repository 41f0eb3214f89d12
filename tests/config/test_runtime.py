"""Seeds, threads, determinism and device: what makes a run exact."""

import itertools
import os
import subprocess
import sys
import warnings
from typing import get_args

import pytest
import torch
from conftest import PATIENCE

from aelab.config import runtime, seeding


def test_a_derived_seed_is_the_same_for_ever():
    """A change of this number changes every result of the lab."""
    assert seeding.derive(1, "train", "vae", 0, "init") == 4240309447879874615


def test_a_derived_seed_differs_for_every_word_and_order():
    words = [
        (1, "train", "vae", 0, "init"),
        (2, "train", "vae", 0, "init"),
        (1, "pretrain", "vae", 0, "init"),
        (1, "train", "ae", 0, "init"),
        (1, "train", "vae", 1, "init"),
        (1, "train", "vae", 0, "order"),
        (1, "vae", "train", 0, "init"),
        (1, "train", "vae", 0),
        (1,),
    ]
    seeds = {seeding.derive(*each) for each in words}
    assert len(seeds) == len(words)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_of_different_uses_are_independent():
    draws = [torch.randn(20_000, generator=seeding.generator(1, "train", "vae", i, "noise")) for i in range(5)]
    for a, b in itertools.combinations(draws, 2):
        assert abs((a * b).mean()) < 5 / 20_000**0.5
    again = torch.randn(20_000, generator=seeding.generator(1, "train", "vae", 0, "noise"))
    assert torch.equal(again, draws[0])


def test_drawing_from_one_generator_leaves_another_and_the_global_one_alone():
    one, other = seeding.generator(1, "a"), seeding.generator(1, "b")
    state, everyone = other.get_state(), torch.get_rng_state()
    torch.rand(100, generator=one)
    assert torch.equal(other.get_state(), state)
    assert torch.equal(torch.get_rng_state(), everyone)


def in_a_process(code: str) -> str:
    env = {key: value for key, value in os.environ.items() if key not in runtime.ENVIRONMENT}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


def test_pin_sets_threads_and_deterministic_mode():
    code = """if True:
        from aelab.config import runtime
        import os
        print(sorted(runtime.ENVIRONMENT.items()) == sorted((k, os.environ.get(k)) for k in runtime.ENVIRONMENT))
        device = runtime.pin("cpu", 2)
        import torch
        print(device, torch.get_num_threads(), os.environ["OMP_NUM_THREADS"])
        print(torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    """
    assert in_a_process(code).splitlines() == ["True", "cpu 2 2", "True False"]


@pytest.mark.parametrize(
    ("precision", "deterministic", "wanted"),
    [
        ("float32", True, "False False True False"),
        ("tf32", False, "True True False True"),
        ("bf16", True, "False False True False"),
    ],
)
def test_pin_sets_the_precision_of_a_gpu_s_products_and_its_freedom(precision, deterministic, wanted):
    code = f"""if True:
        from aelab.config import runtime
        runtime.pin("cpu", 1, {precision!r}, {deterministic})
        import torch
        print(torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        print(torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
    """
    assert in_a_process(code).split() == wanted.split()


def test_autocast_is_for_bf16_on_a_gpu_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, where there is no GPU
        contexts = {
            (device, precision): runtime.autocast(torch.device(device), precision)
            for device in ("cpu", "cuda")
            for precision in get_args(runtime.Precision)
        }
    casting = {where: context for where, context in contexts.items() if isinstance(context, torch.autocast)}
    assert list(casting) == [("cuda", "bf16")]
    assert casting["cuda", "bf16"].fast_dtype == torch.bfloat16


def test_importing_the_module_does_not_load_torch():
    code = "import sys; from aelab.config import runtime, params; from aelab.runner import stage; "
    code += "print('torch' in sys.modules)"
    assert in_a_process(code) == "False\n"


def test_products_have_the_same_bits_wherever_their_factors_lie_in_memory():
    code = """if True:
        from aelab.config import runtime
        runtime.pin("cpu", 1)
        import torch
        a, b = torch.rand(2, 200, 300, generator=torch.Generator().manual_seed(0))
        exact = a @ b.t()
        for offset in range(1, 17):
            moved = torch.empty(200 * 300 + offset)[offset:].view(200, 300).copy_(a)
            assert torch.equal(moved @ b.t(), exact), offset
    """
    in_a_process(code)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stage_computes_no_subnormal_numbers_in_any_thread_or_fork(threads):
    code = f"""if True:
        from aelab.config import runtime
        from aelab.runner import parallel
        settings = runtime.Runtime("cpu", {threads}, "float32", True)
        runtime.setup(settings)
        import torch
        x = torch.full((1_000_000,), 1e-30)
        print(parallel.run(lambda replicate, _: int((x * 1e-10).count_nonzero()), 2), torch.get_num_threads())
    """
    assert in_a_process(code) == f"[0, 0] {threads}\n"


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:99"])
def test_a_gpu_that_is_not_there_is_one_clear_error(device, monkeypatch):
    if device != "cuda:99":
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=rf"^runtime\.device: {device}: .* GPUs are visible; allowed: auto, cpu$"):
        runtime.pin(device, 1)
