"""How many cores there are: those that this process may use; turns on them."""

import os
import subprocess
import sys


def test_cores_that_this_process_may_not_use_do_not_count():
    mine = os.sched_getaffinity(0)
    code = f"import os; os.sched_setaffinity(0, {{{min(mine)}}}); from aelab.runner import cores; print(cores.count())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"
