"""Training: one loop for every model, its callbacks, checkpoints, optimizers and settings, and several seeds at once.

A model says what to optimise, the loop does it. Nothing here reads params.yaml, writes to MLflow or evaluates a model.
"""
