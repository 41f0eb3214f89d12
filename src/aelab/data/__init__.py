"""The data: where it comes from (sources), how it is split (splits), its fixed noisy twins (noisy)."""
