"""A stage that ran on another machine: its MLflow run is made from the events among its results."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from aelab.tracking import events, facts


def replay(stage: Any, host: str) -> None:
    """Send the events of a stage (DVC's object of it) to the writer, as the stage would have done here.

    Nothing is sent where the stage leaves no events, or AELAB_TRACKING is off. host: where it ran. It fails soft, as
    the recorder does: whatever happens costs one line on stderr.
    """
    found = next((path for out in stage.outs if (path := record(Path(out.fs_path)))), None)
    if found is None or os.environ.get("AELAB_TRACKING") == "off":
        return
    try:
        send(stage, host, found)
    except (OSError, ValueError) as error:
        text = f"tracking: {error}; `aelab sync` makes the run of {stage.addressing} from its results"
        print(text, file=sys.stderr, flush=True)


def send(stage: Any, host: str, record: Path) -> None:
    """Raises OSError if the spool is not writable, ValueError for events of another form."""
    begin, *told = events.recorded(str(record), record.read_bytes())
    box = events.Outbox()
    tags = facts.found() | {"command": str(stage.cmd), "host": host, "spool": box.path.stem}
    tags |= {"dvc_stage": stage.addressing, "mlflow.source.name": str(stage.cmd)}
    box.send(begin | {"tags": tags, "folder": stage.wdir, "dvc_stage": stage.addressing})
    for event in told:
        if event["event"] == "artifact":
            event = event | {"path": box.copy(record.parent / event["path"])}
        box.send(event)
    box.send({"event": "end", "status": "FINISHED", "error": None})
    box.close()
    events.start_writer()


def record(out: Path) -> Path | None:
    """The file of events that an out is or holds."""
    path = out if out.name == events.FILE else out / events.FILE
    return path if path.is_file() else None
