"""Trained models in use: the predictor, its MLflow and ONNX forms, image and code files in and out. No training."""
