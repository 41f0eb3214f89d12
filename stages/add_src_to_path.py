"""Import this first: a stage then runs the code beside it, also in the temporary folder of a DVC experiment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
