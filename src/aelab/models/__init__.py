"""The model zoo: one file per family; base/ is what they share."""
