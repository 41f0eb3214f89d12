"""`aelab sweep`: hyperparameter search with Optuna, each trial a run of the pipeline. No training loop of its own."""
