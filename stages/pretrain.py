"""Pretrain one stack of `stacks:` greedily, layer by layer, several seeds of it."""

import here  # noqa: F401  (first: which code runs)
from aelab import stage


def pretrain(job: stage.Job) -> None:
    from aelab import replicates

    replicates.learn(job, "pretrain", "stacks")


if __name__ == "__main__":
    stage.main(pretrain)
