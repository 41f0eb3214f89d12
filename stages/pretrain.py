"""Pretrain one stack greedily, layer by layer, several seeds of it: an entry of `stacks:`, or narrow_stacks/<entry>."""

from pathlib import Path

import here  # noqa: F401  (first: which code runs)
from aelab.core import stage


def pretrain(job: stage.Job) -> None:
    from aelab.learning import replicates

    replicates.learn(job, "pretrain", Path(str(job.item)).parent.name or "stacks")


if __name__ == "__main__":
    stage.main(pretrain)
