"""AE Lab: one DVC pipeline, every classic autoencoder, one honest comparison."""

import sys
from pathlib import Path

__version__ = "0.1.0"

# DVC takes folders of the sources as dependencies, and a study's DVC does not read the .dvcignore at the top: bytecode
# beside the sources would count as a change of the code, and everything would run again
if Path(__file__).parents[2].joinpath("dvc.yaml").exists():
    sys.dont_write_bytecode = True
