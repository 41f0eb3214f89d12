"""MLflow's UI, and the address that compares states of the pipeline.

`python -m aelab.tracking.ui PORT` prints that address as soon as a server listens.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from typing import Any
from urllib.parse import quote

from aelab.runner import repository
from aelab.tracking import state, store

HOST = "127.0.0.1"
STATES = f"tags.{state.KEY} LIKE '%'"  # MLflow's page shows the newest 100 runs, and a state has more
STARTING = 120.0  # seconds that a server may take to start
MODE = "workflowType=machine_learning"  # MLflow's other mode is for language models
ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}  # one process


def serve(port: int) -> None:
    """Become the server. Raises ValueError if the port is taken or the store damaged."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            attempt.bind((HOST, port))
        except OSError as error:
            raise ValueError(f"port {port}: {error.strerror}; `aelab ui --port {port + 1}` takes another") from None
    store.check()
    if (database := store.file()) and not database.exists():
        store.client()  # a server that creates it would not wait for a stage that does
    os.environ |= ENVIRONMENT
    os.environ["MLFLOW_BACKEND_STORE_URI"] = store.uri()  # it may hold a password, and other users can see options
    subprocess.Popen([sys.executable, "-m", "aelab.tracking.ui", str(port)])
    options = ["--host", HOST, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    os.chdir(repository.root())
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *options])


def address(port: int) -> str:
    """The page to open first: the charts of the experiment with the newest run, of its states if there are any.

    Raises OSError if no server listens yet.
    """
    experiments = ask(port, "experiments/search", max_results=1000).get("experiments", [])
    ids = [item["experiment_id"] for item in experiments]
    newest = {"max_results": 1, "order_by": ["attributes.start_time DESC"]}
    runs = ask(port, "runs/search", experiment_ids=ids, **newest).get("runs", []) if ids else []
    if not runs:
        return f"http://{HOST}:{port}/#/experiments?{MODE}"
    experiment = runs[0]["info"]["experiment_id"]
    for key, value in store.KIND.items():
        ask(port, "experiments/set-experiment-tag", experiment_id=experiment, key=key, value=value)
    page = f"http://{HOST}:{port}/#/experiments/{experiment}/runs?{MODE}&compareRunsMode=CHART"
    shown = ask(port, "runs/search", experiment_ids=[experiment], max_results=1, filter=STATES).get("runs", [])
    return f"{page}&searchFilter={quote(STATES)}" if shown else page


def ask(port: int, what: str, **fields: Any) -> dict[str, Any]:
    """The answer of a server. Raises OSError."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        body, head = json.dumps(fields), {"Content-Type": "application/json"}
        connection.request("POST", f"/api/2.0/mlflow/{what}", body, head)
        answer = connection.getresponse()
        content = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ConnectionError(f"{what}: {answer.status}")
    return json.loads(content)


def announce(port: int) -> None:
    """Print the address once the server, the parent of this process, listens."""
    server, end = os.getppid(), time.monotonic() + STARTING
    while os.getppid() == server and time.monotonic() < end:
        try:
            print(f"\nAE Lab: {address(port)}\n", flush=True)
            return
        except OSError:
            time.sleep(0.3)


if __name__ == "__main__":
    announce(int(sys.argv[1]))
