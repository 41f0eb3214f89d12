"""Seeds, threads, determinism and device: what makes a run exact."""

import itertools
import os
import platform
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
    env = {key: value for key, value in os.environ.items() if key not in runtime.PINNED}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


def test_pin_sets_threads_and_deterministic_mode_and_the_code_path():
    code = """if True:
        from aelab.config import runtime
        import os
        print(sorted(runtime.PINNED.items()) == sorted((k, os.environ.get(k)) for k in runtime.PINNED))
        device = runtime.pin("cpu", 2)
        import torch
        print(device, torch.get_num_threads(), os.environ["OMP_NUM_THREADS"])
        print(torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
        print(torch.backends.cpu.get_cpu_capability())
    """
    lines = in_a_process(code).splitlines()
    assert lines[:3] == ["True", "cpu 2 2", "True False"]
    assert lines[3] in ("AVX2", "DEFAULT")  # DEFAULT on a machine without AVX2


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


@pytest.mark.parametrize("precision", get_args(runtime.Precision))
@pytest.mark.parametrize("instructions", get_args(runtime.Instructions))
def test_bf16_rounds_factors_on_a_cpu_that_may_and_only_meanwhile(precision, instructions):
    """Off by as much as factors of 8 bits allow, and by no more: sums and results have float32's 24."""
    rounds = precision == "bf16" and instructions == "native" and "amx_bf16" in runtime.processor().flags
    code = f"""if True:
        from aelab.config import runtime
        device = runtime.pin("cpu", 1, {precision!r}, True, {instructions!r})
        import torch
        from torch.nn import functional as F
        from aelab.models.common.output import cross_entropy
        torch.manual_seed(0)
        a, b, x, w = torch.rand(64, 256), torch.rand(256, 128), torch.rand(8, 16, 20, 20), torch.rand(16, 16, 3, 3)
        context = runtime.rounding(device, {precision!r})
        logits, target = torch.randn(2, 5000).unbind()
        exact = cross_entropy(logits, target)
        with context:
            assert torch.equal(cross_entropy(logits, target), exact)  # none of its sums is a product of oneDNN's
        for compute in (lambda: a @ b, lambda: F.conv2d(x, w)):
            exact = compute()
            for _ in range(2):
                with context:
                    rounded = compute()
                print(rounded.dtype, (rounded / exact - 1).abs().max().item(), torch.equal(compute(), exact))
    """
    lines = [line.split() for line in in_a_process(code).splitlines()]
    assert {(dtype, back) for dtype, _, back in lines} == {("torch.float32", "True")}
    errors = [float(error) for _, error, _ in lines]
    if rounds:
        assert all(1e-5 < error < 2**-8 for error in errors)
    else:
        assert errors == [0.0] * 4


@pytest.mark.parametrize(("flags", "rounds"), [({"avx512f", "amx_bf16"}, True), ({"avx512f", "avx512_bf16"}, False)])
def test_nothing_is_rounded_without_amx(flags, rounds, monkeypatch):
    """With AVX-512 alone oneDNN would compute in float32, more slowly than MKL."""
    monkeypatch.setattr(runtime, "processor", lambda: runtime.Processor("Intel", "6-143", frozenset(flags)))
    with runtime.rounding(torch.device("cpu"), "bf16"):
        assert (torch.backends.mkldnn.matmul.fp32_precision == "bf16") == rounds
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_importing_the_module_does_not_load_torch():
    code = "import sys; from aelab.config import runtime, params; from aelab.runner import stage; "
    code += "print('torch' in sys.modules)"
    assert in_a_process(code) == "False\n"


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runtime.pin("auto", 1) == torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "code_path", "words"),
    [
        ({"avx2", "avx512f"}, "AVX2", "CPU (AMD, AVX2)"),
        ({"avx2"}, "AUTO", "CPU (AMD 25-1, AVX2)"),
        (set(), "AVX2", "CPU (AMD 25-1, AVX2)"),  # nothing is fixed there
    ],
)
def test_a_cpu_is_described_by_maker_and_instructions_and_by_model_where_these_are_not_fixed(
    flags, code_path, words, monkeypatch
):
    monkeypatch.setattr(runtime, "processor", lambda: runtime.Processor("AMD", "25-1", frozenset(flags)))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setenv("MKL_CBWR", code_path)
    assert runtime.describe(torch.device("cpu")) == words


INTEL = "processor: 0\nvendor_id: GenuineIntel\ncpu family: 6\nmodel: 143\nmodel name: Intel(R)\nflags: fpu avx2\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (INTEL + "\nprocessor: 1\nflags: other\n", ("Intel", "6-143", {"fpu", "avx2"})),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: sse2\n", ("AMD", "", {"sse2"})),
        ("vendor_id : HygonGenuine\n", ("HygonGenuine", "", set())),
        ("Features: asimd\nCPU implementer: 0x41\nCPU part: 0xd0c\n", (platform.machine(), "0x41-0xd0c", set())),
        ("", (platform.machine(), "", set())),
        (None, (platform.machine(), "", set())),
    ],
)
def test_who_made_the_cpu_which_it_is_and_what_it_can_do(text, found, tmp_path, monkeypatch):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(runtime, "CPUINFO", tmp_path / "cpuinfo")
    assert runtime.processor.__wrapped__() == found


def test_native_instructions_are_those_of_the_cpu_and_give_the_same_bits_again():
    code = """if True:
        import os
        from aelab.config import runtime, seeding
        import numpy, torch
        for how in {hows!r}:
            device = runtime.pin("cpu", 1, instructions=how)
        x = torch.rand(300, 200, generator=seeding.generator(1))
        print(*map(os.environ.get, runtime.NATIVE), runtime.describe(device), (x.t() @ x).sum().item())
    """
    own = in_a_process("import torch; print(torch.backends.cpu.get_cpu_capability())").strip()
    ways = [
        (("avx2",), "avx2 AVX2 AVX2 CPU"),
        (("native",), "None AUTO None CPU"),
        (("native", "avx2"), "avx2 AVX2 AVX2 CPU"),
    ]
    for hows, words in ways:
        told = {in_a_process(code.format(hows=hows)) for _ in range(2)}
        assert len(told) == 1
        assert told.pop().startswith(words)
    assert f", {own}) " in in_a_process(code.format(hows=("native",)))


@pytest.mark.skipif("avx2" not in runtime.processor().flags, reason="no CPU with AVX2")
def test_numpy_and_its_products_take_no_more_than_avx2():
    code = """if True:
        from aelab.config import runtime
        import numpy, threadpoolctl
        from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
        print([name for name in __cpu_dispatch__ if __cpu_features__[name]])
        print({each["architecture"] for each in threadpoolctl.threadpool_info() if each["internal_api"] == "openblas"})
    """
    assert in_a_process(code).splitlines() == ["['X86_V3']", "{'Haswell'}"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stage_computes_no_subnormal_numbers_in_any_thread_or_fork(threads):
    code = f"""if True:
        from aelab.config import runtime
        from aelab.runner import parallel
        settings = runtime.Runtime("cpu", {threads}, "float32", True, "avx2")
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
