"""The command `aelab`: only what dvc and mlflow do not do. Each command parses its options and makes one call."""
