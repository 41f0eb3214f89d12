"""The section `runtime:` and what makes a run exact: device, threads, determinism, precision.

Import this before torch: the environment variables below are read once, when the numerical libraries load or first
compute.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "tf32", "bf16"]
CPUINFO = Path("/proc/cpuinfo")
MAKERS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD"}
ENVIRONMENT = {
    "MKL_CBWR": "AUTO",  # MKL: the same bits wherever an array lies in memory
    "OMP_WAIT_POLICY": "passive",  # waiting threads leave a busy machine its cores
    "OPENBLAS_NUM_THREADS": "1",  # NumPy and SciPy: one thread as well
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS: deterministic
}
if "torch" not in sys.modules:
    os.environ.update(ENVIRONMENT)


@dataclass(frozen=True)
class Runtime:
    """The section `runtime:`: where and how stages compute."""

    device: str  # auto (a GPU where there is one), cpu, cuda, cuda:N
    threads: int  # CPU threads per stage; they change the bits of results
    precision: Precision  # of a GPU; tf32: all products; bf16: products and convolutions of training
    deterministic: bool  # the same bits in every run; false: whatever a GPU finds fastest

    def __post_init__(self) -> None:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device: {self.device!r} is unknown; allowed: auto, cpu, cuda, cuda:N")
        if self.threads < 1:
            raise ValueError(f"threads: {self.threads} is out of range; allowed: 1 or more")


def pin(
    device: str = "auto", threads: int = 1, precision: Precision = "float32", deterministic: bool = True
) -> torch.device:
    """Set threads, precision and determinism of this process, and return the device.

    device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N"; threads: CPU threads of one operation; precision:
    "tf32" lets a GPU round the factors of products to 10 bits, "float32" does not ("bf16" is applied by the caller, see
    `autocast`). Not deterministic: a GPU may sum in any order and benchmark its kernels. Raises ValueError if there is
    no such device.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
    # like use_deterministic_algorithms, without its import of the compiler, which takes longer than that of torch
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


def describe(device: torch.device) -> str:
    """The device as stored with a result: the name of a GPU, or of a CPU as in "CPU (AMD 25-1, AVX2)".

    The name holds what the bits of a result depend on: the maker and model, and the vector instructions that torch
    takes.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({processor()}, {torch.backends.cpu.get_cpu_capability()})"


def processor() -> str:
    """The maker and model of this machine's CPU as far as Linux reports them, as "AMD 25-1"; else its architecture."""
    values: dict[str, str] = {}
    if CPUINFO.exists():
        with open(CPUINFO, errors="replace") as file:
            for line in itertools.takewhile(str.strip, file):  # of the first core
                key, _, value = line.partition(":")
                values[key.strip()] = value.strip()
    vendor = values.get("vendor_id", platform.machine())
    numbers = (values.get(key, "") for key in ("cpu family", "model", "CPU implementer", "CPU part"))
    return f"{MAKERS.get(vendor, vendor)} {'-'.join(filter(None, numbers))}".strip()
