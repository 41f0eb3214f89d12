"""Every command of README.md and docs/ is one that DVC, aelab, make, git and Python take, on the real params.yaml.

What needs trained models, a server or an hour is taken as far as its own parser goes;
tests/inference/test_predictor.py runs those
that use a model.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from dvc.cli.parser import get_main_parser
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from ruamel.yaml import YAML

from aelab.cli import app
from aelab.config import params

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if "results" not in path.name)]
INCOMPLETE = {"dvc exp", "dvc exp run", "dvc exp run -S", "aelab sweep", "aelab node", "dvc add"}  # named in a sentence


def commands(page: Path) -> Iterator[str]:
    """The commands of a page: lines of code blocks that begin with one, and words in backticks that do."""
    prose = []
    text = re.sub(
        r" <<'(\w+)'\n.*?\n +\1$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE
    )  # what a command reads
    for paragraph in text.split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if all(line.startswith("    ") for line in lines):
            if first_word(lines[0]) in RULES:
                yield from (line.strip() for line in lines)
        else:
            prose.append(paragraph)
    for words in re.findall(r"`([^`\n]+)`", "\n\n".join(prose)):
        if " " in words and first_word(words) in RULES and "<" not in words and words not in INCOMPLETE:
            yield words


def first_word(line: str) -> str:
    return next((word for word in line.split() if not re.match(r"[A-Z_]+=", word)), "")


def takes_dvc(words: list[str]) -> None:
    arguments = get_main_parser().parse_args(words[1:])
    for values in get_hydra_sweeps(to_path_overrides(getattr(arguments, "set_param", None) or [])):
        for path, overrides in values.items():
            assert path == "params.yaml"
            shutil.copy(ROOT / path, params.FILE)
            apply_overrides(params.FILE, overrides)
            params.check_all()


def takes_aelab(words: list[str]) -> None:
    group = typer.main.get_command(app.app)
    command = group.commands[words[1]]  # type: ignore[attr-defined]
    given = command.make_context(words[1], words[2:]).params
    tree = YAML(typ="safe").load(ROOT / "params.yaml")
    entries = {name for section in params.LISTS[:-1] for name in tree[section]}
    if words[1] == "sweep":
        assert given["name"] in tree["sweeps"]
    named = [given.get("model") or "vae", *(given.get("models") or ())]
    assert {name for name in named if "@" not in name} <= entries


def takes_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([\w.-]+):", makefile, re.MULTILINE)
    assert words[1] in targets
    for option in words[2:]:
        assert option.partition("=")[0] in re.findall(r"[A-Z_]+", makefile)


def takes_git(words: list[str]) -> None:
    assert words[1] == "checkout"
    for path in words[2:]:
        assert (
            subprocess.run(["git", "ls-files", "--error-unmatch", path], cwd=ROOT, capture_output=True).returncode == 0
        )


def takes_python(words: list[str]) -> None:
    if words[1].startswith("-"):
        return
    text = (ROOT / words[1]).read_text()
    for option in [word for word in words[2:] if word.startswith("--")]:
        assert f'"{option}"' in text


def exists(words: list[str]) -> None:
    """Run for real by tests/inference/test_predictor.py, or of the shell's."""
    assert shutil.which(words[0]) or words[0] == "source"


RULES = {"dvc": takes_dvc, "aelab": takes_aelab, "make": takes_make, "git": takes_git, "python": takes_python}
RULES |= dict.fromkeys(("mlflow", "curl", "source"), exists)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_taken(page, tmp_path, monkeypatch):
    monkeypatch.setattr(params, "FILE", tmp_path / "params.yaml")
    found = list(commands(page))
    assert page != ROOT / "README.md" or len(found) > 30
    for line in found:
        for command in line.split(" && "):
            words = shlex.split(command, comments=True)
            words = words[next(i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)) :]
            try:
                RULES[words[0]](words)  # a KeyError: a command that no rule knows
            except (Exception, SystemExit) as error:
                raise AssertionError(f"{page.name}: {line}: {error!r}") from error


STAGE = """
import json, sys
from ruamel.yaml import YAML
tree = YAML(typ="safe").load(open("params.yaml"))
summary = json.load(open("all.json"))
for metric in summary["vae"]:
    summary["vae"][metric] += 20 - tree["models"]["vae"]["latent_dim"]
json.dump(summary, open("metrics/summary.json", "w"))
open("metrics/report.html", "w").write(str(summary))
"""


@pytest.fixture
def project(tmp_path):
    """A commit of the real parameters and headline numbers, and a stage that makes the latter from the former."""
    (tmp_path / "metrics").mkdir()
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\nanalytics = false\n")
    (tmp_path / ".dvc/.gitignore").write_text("/tmp\n/cache\n/config.local\n")
    (tmp_path / ".gitignore").write_text("/metrics/report.html\n/logs\n")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = subprocess.run(["git", "show", "HEAD:metrics/summary.json"], cwd=ROOT, capture_output=True, check=True)
    (tmp_path / "all.json").write_bytes(done.stdout)
    (tmp_path / "stage.py").write_text(STAGE)
    sections = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]["compare"]["params"]
    stage = {"cmd": "python stage.py", "params": sections, "deps": ["stage.py", "all.json"]}
    stage |= {"metrics": [{"metrics/summary.json": {"cache": False}}], "outs": ["metrics/report.html"]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"compare": stage}}))
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "dvc", "repro", "-q")
    run(tmp_path, "git", "add", "-A")
    run(tmp_path, "git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "results")
    return tmp_path


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    names = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {"PATH": path, "HOME": str(folder), "PYTHONPATH": str(ROOT / "src"), **names}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def test_an_experiment_shows_few_columns_and_there_is_a_way_back(project):
    before = (project / "metrics/report.html").read_text()
    for latent in (5, 10):
        run(project, "dvc", "exp", "run", "-q", "-S", f"models.vae.latent_dim={latent}")
    changed = {line[3:] for line in run(project, "git", "status", "--short").splitlines()}
    assert changed == {"params.yaml", "dvc.lock", "metrics/summary.json"}
    assert len(run(project, "dvc", "exp", "show", "--csv").splitlines()[0].split(",")) > 500
    shown = run(project, "dvc", "exp", "show", "--csv", "--only-changed").splitlines()[0].split(",")
    assert {"models.vae.latent_dim", "vae.sse"} < set(shown)
    assert len(shown) < 40
    [back] = [line for line in commands(ROOT / "README.md") if line.startswith("git checkout params.yaml")]
    run(project, "bash", "-c", back)
    assert run(project, "git", "status", "--short") == ""
    assert (project / "metrics/report.html").read_text() == before
    assert "up to date" in run(project, "dvc", "status")
