"""The model zoo: one file per family, imported by its name; `common/` is what families share. No training loop, no
metric."""
