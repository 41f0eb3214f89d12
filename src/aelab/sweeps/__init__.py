"""`aelab sweep`: Optuna asks for parameters, the pipeline answers with numbers."""
