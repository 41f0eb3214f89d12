"""CPU and memory of a stage while it runs, as MLflow's system metrics."""

from __future__ import annotations

import time

import psutil

EVERY = 10.0  # seconds between two readings; shorter stages have none


class Meter:
    """Measures one process and its children."""

    def __init__(self, pid: int) -> None:
        self.pid, self.count = pid, 0
        self.last, self.used = time.monotonic(), 0.0

    def read(self) -> dict[str, float]:
        """CPU (100: one core) and memory of the stage and of the machine; empty if it is too early, or the process is
        gone."""
        now = time.monotonic()
        if now - self.last < EVERY:
            return {}
        try:
            stage = psutil.Process(self.pid)
            family = [stage, *stage.children(recursive=True)]
            times = [item.cpu_times() for item in family]
            memory = sum(item.memory_info().rss for item in family)
        except psutil.Error:
            return {}
        used = sum(item.user + item.system for item in times)
        cpu = max(0.0, used - self.used) / (now - self.last)
        self.last, self.used, self.count = now, used, self.count + 1
        machine = psutil.virtual_memory()
        return {
            "system/cpu_utilization_percentage": 100 * cpu,
            "system/memory_usage_megabytes": memory / 1e6,
            "system/machine_cpu_utilization_percentage": psutil.cpu_percent(),
            "system/machine_memory_usage_percentage": machine.percent,
        }
