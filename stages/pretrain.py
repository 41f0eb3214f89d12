"""Pretrain one stack greedily, layer by layer, with several seeds: an entry of `stacks:`, or narrow_stacks/<entry>."""

from pathlib import Path

import add_src_to_path  # noqa: F401
from aelab.runner import stage
from train import train_entry


def pretrain(job: stage.Job) -> None:
    train_entry(job, "pretrain", Path(str(job.item)).parent.name or "stacks")


if __name__ == "__main__":
    stage.main(pretrain)
