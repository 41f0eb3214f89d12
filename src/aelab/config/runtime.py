"""What makes a run exact: the CPU code path, threads, determinism, device and seeds.

Import this before torch: the variables below are read once, when the numerical libraries load or first compute. Each of
them was seen to change bits between machines (ATEN, MKL, oneDNN, OpenBLAS' kernels, NumPy's), to stall training beside
a busy neighbour (OMP), or to let the small products of NumPy and SciPy fight for the cores (OpenBLAS' threads).
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import platform
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "tf32", "bf16"]
Instructions = Literal["avx2", "native"]
CPUINFO = Path("/proc/cpuinfo")
MAKERS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD"}


class Processor(NamedTuple):
    """A CPU: who made it ("Intel", "AMD"; else its architecture, as "arm64"), which one of theirs, what it can do."""

    maker: str
    model: str
    flags: frozenset[str]


@cache
def processor() -> Processor:
    """The CPU here, as far as Linux tells."""
    told: dict[str, str] = {}
    if CPUINFO.exists():
        with open(CPUINFO, errors="replace") as file:
            for line in itertools.takewhile(str.strip, file):  # the first core's
                key, _, value = line.partition(":")
                told[key.strip()] = value.strip()
    vendor = told.get("vendor_id", platform.machine())
    numbers = (told.get(key, "") for key in ("cpu family", "model", "CPU implementer", "CPU part"))
    return Processor(
        MAKERS.get(vendor, vendor), "-".join(filter(None, numbers)), frozenset(told.get("flags", "").split())
    )


PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OMP_WAIT_POLICY": "passive",
    "OPENBLAS_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
if "avx2" in processor().flags:
    PINNED["OPENBLAS_CORETYPE"] = "Haswell"
if "avx512f" in processor().flags:
    PINNED["NPY_DISABLE_CPU_FEATURES"] = "X86_V4 AVX512_ICL AVX512_SPR"
# of torch's libraries where they may use all that the CPU has; AUTO: the same bits in every run all the same
NATIVE: dict[str, str | None] = {"ATEN_CPU_CAPABILITY": None, "MKL_CBWR": "AUTO", "ONEDNN_MAX_CPU_ISA": None}
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
if "torch" not in sys.modules:
    os.environ.update(PINNED)


@dataclass(frozen=True)
class Runtime:
    """Where and how stages compute."""

    device: str  # auto (a GPU where there is one), cpu, cuda, cuda:N
    threads: int  # CPU threads per stage: part of the result's bits
    precision: Precision  # tf32: of all products; bf16: of products and convolutions while models learn
    deterministic: bool  # the same bits again; false: whatever a GPU finds fastest
    instructions: Instructions  # of a CPU: avx2, meant to give the same bits on all of its maker's; native: all it has

    def __post_init__(self) -> None:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device: {self.device!r} is unknown; allowed: auto, cpu, cuda, cuda:N")
        if self.threads < 1:
            raise ValueError(f"threads: {self.threads} is out of range; allowed: 1 or more")


def pin(
    device: str = "auto",
    threads: int = 1,
    precision: Precision = "float32",
    deterministic: bool = True,
    instructions: Instructions = "avx2",
) -> torch.device:
    """Fix threads, precision, determinism and CPU instructions for this process and return the device to compute on.

    device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N"; threads: CPU threads of one operation;
    precision: "tf32" lets a GPU round the factors of its products to 10 bits, "float32" does not ("bf16" is for the
    caller to use, see `autocast` and `rounding`). Not deterministic: a GPU may add up in any order and try out what is
    fastest.
    instructions: "native" lets torch use all that the CPU has; it has to be told before torch first computes.
    Raises ValueError where the device asked for is not there.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    for name, value in NATIVE.items():
        os.environ.pop(name, None)
        if wanted := value if instructions == "native" else PINNED[name]:
            os.environ[name] = wanted
    import torch

    keep_memory()
    torch.set_num_threads(threads)
    # as use_deterministic_algorithms, without importing the compiler
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs 4% of a step
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    found = torch.device(device)
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"runtime.device: {device}: {torch.cuda.device_count()} GPUs are visible; allowed: auto, cpu")
    return found


def keep_memory() -> None:
    """Freed memory stays with this process until it ends (glibc; elsewhere nothing happens).

    By default large blocks go back to the system and are fetched again page by page: a quarter of some evaluations.
    """
    if sys.platform == "linux":
        import ctypes

        if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
            for threshold in (TRIM_THRESHOLD, MMAP_THRESHOLD):
                mallopt(threshold, 1 << 30)


def setup(settings: Runtime) -> torch.device:
    """Apply `settings` to this process, flush subnormal numbers, and return the device to compute on."""
    device = pin(**dataclasses.asdict(settings))
    flush()
    return device


def flush() -> None:
    """From now on what this process' CPU computes is 0 where it would be subnormal (float32: below 1.2e-38).

    Moments of Adam whose gradients have ended, as those of dead units and of pixels that are hardly ever bright, decay
    to such numbers and stay there, and CPUs take up to a hundred times as long for each. Threads and forks have it from
    the one that starts them, so it is to be called before torch first computes in parallel.
    """
    import torch

    torch.set_flush_denormal(True)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """What a loss is computed under: for bf16 on a GPU torch's autocast, else nothing. It may be entered again."""
    import torch

    lower = precision == "bf16" and device.type == "cuda"
    return torch.autocast(device.type, torch.bfloat16) if lower else nullcontext()


def rounding(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """What a step and its gradients are computed under: for bf16 on a CPU with AMX `_Rounding`, else nothing. As
    `autocast`, it may be entered again."""
    lower = precision == "bf16" and device.type == "cpu" and "amx_bf16" in processor().flags
    return _Rounding() if lower else nullcontext()


class _Rounding(AbstractContextManager[None]):
    """oneDNN may round the factors of float32 products and convolutions to bfloat16, as it reads them; it does where
    `pin` lets it use AMX (with AVX-512 alone it would round nothing and take longer than MKL). Sums and results are
    float32, so nothing is cast. Not to be entered twice at once."""

    def __enter__(self) -> None:
        self.allow("bf16")

    def __exit__(self, *_: object) -> None:
        self.allow("none")

    def allow(self, precision: str) -> None:
        from torch.backends import mkldnn

        library: Any = mkldnn
        library.matmul.fp32_precision = library.conv.fp32_precision = library.rnn.fp32_precision = precision


def describe(device: torch.device) -> str:
    """The device in words, as a result carries it: the name of the GPU, or "CPU (Intel, AVX2)": MKL's products differ
    in their last bits between makers, whatever the instructions. Where these are not fixed, the CPU's model as well."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu = processor()
    fixed = "avx2" in cpu.flags and os.environ.get("MKL_CBWR") == PINNED["MKL_CBWR"]
    name = cpu.maker if fixed else f"{cpu.maker} {cpu.model}".strip()
    return f"CPU ({name}, {torch.backends.cpu.get_cpu_capability()})"
