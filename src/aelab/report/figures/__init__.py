"""The figures, as PNG files drawn from saved numbers and arrays; `catalogue` names them all. No page, no table."""
