"""The section `runtime:` and what makes a run exact: device, threads, determinism, precision, CPU instructions.

Import this before torch: the variables below are read once, when the numerical libraries load or first compute. Each of
them was seen to change bits between machines (ATEN, MKL, oneDNN, OpenBLAS' kernels, NumPy's), to stall training on a
busy machine (OMP), or to make small products of NumPy and SciPy compete for the cores (OpenBLAS' threads).
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
    """A CPU: its maker ("Intel", "AMD"; else the architecture, such as "arm64"), its model, and its feature flags."""

    maker: str
    model: str
    flags: frozenset[str]


@cache
def processor() -> Processor:
    """The CPU of this machine, as far as Linux reports it."""
    values: dict[str, str] = {}
    if CPUINFO.exists():
        with open(CPUINFO, errors="replace") as file:
            for line in itertools.takewhile(str.strip, file):  # of the first core
                key, _, value = line.partition(":")
                values[key.strip()] = value.strip()
    vendor = values.get("vendor_id", platform.machine())
    numbers = (values.get(key, "") for key in ("cpu family", "model", "CPU implementer", "CPU part"))
    return Processor(
        MAKERS.get(vendor, vendor), "-".join(filter(None, numbers)), frozenset(values.get("flags", "").split())
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
# torch's libraries with all instructions of the CPU; AUTO: still the same bits in every run
NATIVE: dict[str, str | None] = {"ATEN_CPU_CAPABILITY": None, "MKL_CBWR": "AUTO", "ONEDNN_MAX_CPU_ISA": None}
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt
if "torch" not in sys.modules:
    os.environ.update(PINNED)


@dataclass(frozen=True)
class Runtime:
    """The section `runtime:`: where and how stages compute."""

    device: str  # auto (a GPU where there is one), cpu, cuda, cuda:N
    threads: int  # CPU threads per stage; they change the bits of results
    precision: Precision  # tf32: all products; bf16: products and convolutions of training
    deterministic: bool  # the same bits in every run; false: whatever a GPU finds fastest
    # CPU instructions: avx2 (the same bits on all CPUs of a maker) or native (all that it has)
    instructions: Instructions

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
    """Set threads, precision, determinism and CPU instructions of this process, and return the device.

    device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N"; threads: CPU threads of one operation; precision:
    "tf32" lets a GPU round the factors of products to 10 bits, "float32" does not ("bf16" is applied by the caller, see
    `autocast` and `rounding`). Not deterministic: a GPU may sum in any order and benchmark its kernels. instructions:
    "native" lets torch use all that the CPU has; it must be set before torch first computes. Raises ValueError if there
    is no such device.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    for name, value in NATIVE.items():
        os.environ.pop(name, None)
        if wanted := value if instructions == "native" else PINNED[name]:
            os.environ[name] = wanted
    import torch

    keep_memory()
    torch.set_num_threads(threads)
    # like use_deterministic_algorithms, without importing the compiler
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs 4% of a step
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    result = torch.device(device)
    if result.type == "cuda" and (result.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"runtime.device: {device}: {torch.cuda.device_count()} GPUs are visible; allowed: auto, cpu")
    return result


def keep_memory() -> None:
    """Keep freed memory in this process until it ends (glibc; elsewhere this does nothing).

    By default large blocks return to the system and are mapped again page by page: a quarter of the time of some
    evaluations.
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
    """Flush subnormal numbers (float32: below 1.2e-38) to 0 on the CPU, in this process from now on.

    Adam's moments of parameters without gradients, such as those of dead units and of pixels that are always dark,
    decay to such numbers, and CPUs take up to a hundred times as long for each. Threads and forks inherit the setting,
    so call this before torch first computes in parallel.
    """
    import torch

    torch.set_flush_denormal(True)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The context of a loss computation: torch's autocast for bf16 on a GPU, else nothing. Reusable."""
    import torch

    lower = precision == "bf16" and device.type == "cuda"
    return torch.autocast(device.type, torch.bfloat16) if lower else nullcontext()


def rounding(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The context of a step with its gradients: `_Rounding` for bf16 on a CPU with AMX, else nothing. Reusable."""
    lower = precision == "bf16" and device.type == "cpu" and "amx_bf16" in processor().flags
    return _Rounding() if lower else nullcontext()


class _Rounding(AbstractContextManager[None]):
    """oneDNN may round the factors of float32 products and convolutions to bfloat16 as it reads them.

    It does so if `pin` lets it use AMX (with AVX-512 alone it rounds nothing and is slower than MKL). Sums and results
    are float32, so nothing is cast. Not reentrant.
    """

    def __enter__(self) -> None:
        self.allow("bf16")

    def __exit__(self, *_: object) -> None:
        self.allow("none")

    def allow(self, precision: str) -> None:
        from torch.backends import mkldnn

        library: Any = mkldnn
        library.matmul.fp32_precision = library.conv.fp32_precision = library.rnn.fp32_precision = precision


def describe(device: torch.device) -> str:
    """The device as stored with a result: the name of the GPU, or "CPU (Intel, AVX2)".

    MKL's products differ in their last bits between makers, whatever the instructions. With native instructions the
    CPU's model is included.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu = processor()
    fixed = "avx2" in cpu.flags and os.environ.get("MKL_CBWR") == PINNED["MKL_CBWR"]
    name = cpu.maker if fixed else f"{cpu.maker} {cpu.model}".strip()
    return f"CPU ({name}, {torch.backends.cpu.get_cpu_capability()})"
