"""`aelab verify`: reproduce results and compare them with dvc.lock and metrics/."""
