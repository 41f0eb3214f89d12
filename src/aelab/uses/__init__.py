"""What trained models are used for: anomaly scores, nearest neighbours, compressed codes. Evaluation and the command
line share it, so that what is measured is what is used."""
