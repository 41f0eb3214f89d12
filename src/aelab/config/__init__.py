"""params.yaml as typed, frozen objects, the random seeds, and the process settings of numerical libraries.

`params` is the only reader of params.yaml; the dataclass of a section lives in the room that uses it. No data, no
models.
"""
