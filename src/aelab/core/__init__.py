"""What every stage stands on: parameters, the frame around its body, determinism, seeds, noise, files of weights."""
