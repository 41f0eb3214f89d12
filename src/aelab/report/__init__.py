"""The report: tables, claims, figures and the HTML page, drawn from saved numbers and arrays only.

`metric_specs` is the one table of metrics; `figures/` draws, `html/` makes the page. No torch, no model, no data set.
"""
