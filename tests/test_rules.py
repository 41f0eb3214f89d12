"""Who may import whom, who owns which library, and what dvc.yaml must never do."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from aelab.data import splits

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src/aelab"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "stages").glob("*.py")])

# layer -> what of ours it may import (itself always)
ALLOWED = {
    "core": {"tracking"},  # schemas of other rooms are looked up by name
    "data": {"core"},
    "models": {"core"},
    "learning": {"core", "data", "models"},
    "metrics": {"learning", "models", "data"},
    "report": {"core"},
    "shapes": set(),
    "tracking": {"reading"},
    "pipeline": {"books", "core", "reading", "repairs", "warm"},
    "books": {"repairs"},
    "reading": set(),
    "repairs": set(),
    "warm": set(),
    "views": set(),
    "sync": {"sweeps", "tracking"},
    "copies": {"tracking"},
    "sweeps": {"copies", "core", "learning", "metrics", "report", "tracking"},
    "verify": {"books", "copies", "core", "pipeline", "report", "tracking", "views"},
    "serving": {"core", "data", "learning", "models", "tracking"},
    "onnx": {"learning", "models", "serving"},
    "exchange": {"data"},
    "pyfunc": {"serving"},
    "commands": {"core", "exchange", "onnx", "serving", "tracking"},
    "cli": {"commands", "core", "pipeline", "sweeps", "sync", "tracking", "verify", "views"},
}
# module of core -> what of ours it may import; of core, models see `corruption` alone, data also `cgroups`
CORE = {
    "corruption": set(),
    "checkpoints": set(),
    "bounds": set(),
    "cgroups": set(),
    "cores": {"cgroups"},
    "params": {"bounds", "strict"},
    "progress": set(),
    "runtime": set(),
    "seeds": {"cores", "stage"},
    "stage": {"cores", "runtime", "tracking"},
    "strict": set(),
}
OWNERS = {
    "mlflow": {"pyfunc", "tracking/models", "tracking/runs", "tracking/store"},
    "dvc": {
        *("books", "cli", "copies", "pipeline", "reading", "repairs", "serving", "sweeps", "sync", "tracking/facts"),
        "verify",
    },
    "optuna": {"sweeps"},
    "typer": {"cli", "commands"},
    "ruamel": {"core/bounds", "core/params", "sweeps/edits", "tracking/state"},
    "pydantic": {"core/strict"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "pandas": {"report", "tracking/runs"},
    "safetensors": {"core/checkpoints"},
    "torchvision": {"data/sources"},
    "pickle": set(),
    "yaml": set(),
}


def room(path: Path) -> str:
    """stages, or the package's folder or file that a file belongs to."""
    return "stages" if "stages" in path.parts else path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere, also inside functions and for type checking."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_layer_may(path):
    mine = room(path)
    ours = {tuple(name.split(".")[1:3]) for name in imports(path) if name.startswith("aelab.")}
    if mine not in ("stages", "__init__"):
        assert {name for name, *_ in ours} - {mine} <= ALLOWED[mine]
    if mine in ("data", "models"):
        seen = {"corruption", "cgroups"} if mine == "data" else {"corruption"}
        assert {rest[0] for name, *rest in ours if name == "core"} <= seen
    if mine == "core" and path.stem != "__init__":
        assert {rest[0] if name == "core" else name for name, *rest in ours} <= CORE[path.stem]
    assert "stages" not in {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_library_has_one_owner(path):
    for name in {name.split(".")[0] for name in imports(path)} & set(OWNERS):
        assert {room(path), f"{room(path)}/{path.stem}"} & OWNERS[name], name


def test_no_family_imports_another():
    files = {path.stem: path for path in (PACKAGE / "models").glob("*.py") if path.stem not in ("base", "__init__")}
    for stem, path in files.items():
        used = {name.split(".")[2] for name in imports(path) if name.startswith("aelab.models.")}
        assert used <= {"base"}, stem


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=lambda p: p.parent.name)
def test_a_package_file_holds_no_code(path):
    """A docstring, and in models/base and tracking the names that others import."""
    kinds = {type(node) for node in ast.parse(path.read_text()).body}
    names = path.parent.name in ("base", "tracking")
    assert kinds <= ({ast.Expr, ast.ImportFrom} if names else {ast.Expr, ast.Assign})


def stages() -> dict:
    return YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


@pytest.mark.parametrize("name", ["train", "pretrain", "pretrain_narrow", "finetune", "unroll", "power"])
def test_no_learning_stage_depends_on_test_data(name):
    stage = stages()[name]
    deps = {dep.rstrip("/") for dep in stage.get("do", stage)["deps"]}
    data = {dep for dep in deps if dep.startswith("data")}
    allowed = {"data/prepare/learning"}
    allowed |= {"finetune": {"data/pretrain/${key}"}, "unroll": {"data/pretrain/${item.stack}"}}.get(name, set())
    assert data == allowed


def test_what_no_learning_stage_may_read_lies_beside_what_they_depend_on():
    files = {f"data/prepare/{name}.npz" for name in splits.HELD_OUT}
    assert set(stages()["prepare"]["outs"]) == {"data/prepare/learning", "data/prepare/tracked.json"} | files
    assert {"test", "strange"} == set(splits.HELD_OUT)


def test_models_are_measured_as_the_floors_are():
    """By the floors' judge, with the floors' parameters."""
    for name in ("evaluate", "evaluate_stacks", "evaluate_unrolled"):
        assert "data/floors" in stages()[name]["do"]["deps"]
        assert "params" not in stages()[name]["do"]
    assert {"seed", "runtime", "floors", "evaluate"} == set(stages()["floors"]["params"])
    assert {"data/prepare", "data/corrupt"} <= set(stages()["floors"]["deps"])


def test_words_agree():
    """A stage is a script, and the folder of its outs bears its name."""
    for name, stage in stages().items():
        body = stage.get("do", stage)
        script = body["cmd"].split()[1]
        assert name.startswith(Path(script).stem)
        assert script in body["deps"]
        folder = "metrics" if name == "compare" else f"data/{Path(script).stem}"
        assert all(str(next(iter(out)) if isinstance(out, dict) else out).startswith(folder) for out in body["outs"])


def test_only_the_last_stage_has_outs_outside_the_cache():
    uncached = {
        name for name, stage in stages().items() if "cache: false" in str(stage) or "'cache': False" in str(stage)
    }
    assert uncached == {"compare"}


def test_every_learning_stage_is_rerun_by_an_upgrade():
    learning = ("train", "pretrain", "pretrain_narrow", "finetune", "unroll")
    for name in (*learning, "evaluate", "evaluate_stacks", "evaluate_unrolled"):
        assert "requirements.lock" in stages()[name]["do"]["deps"]
