"""The data: sources, splits, noise, and tensors on the device, mapped from files. No model, no training."""
