"""`aelab repro`: a parallel, crash-safe `dvc repro` for any DVC project, and the frame of a stage. Imports no other room."""
