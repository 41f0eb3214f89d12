"""What stages tell MLflow: they append it to files, and one process writes it down."""

from aelab.tracking.recorder import Recorder, track
