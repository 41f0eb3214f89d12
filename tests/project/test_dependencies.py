"""pyproject.toml declares what the code imports, and nothing else."""

import ast
import functools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = {"pythae"}  # benchmarks/loops.py compares with it where somebody has installed it
BEHIND = {"sktime", "onnx", "onnxscript"}  # whose data files are read; which torch.onnx.export imports


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in requirements}


def imported(*folders: str) -> set[str]:
    """The top-level names that Python files of these folders import, less the standard library's and our own."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    names = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"aelab", *(path.stem for path in files)}


def distributions(names: set[str]) -> dict[str, set[str]]:
    """Top-level name -> the installed distributions that bring it."""
    return {name: set(map(normal, installed().get(name, [name]))) for name in names}


installed = functools.cache(packages_distributions)


def test_the_package_declares_all_that_it_imports_and_nothing_else():
    needed, given = distributions(imported("src", "stages")), declared(PROJECT["dependencies"])
    extra = declared(PROJECT["optional-dependencies"]["ray"])
    assert {name for name, found in needed.items() if not found & (given | extra)} == set()
    assert given - BEHIND - set().union(*needed.values()) == set()


def test_tests_benchmarks_and_docs_import_only_what_is_declared():
    extras = PROJECT["optional-dependencies"]
    given = declared(PROJECT["dependencies"] + [line for extra in ("dev", "ray", "cluster") for line in extras[extra]])
    needed = distributions(imported("src", "stages", "tests", "benchmarks", "docs") - OPTIONAL)
    assert {name for name, found in needed.items() if not found & given} == set()


def locked(name: str) -> set[str]:
    """The distributions of a lock, with their versions."""
    return set(re.findall(r"^([a-z0-9-]+==[^\s;\\]+)", (ROOT / name).read_text(), re.MULTILINE))


def names(lines: set[str]) -> set[str]:
    return {line.partition("==")[0] for line in lines}


def test_every_declared_distribution_is_locked():
    extras = PROJECT["optional-dependencies"]
    main, cluster = locked("requirements.lock"), locked("requirements-cluster.lock")
    assert declared(PROJECT["dependencies"] + extras["dev"]) - names(main) == set()
    assert declared(extras["ray"] + extras["cluster"]) - {"aelab"} - names(main) - names(cluster) == set()
    assert names(main) & names(cluster) == set(), "the second one adds to the first"
