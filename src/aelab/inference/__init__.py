"""Trained models in use: the predictor, MLflow and ONNX models, image and code files in and out. No training."""
