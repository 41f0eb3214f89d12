"""`aelab repro`, a parallel, crash-safe `dvc repro` for any DVC project, and what a stage runs in.

Inside: the scheduler (pipeline, lockfile, fork_server, console, recovery), and the frame of a stage (stage, cores,
parallel, progress). Nothing here knows data, models or MLflow, and nothing can change a result, so no stage depends on
it.
"""
