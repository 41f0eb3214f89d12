"""params.yaml: what is right loads as frozen objects, what is wrong is one line, and nothing is silent."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from aelab.config import params

VAE = "{family: vae, hidden: [400], latent_dim: 20}"  # without settings of its own
TEXT = (Path(__file__).parents[2] / "params.yaml").read_text()
TEXT = TEXT.replace(VAE[:-1] + ", lr: 6e-3, max_steps: 2500, num_seeds: 5}", VAE, 1)
TREE = YAML(typ="safe").load(TEXT)
UNROLLED = "unrolled.unrolled_rbm"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The file that params reads, in place of the project's."""
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(params, "FILE", path)
        yield path


@pytest.fixture
def write(file):
    """Write the project's params.yaml with one place changed."""

    def change(old: str = "", new: str = "") -> None:
        assert old in TEXT
        file.write_text(TEXT.replace(old, new, 1))

    change()
    return change


def wrong(*sections: str) -> str:
    """The one line that loading gives, less the file's name."""
    with pytest.raises(params.ParamsError) as caught:
        params.load(*sections)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert line.startswith("params.yaml: ")
    return line.removeprefix("params.yaml: ")


def test_what_is_written_is_shown_as_it_stands(write):
    write("latent_dim: 20", "latent_dim: -20")
    assert params.written("seed", "models")["models"]["vae"]["latent_dim"] == -20
    with pytest.raises(params.ParamsError, match=r"params.yaml: gone: missing section"):
        params.written("seed", "gone")


def test_sections_come_frozen_and_in_the_order_asked_for(write):
    train, seed, data, entry = params.load("train", "seed", "data", "models.vae")
    assert (train.optimizer, train.batch_size, train.preview_steps) == ("adam", 64, (50, 500, 2500, 5000))
    assert (seed, data.name) == (1, "mnist5k")
    assert (entry.name, entry.family) == ("vae", "vae")
    assert entry.config == {"hidden": (400,), "latent_dim": 20, "beta": 1.0, "activation": "relu"}
    assert params.load("data") == data
    assert params.load("models") == list(TREE["models"])
    for each, key in ((train, "lr"), (data, "name"), (entry, "family")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(each, key, 1)


def test_an_unrolled_entry_names_its_stack(write):
    assert params.load("unrolled") == list(TREE["unrolled"])
    assert params.load(UNROLLED).stack == "stack_rbm_30"


def test_only_the_sections_asked_for_are_checked(write):
    write("threads: 1 ", "threads: x ")
    assert params.load("seed") == 1
    assert "runtime.threads" in wrong("runtime")


@pytest.mark.parametrize("text", ["1e-3", "0.001", "1.0e-03", "1E-3"])
def test_one_thousandth_is_a_number_however_written(write, text):
    write("  lr: 4e-3\n", f"  lr: {text}\n")
    assert params.load("train").lr == 0.001


def test_a_whole_number_serves_where_any_number_does(write):
    write("  lr: 4e-3\n", "  lr: 1\n")
    assert params.load("train").lr == 1.0


def merged():
    block, entry = params.load("train", "models.vae")
    return params.merge("train", block, entry)


def test_an_entry_overrides_its_block_and_nothing_else_does(write):
    assert merged() == params.load("train")
    write(VAE, VAE[:-1] + ", max_epochs: 20, lr: 0.5}")
    block = params.load("train")
    assert merged() == dataclasses.replace(block, max_epochs=20, max_steps=None, lr=0.5)
    assert (block.max_steps, block.max_epochs, block.lr) == (2000, None, 0.004)


WRONG = [
    ("data:\n", "dta:\n", "seed", "dta: unknown section (did you mean data?); allowed: seed, runtime, data,"),
    ("  lr: 4e-3\n", "  lrr: 1e-3\n", "train", "train.lrr: unknown key (did you mean lr?); allowed: optimizer, lr,"),
    ("  lr: 4e-3\n", "", "train", "train.lr: missing; allowed: float"),
    ("  lr: 4e-3\n", "  lr: fast\n", "train", "train.lr: 'fast' is wrong; allowed: a valid number"),
    ("  lr: 4e-3\n", "  lr: true\n", "train", "train.lr: True is wrong; allowed: a valid number"),
    ("  lr: 4e-3\n", "  lr: .nan\n", "train", "train.lr: nan is wrong; allowed: a finite number"),
    ("  lr: 4e-3\n", "  lr: -1\n", "train", "train.lr: -1.0 is out of range; allowed: above 0"),
    ("  batch_size: 64\n", "  batch_size: 0\n", "train", "train.batch_size: 0 is out of range; allowed: 1 or more"),
    (
        "  batch_size: 64\n",
        "  batch_size: 12.8\n",
        "train",
        "train.batch_size: 12.8 is wrong; allowed: a valid integer",
    ),
    (
        "  preview_steps: [50, ",
        "  preview_steps: [x, ",
        "train",
        "train.preview_steps.0: 'x' is wrong; allowed: a valid integer",
    ),
    (
        "  preview_steps: [50, 500, 2500, 5000]",
        "  preview_steps: 1",
        "train",
        "train.preview_steps: 1 is wrong; allowed: a valid list",
    ),
    (
        "optimizer: adam",
        "optimizer: adm",
        "train",
        "train.optimizer: 'adm' is wrong; allowed: 'adam', 'adamw' or 'sgd'",
    ),
    ("noise: []", "noise: [masking 2]", "train", "train.noise: masking 2.0 is out of range; allowed: 0 to 1"),
    ("seed: 1\n", "seed: -1\n", "seed", "seed: -1 is wrong; allowed: a whole number, 0 or more"),
    ("seed: 1\n", "seed: true\n", "seed", "seed: True is wrong"),
    ("seed: 1\n", "", "seed", "seed: None is wrong"),
    ("device: auto", "device: gpu", "runtime", "runtime.device: 'gpu' is unknown; allowed: auto, cpu, cuda, cuda:N"),
    ("device: auto", "device: cuda:x", "runtime", "runtime.device: 'cuda:x' is unknown"),
    ("threads: 1", "threads: 0", "runtime", "runtime.threads: 0 is out of range; allowed: 1 or more"),
    (
        "precision: float32",
        "precision: fp16",
        "runtime",
        "runtime.precision: 'fp16' is wrong; allowed: 'float32', 'tf32' or 'bf16'",
    ),
    (
        "deterministic: true",
        "deterministic: 1",
        "runtime",
        "runtime.deterministic: 1 is wrong; allowed: a valid boolean",
    ),
    (
        "name: mnist5k",
        "name: mnist6k",
        "data",
        "data.name: 'mnist6k' is unknown; allowed: mnist5k, sprites, breast_cancer, ",
    ),
    ("    mnist:\n", "    mnst:\n", "download", "download.mirrors: 'mnst' is an unknown data set; allowed: mnist5k,"),
    ("limit: null", "limit: 0", "prepare", "prepare.limit: 0 is out of range; allowed: 1 or more, null"),
    ("[gaussian 0.25", "[gausian 0.25", "corrupt", "corrupt.noises: 'gausian' is an unknown noise; allowed: gaussian,"),
    ("prepare:\n", "prepare: 3\nmodels2:\n", "prepare", "models2: unknown section (did you mean models?)"),
    ("  noises: [", "  - noises: [", "corrupt", "corrupt: [{'noises': ['gaussian 0.25'"),
    (
        VAE,
        "{hidden: [4], latent_dim: 2}",
        "models.vae",
        "models.vae: needs `family:`; allowed: closed_form, content_style,",
    ),
    (
        VAE,
        VAE.replace("vae", "vea"),
        "models.vae",
        "models.vae.family: 'vea': unknown family (did",
    ),
    (VAE, VAE.replace("vae", "base"), "models.vae", "models.vae.family: 'base': unknown family"),
    (
        VAE,
        VAE.replace("latent_dim", "latnet"),
        "models.vae",
        "models.vae.latnet: unknown key (did you mean latent_dim?)",
    ),
    (VAE, VAE.replace("}", ", beta: -1}"), "models.vae", "models.vae.beta: -1.0 is wrong; allowed: 0 or more"),
    (VAE, VAE.replace("[400]", "[]"), "models.vae", "models.vae.hidden: [] is wrong; allowed: one or more positive"),
    (VAE, VAE.replace("}", ", 1: 2, x: 3}"), "models.vae", "models.vae.1: unknown key"),
    (VAE, VAE.replace("}", ', "a\\nb": 3}'), "models.vae", "models.vae.a b: unknown key"),
    (VAE, VAE, "models.vea", "models.vea: unknown entry (did you mean vae?); allowed: "),
    ("\nstacks:\n", "\nstacks: []\nstack:\n", "seed", "stack: unknown section (did you mean stacks?)"),
    ("[100, 1000, all]", "[0]", "finetune", "finetune.labels: [0] is out of range; allowed: numbers above 0, all"),
    ("[100, 1000, all]", "[]", "finetune", "finetune.labels: [] is out of range; allowed: numbers above 0, all"),
    ("[100, 1000, all]", "[5, 5]", "finetune", "finetune.labels: [5, 5] names one twice; allowed: different budgets"),
    ("[100, 1000, all]", "[most]", "finetune", "finetune.labels.0"),
    ("{stack: stack_rbm_30}", "{stack: stack_rbm}", UNROLLED, f"{UNROLLED}.stack: 'stack_rbm': unknown stack (did you"),
    ("{stack: stack_rbm_30}", "{stak: x}", UNROLLED, f"{UNROLLED}.stak: unknown key (did you mean stack?); allowed:"),
    ("{stack: stack_rbm_30}", "{stack: 3}", UNROLLED, f"{UNROLLED}.stack: 3 is wrong; allowed: a valid string"),
    ("{stack: stack_rbm_30}", "stack_rbm_30", UNROLLED, f"{UNROLLED}: 'stack_rbm_30' is not a block of keys; allowed"),
]


@pytest.mark.parametrize(("old", "new", "section", "line"), WRONG, ids=[line.split(";")[0] for *_, line in WRONG])
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(write, old, new, section, line):
    write(old, new)
    assert wrong(section).startswith(line)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("max_epochs: ten", "train of vae.max_epochs: 'ten' is wrong; allowed: a valid integer"),
        ("max_epochs: 0", "train of vae.max_epochs: 0 is out of range; allowed: 1 or more"),
        ("lr: -1", "train of vae.lr: -1.0 is out of range"),
        ("noise: [masking]", "train of vae.noise: 'masking' is not a noise"),
        ("max_epoch: 5", "models.vae.max_epoch: unknown key (did you mean max_epochs?)"),
    ],
)
def test_a_wrong_override_is_named_before_any_training(write, override, line):
    write(VAE, VAE.replace("}", f", {override}}}"))
    with pytest.raises(params.ParamsError, match="^" + re.escape(f"params.yaml: {line}")) as caught:
        merged()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"seed: [1", "did not find expected|expected ',' or ']'"),
        (b"seed: 1\nseed: 2\n", 'found duplicate key "seed"'),
        (b"train: {lr: 1, lr: 2}\n", 'found duplicate key "lr"'),
        (b"seed: 1\n\tx: 2\n", "found"),
        (b"seed: !!python/name:os.system x\n", "could not determine a constructor"),
        (b"seed: 2001-99-99\n", "month must be in 1..12"),
        (b"seed: " + b"9" * 5000, "4300 digits"),
        (b"\xff\xfe\xfa", ""),
        (b"seed: *nothing\n", "undefined alias"),
    ],
)
def test_what_is_no_yaml_is_one_line(file, content, problem):
    file.write_bytes(content)
    line = wrong("seed")
    assert line.startswith("not readable as YAML: ")
    assert re.search(problem, line)
    assert "suppress" not in line


@pytest.mark.parametrize("content", ["", "[1, 2]", "text", "3"])
def test_a_file_without_sections_is_one_line(file, content):
    file.write_text(content)
    assert wrong("seed").endswith("allowed: a mapping of sections")


def test_what_stages_take_of_a_cluster_is_checked_elsewhere(write):
    write("\nsweeps:", '\nresources: {"train@*": {gpus: 1}}\nsweeps:')
    params.check_all()


def test_a_missing_file_says_where_to_run(file):
    file.unlink(missing_ok=True)
    assert wrong("seed").endswith("run from the project's root")


def test_a_missing_section_is_named(file):
    file.write_text("seed: 1\n")
    assert wrong("models.vae") == "models: missing section"
    assert wrong("train") == "train: missing section"


words = st.one_of(
    st.sampled_from(["relu", "linear", "adam", "masking 0.3", "conv 8 k3", "mnist5k", ""]), st.text(max_size=6)
)
keys = st.one_of(st.sampled_from([*TREE["train"], "family", "widths", "hidden"]), words)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(TEXT)), st.integers(0, 3), st.text("\n\t :,-[]{}'\"#&*!|>%@`a1.", max_size=3))
def test_a_slip_of_the_pen_is_harmless_or_one_line(file, at, gone, put):
    file.write_text(TEXT[:at] + put + TEXT[at + gone :])
    try:
        names = params.load("models")
        block, entry = params.load("train", "models.vae")
        params.load("seed", "runtime", "data", "download", "prepare", "corrupt", "pretrain", "finetune")
        params.merge("train", block, entry)
    except params.ParamsError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert "vae" in names
