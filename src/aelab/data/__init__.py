"""The data: sources, splits, noise, and tensors on the device, in memory or streamed from disk. No model, no
training."""
