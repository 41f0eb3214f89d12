"""MLflow: stages append events to a file, and one writer process sends them to the store.

Inside: the recorder that stages use, the writer, the registry of models, `aelab sync`, the UI. Nothing here computes a
metric.
"""

from aelab.tracking.recorder import Recorder, track
