"""The figures, as PNG files drawn from saved numbers and arrays. No page, no table."""
