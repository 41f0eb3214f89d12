"""params.yaml as typed, frozen objects; the process settings and random seeds that follow from it. No data, no models."""
