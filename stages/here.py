"""Stages run the code they stand beside, also where DVC runs an experiment in a folder of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
