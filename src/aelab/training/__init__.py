"""Learning: one loop for every model (the model says what, the loop does it), its settings, the classifier on top."""
