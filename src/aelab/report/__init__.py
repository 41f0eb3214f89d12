"""The comparison: a table and figures, drawn from numbers and arrays that earlier stages saved."""
