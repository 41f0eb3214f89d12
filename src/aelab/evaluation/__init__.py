"""Measures: tensors in, named numbers out. Nothing here prints, tracks, or touches a file."""
