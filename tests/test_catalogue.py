"""What every entry of the catalogue is, written down a second time by hand: a changed number needs a changed row."""

import pytest

from aelab.core import params

# What holds where a row says nothing, of every knob and setting that an entry has.
UNSAID = {
    "activation": "relu",
    "code": "linear",
    "output": "sigmoid",
    "loss": "bce",
    "reduction": "sum",
    "decoder": (),  # the encoder's mirror
    "tied": False,
    "dropout": 0,
    "patch": None,
    "emphasis": None,
    "beta": 1,
    "alpha": 1,
    "memory": 0,
    "optimizer": "adam",
    "lr": 1e-3,
    "schedule": "constant",
    "weight_decay": 0,
    "batch": 128,
    "epochs": 10,
    "patience": None,
    "replicates": 3,
    "noise": (),
    "augment": (),
}

MSE_SUM = {"loss": "mse"}
MSE = {"loss": "mse", "reduction": "mean"}
ONCE = {"replicates": 1}  # solved, nothing is drawn
ONE_CYCLE = {"schedule": "one_cycle"}
OVERCOMPLETE = {"widths": (1000,), "code": "relu"}
STACKED = {"widths": (128, 64, 10, 2), "output": "tanh", "batch": 64, "epochs": 20} | MSE
HINTON = {"widths": (1000, 500, 250, 30)}
DA = {"widths": (500,), "code": "sigmoid", "tied": True}
KL = {"widths": (100,), "code": "sigmoid", "penalty": "kl", "units": "mean", "rho": 0.01, "epochs": 20} | MSE
PATCHES = KL | {"patch": 10, "batch": 32, "epochs": 15}
T1_ENCODER = ("conv 16 k3 s3 p1 relu", "maxpool 2", "conv 8 k3 p1 relu", "maxpool 2")
T1_DECODER = ("convt 16 k3 s2 relu", "convt 8 k5 s3 p1 relu", "convt 1 k2 s2 p1")
T1_RELU = (*T1_DECODER[:2], "convt 1 k2 s2 p1 relu")
T3_ENCODER = ("conv 16 k3 s3 p1 relu", "maxpool 2", "conv 8 k3 s2 p1 relu", "maxpool 2 s1")
T4_DECODER = ("convt 16 k5 s2 relu", "convt 4 k5 s2 relu", "convt 1 k4 s2")
T4 = {"decoder": T4_DECODER, "lr": 3e-3, "batch": 32, "epochs": 20} | MSE  # published lr 0.02: every seed died
BURDA = {"hidden": (200, 200), "latent": 50, "activation": "tanh", "lr": 2e-3, "batch": 64, "epochs": 250} | ONE_CYCLE
VAE = {"hidden": (400,), "latent": 20}
JANG = {"hidden": (400,), "categories": 10, "cooling": 1e-3, "coolest": 0.5}
MIXED = (  # all noises of the fixed noisy sets
    *("gaussian 0.25", "gaussian 0.5", "masking 0.25", "masking 0.5"),
    *("salt_pepper 0.1", "salt_pepper 0.25", "salt 0.1", "impulse 0.1"),
)


def same(maps, *others):
    """A 3x3 convolution that keeps the size, of so many maps, with each of these pooled or repeated by 2 after it."""
    return tuple(word for n in (maps, *others) for word in (f"conv {n} k3 p1 relu", "maxpool 2"))


def grown(maps, *others):
    """The way back of `same`."""
    return (*(word.replace("maxpool", "up") for word in same(maps, *others)), "conv 1 k3 p1")


MODELS = {
    "mean": ("linear", {"components": 0, "directions": "pca"} | ONCE),
    "pca": ("linear", {"components": 32, "directions": "pca"} | ONCE),
    "lda": ("linear", {"components": 9, "directions": "lda"} | ONCE),
    "linear_ae": ("dense", {"widths": (32,), "output": "linear", "lr": 4e-3, "epochs": 30} | MSE_SUM | ONE_CYCLE),
    "ae_2d": ("dense", {"widths": (2,), "code": "relu", "output": "relu"} | MSE),
    "ae": ("dense", {"widths": (32,), "code": "relu"}),
    "overcomplete_ae": ("dense", OVERCOMPLETE),
    "ae_dropout": ("dense", OVERCOMPLETE | {"dropout": 0.5}),
    "ae_weight_decay": ("dense", OVERCOMPLETE | {"weight_decay": 1e-2}),
    "deep_ae": ("dense", {"widths": (128, 64, 12, 3), "output": "tanh", "epochs": 20} | MSE_SUM),
    "stacked_ae": ("dense", STACKED),
    "hinton_ae": ("dense", HINTON),
    "hinton_ae_best": (
        "dense",
        HINTON
        | {"activation": "silu", "optimizer": "adamw", "weight_decay": 0.05, "lr": 2e-3, "epochs": 60}
        | {"augment": ("rotate 7", "scale 0.05", "shift 0.7")}
        | MSE_SUM
        | ONE_CYCLE,
    ),
    "tied_ae": ("dense", HINTON | {"tied": True}),
    "sparse_l1": ("sparse", STACKED | {"penalty": "l1", "weight": 1e-5}),
    "sparse_kl": ("sparse", KL | {"weight": 5}),
    "dense_sigmoid": ("sparse", KL | {"weight": 0}),
    "sparse_kl_ufldl": (  # beta 3, decay 3e-3 and half the squared error, times 2
        "sparse",
        {"widths": (196,), "code": "sigmoid", "penalty": "kl", "units": "sum", "weight": 6, "rho": 0.1}
        | {"weight_decay": 6e-3}
        | MSE_SUM,
    ),
    "sparse_kl_patches": ("sparse", PATCHES | {"weight": 5}),
    "dense_patches": ("sparse", PATCHES | {"weight": 0}),
    "sparse_tanh": ("sparse", KL | {"code": "tanh", "weight": 5}),
    "k_sparse": ("k_sparse", {"widths": (1000,), "tied": True, "output": "linear", "k": 25} | MSE_SUM),
    "dae_gaussian": ("dense", STACKED | {"noise": ("gaussian 0.5",)}),
    "dae_0": ("dense", DA),
    "dae_masking": ("dense", DA | {"noise": ("masking 0.3",)}),
    "dae_salt_pepper": ("dense", DA | {"noise": ("salt_pepper 0.1",)}),
    "contractive": ("contractive", {"widths": (1000,), "code": "sigmoid", "tied": True, "weight": 0.1}),
    "conv": ("conv", {"encoder": T1_ENCODER, "decoder": T1_RELU, "output": "linear"} | MSE_SUM),
    "conv_t1_tanh": ("conv", {"encoder": T1_ENCODER, "decoder": T1_DECODER, "output": "tanh"} | MSE_SUM),
    "conv_tanh": (
        "conv",
        {"encoder": T3_ENCODER, "decoder": T1_DECODER, "output": "tanh", "weight_decay": 1e-5}
        | {"lr": 3e-3, "batch": 32, "epochs": 18}
        | MSE_SUM,
    ),
    "conv_upsample": ("conv", {"encoder": same(16, 8), "decoder": grown(8, 16)}),
    "conv_bottleneck4": ("conv", T4 | {"encoder": ("conv 16 k4 relu", "maxpool 2", "conv 4 k4 relu", "avgpool 9")}),
    "conv_bottleneck10": ("conv", T4 | {"encoder": ("conv 16 k4 relu", "maxpool 2", "conv 10 k4 relu", "avgpool 9")}),
    "conv_unpool": ("conv_unpool", {"channels": (16, 8), "strides": (3, 1), "pool": 2, "output": "linear"} | MSE_SUM),
    "conv_dae": (
        "conv",
        {"encoder": same(32, 32), "decoder": grown(32, 32), "noise": MIXED, "epochs": 8},
    ),
    "vae": ("variational", VAE),
    "beta_vae": ("variational", VAE | {"beta": 4}),
    "vae_no_kl": ("variational", VAE | {"beta": 0}),
    "conv_vae": ("convolutional_variational", {"channels": (32, 64), "latent": 20}),
    "vae_burda": ("importance", BURDA | {"draws": 1}),
    "iwae_burda": ("importance", BURDA | {"draws": 5}),
    "cvae": ("conditional", VAE),
    "vq_vae": (
        "vector_quantised",
        {"channels": (32, 64), "depth": 16, "codes": 128, "commitment": 0.25, "decay": 0.99},
    ),
    "categorical": ("categorical", JANG | {"variables": 1}),
    "categorical_20x10": ("categorical", JANG | {"variables": 20}),
    "stochastic": ("stochastic", {"units": 200}),
    "lstm": ("recurrent", {"units": 128, "predicted": 0}),
    "lstm_predict": ("recurrent", {"units": 128, "predicted": 14}),
    "split": (
        "split",
        {"hidden": (400,), "content": 16, "style": 16, "classify": 20, "blind": 20, "alike": 30, "adversary": 64},
    ),
    "masked": (
        "masked",
        {"patch": 4, "hidden": 0.75, "width": 64, "depth": 2, "heads": 4, "decoder_width": 32, "decoder_depth": 1}
        | {"epochs": 20},
    ),
    "rbm": ("rbm", {"units": 500, "k": 5, "persistent": True, "epochs": 15}),
}

DENSE = {"widths": (1000, 1000, 500), "code": "sigmoid", "weight": 0, "k": 1}  # and ten classes on top
CONV = {"channels": (8, 16), "kernel": 5, "pool": "max"}
MASKING = {"noise": ("masking 0.25",)}
RBM = {"layer": "rbm", "lr": 5e-3, "weight_decay": 2e-4}
STACKS = {
    "stack_random": ("stack", DENSE | {"layer": "random"}),
    "stack_ae": ("stack", DENSE | {"layer": "autoencoder"}),
    "stack_dae": ("stack", DENSE | MASKING | {"layer": "autoencoder"}),
    "stack_dae_dropout": ("stack", DENSE | MASKING | {"layer": "autoencoder", "dropout": 0.2}),
    "stack_rbm": ("stack", DENSE | RBM),
    "stack_cae": ("stack", DENSE | {"layer": "contractive", "weight": 0.1}),
    "stack_sparse": ("stack", DENSE | {"layer": "sparse", "weight": 0.3, "rho": 0.1}),
    "stack_conv": ("conv_stack", CONV | {"layer": "autoencoder"}),
    "stack_conv_average": ("conv_stack", CONV | {"layer": "autoencoder", "pool": "average"}),
    "stack_conv_random": ("conv_stack", CONV | {"layer": "random"}),
}

NARROW = {"widths": (1000, 500, 250, 30), "code": "linear", "weight": 0, "k": 1}
NARROW_STACKS = {
    "stack_rbm_30": ("stack", NARROW | RBM),
    "stack_ae_30": ("stack", NARROW | {"layer": "autoencoder", "lr": 5e-3}),
    "stack_random_30": ("stack", NARROW | {"layer": "random"}),
    "stack_rbm_2": ("stack", NARROW | RBM | {"widths": (1000, 500, 250, 2)}),
}

UNROLLED = {
    "unrolled_rbm": "stack_rbm_30",
    "unrolled_ae": "stack_ae_30",
    "unrolled_random": "stack_random_30",
    "unrolled_rbm_2": "stack_rbm_2",
}

GROUPS = {"models": ("train", MODELS), "stacks": ("pretrain", STACKS), "narrow_stacks": ("pretrain", NARROW_STACKS)}
ROWS = [(group, name) for group, (_, rows) in GROUPS.items() for name in rows]


@pytest.mark.parametrize(("group", "name"), ROWS, ids=[name for _, name in ROWS])
def test_an_entry_is_what_its_row_says(group, name):
    section, rows = GROUPS[group]
    family, said = rows[name]
    block, entry = params.load(section, f"{group}.{name}")
    has = vars(params.merge(section, block, entry, "mnist")) | entry.config
    expected = {key: value for key, value in UNSAID.items() if key in has} | said
    assert entry.family == family
    assert {key: has.get(key, "no such key") for key in expected} == expected


@pytest.mark.parametrize("group", GROUPS)
def test_every_entry_has_a_row(group):
    assert set(GROUPS[group][1]) == set(params.load(group))


def test_unrolled_entries_start_from_their_stacks():
    assert {name: params.load(f"unrolled.{name}").stack for name in params.load("unrolled")} == UNROLLED


@pytest.mark.parametrize(("section", "said"), [("finetune", {"epochs": 20} | ONE_CYCLE), ("unroll", {"epochs": 20})])
def test_whole_stacks_learn_as_their_block_says(section, said):
    block = vars(params.load(section))
    expected = {key: value for key, value in UNSAID.items() if key in block} | said
    assert {key: block[key] for key in expected} == expected


def test_labels_come_in_three_budgets():
    assert params.load("finetune").labels == (100, 1000, "all")
