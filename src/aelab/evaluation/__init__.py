"""Evaluation: tensors in, named metrics out, one file per question (reconstruction, denoising, representation, ...).

Nothing here prints, tracks, plots, or reads and writes a file; how a metric is shown stands in report/metric_specs.py.
"""
