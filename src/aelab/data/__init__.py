"""The data: where it comes from (sources, drawn), how it is split (splits), its fixed noisy twins (noisy)."""
