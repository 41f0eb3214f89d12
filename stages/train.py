"""Train one model of `models:`, several seeds of it."""

import here  # noqa: F401  (first: which code runs)
from aelab.core import stage


def train(job: stage.Job) -> None:
    from aelab.learning import replicates

    replicates.learn(job, "train", "models")


if __name__ == "__main__":
    stage.main(train)
