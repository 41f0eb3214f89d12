"""The command `aelab`: only what dvc and mlflow do not do."""
