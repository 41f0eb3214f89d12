"""Which room may import which, who owns which library, which words are out of use, and what dvc.yaml must never do."""

import ast
import dataclasses
import re
from pathlib import Path

import networkx
import pytest
from ruamel.yaml import YAML

from aelab.config import params
from aelab.data import splits
from aelab.report.metric_specs import SPECS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/aelab"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "stages").glob("*.py")])

# room -> rooms that it may import (itself always); schemas of params.yaml are looked up by name
ALLOWED = {
    "config": set(),
    "runner": set(),
    "data": {"config"},
    "sources": {"data"},
    "models": {"config", "data"},
    "training": {"config", "data", "models", "runner"},
    "uses": {"data", "models"},
    "evaluation": {"config", "data", "models", "training", "uses"},
    "report": {"runner"},
    "tracking": {"runner"},
    "inference": {"config", "data", "models", "training", "runner", "tracking", "uses"},
    "sweeps": {"config", "data", "training", "evaluation", "report", "runner", "tracking"},
    "cli": {"config", "data", "inference", "report", "runner", "sources", "sweeps", "tracking"},
}
# what the rooms of learning may use of the runner: none of it can change a result
PROCESSES = {"cores", "parallel", "progress"}
OWNERS = {
    "mlflow": {"inference/mlflow_model", "tracking/models", "tracking/runs", "tracking/store"},
    "dvc": {"runner/dvc_api"},
    "dvc_data": {"runner/dvc_api"},
    "ray": {"runner/cluster/ray_api"},
    "optuna": {"sweeps", "tracking/sweeps"},
    "typer": {"cli"},
    "ruamel": {"config", "tracking/state"},
    "pydantic": {"config/validation"},
    "matplotlib": {"report/figures", "sweeps/show"},
    "jinja2": {"report/html"},
    "pandas": {"report", "sources", "tracking/runs"},
    "safetensors": {"training/weight_files"},
    "constriction": {"uses/codec"},
    "torchvision": {"sources/mirrors"},
    "pickle": set(),
    "yaml": set(),
}
# names of an earlier vocabulary: of no module, class, stage, parameter or metric (docs/vocabulary.md says why)
OLD_WORDS = re.findall(
    r"\S+",
    """
    floors power transfer pretrain_narrow core learning metrics books warm views repairs reading copies exchange
    serving pyfunc onnx shapes linear variational convolutional_variational conditional importance vector_quantised
    categorical stochastic recurrent split masked stack conv_stack boltzmann halvings told saw_labels Watch Watches
    watch
    Keeper keeper Panel Together together replicates batch unheard judge Bench bench strange Strange shift drawn worth
    special doctor ills beaten_by_floor frechet code_numbers nll_draws hoyer psnr_stroke psnr_blank pair_accuracy flags
    Flag champions here base Books Served Floors Power Transfer Boltzmann Categorical Stochastic
    Conditional draws likelihoods generated subsets classify blind alike predicted cooling coolest variables latent
    stacked_ae
    """,
)
KEPT = {
    "models.split": "an entry of params.yaml keeps its name",
    "models.masked": "an entry of params.yaml keeps its name",
    "models.categorical": "an entry of params.yaml keeps its name",
    "models.stochastic": "an entry of params.yaml keeps its name",
    "family draws": "K of Burda et al. 2016, a parameter of the iwae family",
}


def room(path: Path) -> str:
    """stages, or the folder of the package that a file belongs to."""
    return "stages" if "stages" in path.parts else path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere, also inside functions and for type checking."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def ours(path: Path) -> set[tuple[str, ...]]:
    """(room, module, ...) of every import of the package."""
    return {tuple(name.split(".")[1:]) for name in imports(path) if name.startswith("aelab.")}


def test_the_package_is_its_rooms():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(ALLOWED)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py"}, "no loose modules"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path):
    mine = room(path)
    if mine not in ("stages", "__init__"):
        assert {name for name, *_ in ours(path)} - {mine} <= ALLOWED[mine]
    if mine in ("data", "training", "evaluation", "report"):
        assert {rest[0] for name, *rest in ours(path) if name == "runner"} <= PROCESSES
    assert mine == "stages" or "stages" not in {name.split(".")[0] for name in imports(path)}


def test_no_modules_import_each_other_in_a_circle():
    modules = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    graph = networkx.DiGraph()
    for name, path in modules.items():
        for parts in ours(path):
            target = next(
                (".".join(parts[:n]) for n in (len(parts), len(parts) - 1) if ".".join(parts[:n]) in modules), ""
            )
            if target and target != name:
                graph.add_edge(name, target)
    assert list(networkx.simple_cycles(graph)) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_library_has_one_owner(path):
    place = "/".join(path.relative_to(PACKAGE).with_suffix("").parts) if room(path) != "stages" else "stages"
    for name in {name.split(".")[0] for name in imports(path)} & set(OWNERS):
        assert any(place == owner or place.startswith(f"{owner}/") for owner in OWNERS[name]), name


def test_no_family_imports_another():
    for path in (PACKAGE / "models").glob("*.py"):
        assert {rest[0] for name, *rest in ours(path) if name == "models"} <= {"common"}, path.stem


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=lambda p: p.parent.name)
def test_a_package_file_says_what_is_inside_and_holds_no_code(path):
    """A docstring, and in models/common and tracking the names that others import; the package's own keeps bytecode
    away from its rooms."""
    tree = ast.parse(path.read_text())
    names = path.parent.name in ("common", "tracking")
    assert len(ast.get_docstring(tree) or "") > 40
    allowed = {ast.Expr, ast.ImportFrom} if names else {ast.Expr, ast.Assign}
    allowed |= {ast.Import, ast.ImportFrom, ast.If} if path.parent == PACKAGE else set()
    assert {type(node) for node in tree.body} <= allowed


def test_tests_mirror_the_package():
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - set(ALLOWED) == {"stages", "benchmarks", "project", "faults"}


def names_in_use() -> dict[str, str]:
    """What is named -> its name: modules, classes, stages, sections, parameters and metrics."""
    names = {}
    for path in SOURCES:
        for part in path.relative_to(ROOT / "stages" if room(path) == "stages" else PACKAGE).with_suffix("").parts:
            names[f"module {path.relative_to(ROOT)} {part}"] = part
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names[f"class {path.relative_to(ROOT)}:{node.name}"] = node.name
    names |= {f"stage {name}": name for name in stages()}
    names |= {f"metric {name}": name for name in SPECS}
    tree = YAML(typ="safe").load(ROOT / "params.yaml")
    for section, block in tree.items():
        names[f"section {section}"] = section
        for key in block if isinstance(block, dict) else ():
            names[f"{section}.{key}"] = key
    for family in params.families():
        for field in dataclasses.fields(params.family_config(family)):
            names[f"family {field.name}"] = field.name
    return names


def test_old_words_are_out_of_use():
    old = {where: name for where, name in names_in_use().items() if name in OLD_WORDS and where not in KEPT}
    assert old == {}


def stages() -> dict:
    return YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


LEARNING = ("train", "pretrain", "pretrain_unrolled", "finetune", "unroll", "capacity")


@pytest.mark.parametrize("name", LEARNING)
def test_no_learning_stage_depends_on_test_data(name):
    stage = stages()[name]
    deps = {dep.rstrip("/") for dep in stage.get("do", stage)["deps"]}
    data = {dep for dep in deps if dep.startswith("data")}
    allowed = {"data/prepare/learning"}
    allowed |= {"finetune": {"data/pretrain/${key}"}, "unroll": {"data/pretrain/${item.stack}"}}.get(name, set())
    assert data == allowed


def test_what_no_learning_stage_may_read_lies_beside_what_they_depend_on():
    folders = {f"data/prepare/{name}" for name in splits.HELD_OUT}
    assert set(stages()["prepare"]["outs"]) == {"data/prepare/learning", "data/prepare/tracked.jsonl"} | folders
    assert {"test", "ood", "anomalies", "validation_anomalies"} == set(splits.HELD_OUT)


def test_models_are_measured_as_the_baselines_are():
    """With the feature classifier and the parameters of the baselines."""
    for name in ("evaluate", "evaluate_stacks", "evaluate_unrolled"):
        assert "data/baselines" in stages()[name]["do"]["deps"]
        assert "params" not in stages()[name]["do"]
    assert {"seed", "runtime", "baselines", "evaluate"} == set(stages()["baselines"]["params"])
    assert {"data/prepare", "data/corrupt"} <= set(stages()["baselines"]["deps"])


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


def test_every_learning_stage_is_rerun_by_an_upgrade_of_its_libraries_and_by_no_other():
    for name, stage in stages().items():
        deps = stage.get("do", stage)["deps"]
        assert ("versions.lock" in deps) == (name not in ("download", "prepare"))
        assert "requirements.lock" not in deps


def test_versions_lock_holds_the_lines_of_requirements_lock():
    lines = re.findall(
        r"^((?:torch|torchvision|numpy|scipy|scikit-learn|scikit-image)==.*?) *\\$", text(), re.MULTILINE
    )
    assert (ROOT / "versions.lock").read_text().splitlines() == lines, "`make versions.lock` renews it"


def text() -> str:
    return (ROOT / "requirements.lock").read_text()
