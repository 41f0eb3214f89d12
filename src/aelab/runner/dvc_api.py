"""All names of DVC that this package uses: most are not its public API, so a new version may change them.

tests/runner/test_dvc_names.py says what each is needed for, and that it is still there.
"""

from dvc.config import Config
from dvc.dependency import param
from dvc.dependency.base import Dependency
from dvc.dvcfile import LOCK_FILE, Lockfile, load_file
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.repo.experiments.utils import exp_refs
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from dvc.rwlock import RWLOCK_FILE, RWLockFileCorruptedError, rwlock
from dvc.rwlock import _edit_rwlock as edit_rwlock
from dvc.scm import Git
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError
from dvc.stage.cache import _can_hash as can_hash
from dvc.stage.cache import _get_cache_hash as lock_entry_hash
from dvc.stage.cache import _get_stage_hash as stage_hash
from dvc.stage.run import _make_cmd as make_cmd
from dvc.stage.run import get_executable, prepare_kwargs
from dvc.utils import serialize
from dvc.utils.serialize import dump_yaml, load_yaml, parse_yaml
from dvc_data.hashfile import load as load_object
from dvc_data.hashfile.build import build
from dvc_data.hashfile.checkout import checkout
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.transfer import transfer
from tqdm import tqdm

tqdm.monitor_interval = 0  # its thread, begun by DVC's locks while the interpreter ends, would be waited for for ever

__all__ = [
    "LOCK_FILE",
    "RWLOCK_FILE",
    "Config",
    "Dependency",
    "DvcException",
    "Git",
    "HashInfo",
    "LockError",
    "Lockfile",
    "NotDvcRepoError",
    "PipelineStage",
    "RWLockFileCorruptedError",
    "Repo",
    "RunCacheNotFoundError",
    "build",
    "can_hash",
    "checkout",
    "collect_stages",
    "dump_yaml",
    "edit_rwlock",
    "exp_refs",
    "get_active_graph",
    "get_executable",
    "load_file",
    "load_object",
    "load_yaml",
    "lock_entry_hash",
    "make_cmd",
    "param",
    "parse_yaml",
    "plan_repro",
    "prepare_kwargs",
    "rwlock",
    "serialize",
    "stage_hash",
    "transfer",
]
