"""`aelab verify`: results made again and held against dvc.lock and metrics/."""
