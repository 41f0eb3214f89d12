"""What tutorials and papers claim about autoencoders, and the tests that decide each claim (see verdicts)."""

from __future__ import annotations

from dataclasses import dataclass

ALL_NOISES = "psnr/*"  # the mean over all test noises
EACH_NOISE = "psnr/"  # a comparison per test noise
EACH_BUDGET = "test_error/"  # a comparison per number of labels
FILTERS, PCA = "the best filters", "PCA"  # baselines that may take the place of an entry,
RAW, DETECTOR, CODEC = "raw values", "the best detector without a net", "the best codec"  # of uses


@dataclass(frozen=True)
class Pair:
    """The test that `first` is better than `second` by `metric`: names of entries or baselines.

    within: that they are alike instead, up to this share of the second. higher: that the first is higher, of a metric
    that has no better side. second_metric: of the second, if it is another one.
    """

    metric: str
    first: str
    second: str
    within: float = 0.0
    higher: bool = False
    second_metric: str = ""


@dataclass(frozen=True)
class Longer:
    """The test that the weights that `entry` kept denoise better than those after EARLY steps."""

    entry: str


EARLY = 500


@dataclass(frozen=True)
class Claim:
    """A claim, who makes it, the figure that shows it, and the tests that decide it.

    words: {ood} stands for the data set's OOD images.
    """

    words: str
    source: str
    figure: str
    tests: tuple[Pair | Longer, ...]


DEZEMING = "Dezeming 2021"
NOTES = "Autoencoder notes 2018"
PRINCIPLES = "Several AutoEncoder principles 2019"
HANDBOOK = "The Deep Learning Architect's Handbook"
DEEP = ("hinton_ae", "tied_ae", "hinton_ae_best", "deep_ae", "deep_ae_2d", "unrolled_rbm", "unrolled_ae")
SMALL = ("conv32", "vq_vae", "conv_ae")  # codes
DENOISING = ("dae_masking", "dae_swap", "table_dae", "dae")
CLAIMS = (
    Claim(
        "A deep net rebuilds better than PCA with as many numbers",
        "Hinton & Salakhutdinov 2006",
        "pca",
        tuple(Pair("sse", name, PCA) for name in DEEP),
    ),
    Claim(
        "At 2 numbers, a deep net rebuilds better than a shallow one",
        f"{NOTES}, 2.5",
        "codes",
        (Pair("sse", "deep_ae_2d", "ae_2d"), Pair("sse", "unrolled_rbm_2", "ae_2d")),
    ),
    Claim(
        "A linear autoencoder is PCA",
        "Baldi & Hornik 1989",
        "pca",
        (Pair("sse", "linear_ae", PCA, within=0.02),),
    ),
    Claim(
        "Tied weights rebuild as well as free ones",
        f"{PRINCIPLES}, 1",
        "reconstructions",
        (Pair("sse", "tied_ae", "hinton_ae", within=0.05),),
    ),
    Claim(
        "A deep net no longer needs to start from RBMs",
        "Martens 2010",
        "curves",
        (Pair("sse", "unrolled_random", "unrolled_rbm", within=0.05),),
    ),
    Claim(
        "Convolutions rebuild better than a dense net from as many numbers",
        "Learn deep learning with PyTorch",
        "quality",
        (Pair("sse", "conv32", "ae"),),
    ),
    Claim("ReLU rebuilds better than tanh", f"{DEZEMING}, 2.2", "curves", (Pair("sse", "conv", "conv_t1_tanh"),)),
    Claim(
        "More numbers in the code, a better picture",
        HANDBOOK,
        "capacity",
        (Pair("sse", "conv_bottleneck10", "conv_bottleneck4"),),
    ),
    Claim(
        "Trained with a noise, the same net removes it better",
        f"{NOTES}, 5.4",
        "denoising",
        (
            Pair("psnr/masking-0.25", "dae_masking", "dae_0"),
            Pair("psnr/salt_pepper-0.1", "dae_salt_pepper", "dae_0"),
            Pair("psnr/gaussian-0.5", "dae_gaussian", "deep_ae_2d"),
            Pair(ALL_NOISES, "conv_dae", "conv_ae"),
        ),
    ),
    Claim(
        "A learned denoiser beats classical filters on every noise",
        f"{DEZEMING}, 1.3",
        "denoising",
        (Pair(EACH_NOISE, "conv_dae", FILTERS),),
    ),
    Claim(
        "The longer a net has learned clean images, the better it removes noise that it never met",
        f"{DEZEMING}, 2.4",
        "noisy-epochs",
        tuple(map(Longer, ("conv", "conv_upsample", "ae"))),
    ),
    Claim(
        "Trained with noise, the same net rebuilds {ood} better",
        f"{NOTES}, 5.5",
        "noise-transfer",
        (
            Pair("ood_sse", "dae_masking", "dae_0"),
            Pair("ood_sse", "dae_gaussian", "deep_ae_2d"),
            Pair("ood_sse", "conv_dae", "conv_ae"),
        ),
    ),
    Claim(
        "Noise in training makes better codes",
        "Vincent et al. 2008",
        "filters",
        (
            Pair("probe_accuracy", "dae_masking", "dae_0"),
            Pair("probe_accuracy", "overcomplete_dae", "overcomplete_ae"),
        ),
    ),
    Claim(
        "A net wide enough to copy does; noise and weight decay stop it (error on {ood} over its own error)",
        f"{NOTES}, 1.4 and 5.5",
        "reconstructions",
        (
            Pair("ood_ratio", "overcomplete_dae", "overcomplete_ae", higher=True),
            Pair("ood_ratio", "ae_weight_decay", "overcomplete_ae", higher=True),
        ),
    ),
    Claim(
        "Weight decay and dropout make better codes of a net wide enough to copy",
        f"{NOTES}, 4.4 and 5.2",
        "reconstructions",
        (
            Pair("probe_accuracy", "ae_weight_decay", "overcomplete_ae"),
            Pair("probe_accuracy", "ae_dropout", "overcomplete_ae"),
        ),
    ),
    Claim(
        "Sparse codes tell classes apart better than dense ones",
        f"{PRINCIPLES}, 3",
        "units",
        (
            Pair("probe_accuracy", "sparse_kl", "dense_sigmoid"),
            Pair("probe_accuracy", "sparse_kl_patches", "dense_patches"),
        ),
    ),
    Claim(
        "Trained with the same noise, sparse units denoise better than dense ones, strokes above all",
        f"{PRINCIPLES}, 3, figures 13 and 14",
        "units",
        (
            Pair("psnr/salt-0.1", "sparse_noisy", "dense_noisy"),
            Pair("psnr_foreground/salt-0.1", "sparse_noisy", "dense_noisy"),
        ),
    ),
    Claim(
        "An L1 penalty on activations adds little to a deep net",
        f"{NOTES}, 4.6",
        "curves",
        (Pair("sse", "sparse_l1", "deep_ae_2d", within=0.05),),
    ),
    Claim(
        "Without the KL term a variational net makes worse samples",
        f"{PRINCIPLES}, 4",
        "samples",
        (Pair("frechet_distance", "vae", "vae_no_kl"),),
    ),
    Claim(
        "Codes from N(0, I) decode to worse images through a plain net than through a variational one",
        "Learn deep learning with PyTorch",
        "samples",
        (Pair("frechet_distance", "vae", "ae"),),
    ),
    Claim(
        "So do codes from a gaussian that is fitted to the plain net's",
        "Ghosh et al. 2020",
        "samples",
        (Pair("frechet_distance", "vae", "ae", second_metric="fitted_frechet_distance"),),
    ),
    Claim(
        "Features of a denoising net serve logistic regression better than raw values, given 100 labels",
        "Vincent et al. 2010; Jahrer 2017",
        "learners",
        tuple(Pair("learner_error/100/logistic", name, RAW) for name in DENOISING),
    ),
    Claim(
        "Autoencoders find anomalies better than PCA, nearest neighbours and an isolation forest",
        "Sakurada & Yairi 2014",
        "anomalies",
        tuple(Pair("auroc", name, DETECTOR) for name in ("ae", "deep_ae", "vae", "conv_ae", "conv1d", "lstm")),
    ),
    Claim(
        "What hidden layers make of an item and of its reconstruction tells more than the error (RaPP)",
        "Kim et al. 2020",
        "anomalies",
        tuple(
            Pair(f"auroc/{score}", name, name, second_metric="auroc/error")
            for score in ("sap", "nap")
            for name in ("deep_ae", "hinton_ae", "vae", "table_dae")
        ),
    ),
    Claim(
        "At low quality, learned codes need fewer bytes than JPEG and WebP",
        "Theis et al. 2017",
        "compression",
        tuple(
            Pair(f"bytes_at/{psnr}", name, CODEC) for psnr in (20, 22, 24) for name in ("conv32", "vq_vae", "conv_ae")
        ),
    ),
    Claim(
        "Pretraining helps",
        f"{DEZEMING}, 1.2; Hinton et al. 2006",
        "labels",
        (Pair(EACH_BUDGET, "stack_ae", "stack_random"), Pair(EACH_BUDGET, "stack_rbm", "stack_random")),
    ),
    Claim(
        "Pretraining with noise helps more",
        "Vincent et al. 2008",
        "labels",
        (Pair(EACH_BUDGET, "stack_dae", "stack_ae"),),
    ),
    Claim(
        "Max pooling learns better convolutional features than average pooling",
        "Masci et al. 2011",
        "labels",
        (Pair(EACH_BUDGET, "stack_conv", "stack_conv_average"),),
    ),
)
