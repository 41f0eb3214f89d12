"""A shell command that ends, with everything it has started, when the process that asked for it does.

Run as a file: `python command.py <fd> <command> <arguments>`; fd is the end of a pipe whose other end that process
holds. Python scripts do not need it: see stage.die_with_parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO


@contextlib.contextmanager
def started(
    command: Sequence[str], folder: str, environment: Mapping[str, str], out: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a process group of its own, killed at the end of the `with`; what it prints goes to `out`."""
    theirs, ours = os.pipe()
    try:
        yield subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(theirs), *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=[theirs],
            start_new_session=True,
        )
    finally:
        os.close(theirs)
        os.close(ours)


def run(fd: int, command: Sequence[str]) -> int:
    """Run the command; kill its group, this process included, when the pipe ends."""

    def watch() -> None:
        os.read(fd, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    os.set_inheritable(fd, False)
    code = subprocess.run(command).returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(run(int(sys.argv[1]), sys.argv[2:]))
