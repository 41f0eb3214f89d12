"""`params.check_all`: every mistake in params.yaml, wherever it stands, is one line before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aelab.config import params

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text()
AELAB = str(Path(sys.executable).with_name("aelab"))


@pytest.fixture
def change(tmp_path, monkeypatch):
    """Write the project's params.yaml with one place changed, for params to read."""
    monkeypatch.setattr(params, "FILE", tmp_path / "params.yaml")

    def write(old: str = "", new: str = "") -> None:
        assert old in TEXT
        params.FILE.write_text(TEXT.replace(old, new, 1))

    return write


def test_the_project_s_own_file_is_right(change):
    change()
    params.check_all()


def test_searches_may_be_absent_set_what_is_new_in_a_line_and_outlive_their_model(change):
    change()
    params.FILE.write_text(TEXT[: TEXT.index("\nsweeps:")])
    params.check_all()
    change("fixed: {train.num_seeds: 1}", "fixed: {models.vae.gradient: 1}")
    params.check_all("vae")
    change("  ae: {", "  another_ae: {")
    params.check_all()
    with pytest.raises(params.ParamsError, match=r"sweeps\.ae_cost\.target: 'ae': unknown entry"):
        params.check_all("ae_cost")


WRONG = {
    "section": ("\ntrain:\n", "\ntrian:\n", "trian: unknown section (did you mean train?); allowed: seed,"),
    "missing seed": ("seed: 1\n", "", "seed: None is wrong; allowed: a whole number"),
    "value of a section": ("  iwae_samples: 100 ", "  iwae_samples: -1 ", "evaluate.iwae_samples: "),
    "family": (
        "{family: vae,",
        "{family: vea,",
        "models.vae.family: 'vea': unknown family (did you mean vae?); allowed: closed_form,",
    ),
    "family of a stack": (
        "{family: stacked_conv,",
        "{family: conv_stak,",
        "stacks.stack_conv.family: 'conv_stak': unk",
    ),
    "key of an entry": (
        "latent_dim: 20, beta: 4",
        "latent_dim: 20, betta: 4",
        "models.beta_vae.betta: unknown key (did you",
    ),
    "key of a stack": ("layer: contractive, weight", "layer: contractive, wieght", "stacks.stack_cae.wieght: unknown"),
    "value of a layer": ("[1000, 500, 250, 30], layer: rbm", "[0], layer: rbm", "narrow_stacks.stack_rbm_30."),
    "value of an override": (
        "depth: 2, heads: 4,",
        "depth: 2, heads: 4, weight_decay: -1,",
        "train of masked.weight_decay: -1.0 is out of",
    ),
    "unrolled stack": (
        "{stack: stack_ae_30}",
        "{stack: stack_ae_3}",
        "unrolled.unrolled_ae.stack: 'stack_ae_3': unknown",
    ),
    "sweep": ("pruner: median ", "pruner: mean ", "sweeps.vae.pruner: 'mean' is wrong; allowed: 'median' or"),
    "target of a sweep": ("target: train@vae", "target: train@vea", "sweeps.vae.target: 'vea': unknown entry (did you"),
    "entry in a sweep": (
        "models.vae.latent_dim: {int",
        "models.vea.latent_dim: {int",
        "sweeps.vae.space.models.vea.latent_dim: 'vea': ",
    ),
    "parameter in a sweep": (
        "fixed: {train.num_seeds: 1}",
        "fixed: {tran.lr: 1}",
        "sweeps.vae.fixed.tran.lr: 'tran': ",
    ),
}


@pytest.mark.parametrize(("old", "new", "line"), WRONG.values(), ids=WRONG)
def test_a_mistake_anywhere_is_one_line(change, old, new, line):
    change(old, new)
    with pytest.raises(params.ParamsError) as caught:
        params.check_all("vae")
    assert str(caught.value).startswith(f"params.yaml: {line}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project as a folder of DVC's in which nothing has run; what runs would leave a log."""
    folder = tmp_path_factory.mktemp("wrong")
    for name in ("src", "stages", "dvc.yaml", "requirements.lock"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    return folder


@pytest.mark.parametrize("command", [["repro"], ["verify", "vae"], ["sweep", "vae"]], ids=" ".join)
def test_commands_say_it_before_any_stage_starts(project, command):
    old, new, line = WRONG["family"]
    (project / "params.yaml").write_text(TEXT.replace(old, new, 1))
    done = subprocess.run([AELAB, *command], cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"aelab {command[0]}: params.yaml: {line}")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not list((project / "logs").glob("*")), "no stage ran"
    assert not (project / "data").exists()


def test_whichever_stage_runs_first_says_it_under_plain_dvc(project):
    old, new, line = WRONG["section"]
    (project / "params.yaml").write_text(TEXT.replace(old, new, 1))
    command = [sys.executable, "stages/download.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[0][: len(line)]) == (
        1,
        f"download: params.yaml: {line}"[: len(line)],
    )
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert sorted(path.name for path in (project / "data").glob("*")) == [".scratch"]
