"""`aelab repro --on`: the stages of a pipeline run on the nodes of a Ray cluster.

The driver (driver.py) alone talks to DVC, dvc.lock and the run cache. It sends a stage as an order (orders.py): the
command, the digest of the code, the MD5s of what the stage reads, its environment. A node (node.py) brings those files
into a folder of its own, runs the command, and answers with the MD5s of what it made. Files travel by their MD5 through
DVC's cache where both see it, else through the project's DVC remote (store.py). Any node may die at any time.
"""
