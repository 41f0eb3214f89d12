"""`python -m aelab.cli`: the command `aelab` where it is not on the PATH."""

from aelab.cli.app import app

app()
