"""The questions that models compete in: reconstruction, denoising, codes, uses, generation, classification."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from aelab.report import uses
from aelab.report.results import HIDING, SIZES, Item, Results, spoken

MIDDLE = 32  # the latent dimension of encoder@champion


@dataclass(frozen=True)
class Task:
    """A task that models compete in.

    values: one per replicate of an item, from its metrics on test or on validation images; empty if it does not apply.
    allows: which items may be selected. baselines: those of the selected item with their test values, the best first.
    """

    name: str  # of the registered model; without aliases it is not registered
    aliases: tuple[str, ...]
    question: str
    words: str  # what it is the best at
    metric: str
    values: Callable[[dict[str, list[float]]], Sequence[float]]
    allows: Callable[[Item], bool]
    baselines: Callable[[Item], dict[str, float]]


def tasks(results: Results) -> list[Task]:
    """Reconstruction and encoding with several maximum latent dimensions, denoising, uses, generation,
    classification."""
    every = lambda _: True  # noqa: E731
    n = len(results.noises)
    denoisers = [
        Task(
            "denoiser",
            ("champion",),
            f"Which removes noise best, over all {n} noises?",
            f"removes noise, mean over {n} noises",
            "psnr",
            results.over_noises,
            every,
            lambda _: {"the best filter of each noise": results.filtered},
        ),
        *(_denoiser(results, noise) for noise in results.noises),
    ]
    wide = results.kind == "table"  # where codes of more numbers than a row has are wanted
    few = f"with {results.baselines['sizes']['labels']} labels a class"
    encoders = [
        Task(
            "few-labels",
            (),
            f"Which has the best codes {few}?",
            f"codes {few}, trained without labels",
            "few_labels_accuracy",
            partial(_values, "few_labels_accuracy"),
            lambda item: not item.uses_labels and (wide or item.mean("latent_dim") < results.pixels),
            lambda _: _probes(results, results.pixels - 1, "few_labels_accuracy"),
        ),
        *(_encoder(results, size) for size in sizes(results)),
    ]
    generator = Task(
        "generator",
        ("champion",),
        "Which makes the best new images?",
        "generates images from its prior",
        "frechet_distance",
        partial(_values, "frechet_distance"),
        lambda item: item.about.get("samples") == "prior",
        lambda _: results.gaussian,
    )
    uses = [*_anomalies(results), *_search(results), *_compressors(results), *_features(results)]
    rebuilders = [_rebuilder(results, size) for size in sizes(results)]
    classifiers = [_classifier(results, budget, labels) for budget, labels in results.budgets.items()]
    return [*rebuilders, *denoisers, *encoders, *uses, generator, *classifiers]


def sizes(results: Results) -> list[int]:
    """The maximum latent dimensions of the encoding tasks, always below the number of pixels."""
    most = results.pixels - 1
    return sorted({min(size, most) for size in SIZES} | {most})


def _values(metric: str, metrics: dict[str, list[float]]) -> Sequence[float]:
    return metrics.get(metric, [])


def _rebuilder(results: Results, size: int) -> Task:
    return Task(
        "rebuilder",
        (),
        f"Which rebuilds best from up to {size:,} numbers?",
        f"rebuilds from up to {size:,} numbers",
        "sse",
        partial(_values, "sse"),
        lambda item: item.mean("latent_dim") <= size,
        lambda item: {f"PCA {item.mean('latent_dim'):.0f}": results.pca(item)},
    )


def _denoiser(results: Results, noise: str) -> Task:
    name, psnr = results.best_filter(noise)
    hides = results.kind != "image" and noise.startswith(HIDING)
    return Task(
        f"denoiser-{noise}",
        (),
        f"Which fills best what {spoken(noise)} hides?" if hides else f"Which removes {spoken(noise)} best?",
        f"removes {spoken(noise)}",
        f"psnr/{noise}",
        partial(_values, f"psnr/{noise}"),
        lambda _: True,
        lambda _: {spoken(name): psnr},
    )


def _encoder(results: Results, size: int) -> Task:
    middle = size == min(MIDDLE, results.pixels - 1)
    return Task(
        "encoder",
        (f"up-to-{size}", *(["champion"] if middle else [])),
        f"Which has the best codes of up to {size:,} numbers, with all labels?",
        f"codes of up to {size:,} latent dimensions, trained without labels",
        "probe_accuracy",
        partial(_values, "probe_accuracy"),
        lambda item: not item.uses_labels and item.mean("latent_dim") <= size,
        lambda _: _probes(results, size, "probe_accuracy"),
    )


def _probes(results: Results, size: int, metric: str) -> dict[str, float]:
    """The best untrained codes of up to `size` numbers, and raw pixels."""
    probes = {who: measured[metric] for who, measured in results.baselines["probes"].items()}
    raw = probes.pop("raw pixels")
    least = results.baselines["sizes"]["latent_dim"]
    best = max(probes, key=probes.__getitem__, default=None) if least <= size else None
    return ({best: probes[best]} if best else {}) | {f"raw pixels ({results.pixels:,} numbers)": raw}


def _anomalies(results: Results) -> list[Task]:
    found = results.baselines.get("anomaly")
    if not found:
        return []
    best = max(found, key=lambda each: found[each]["validation"]["auroc"])
    return [
        Task(
            "anomalies",
            (),
            f"Which finds anomalies best ({uses.anomalies_are(results)})?",
            "finds anomalies",
            "auroc",
            partial(_values, "auroc"),
            lambda item: not item.uses_labels,
            lambda _: {best: found[best]["auroc"]},
        )
    ]


def _search(results: Results) -> list[Task]:
    metric, probes = "precision_at_10", results.baselines["probes"]
    return [
        Task(
            "search",
            (),
            "Which finds images of the same class best?",
            "finds images of the same class",
            metric,
            partial(_values, metric),
            lambda item: not item.uses_labels,
            lambda _: {who: probes[who][metric] for who in probes if not who.startswith("random")},
        )
    ]


def _compressors(results: Results) -> list[Task]:
    result = []
    for metric in uses.targets(results):
        found = dict(uses.cheapest(results, metric, pca) for pca in (False, True))
        quality = f"{metric.partition('/')[2]} dB"
        result.append(
            Task(
                f"compressor-{metric.partition('/')[2]}",
                (),
                f"Which needs the fewest bytes at {quality}?",
                f"compresses to {quality}",
                metric,
                partial(_values, metric),
                lambda item: not item.uses_labels,
                lambda _, found=found: {who: size for who, size in found.items() if who},  # type: ignore[misc]
            )
        )
    return result


def _features(results: Results) -> list[Task]:
    known = results.baselines.get("learners", {}).get("test", {})
    return [
        Task(
            f"features-{n}",
            (),
            f"Which gives a supervised learner with {n:,} labels the best features?",
            f"features for a learner with {n:,} labels",
            f"learner_error/{n}",
            partial(_values, f"learner_error/{n}"),
            lambda item: not item.uses_labels,
            lambda _, n=n: {"raw values and PCA": known[f"learner_error/{n}"]},  # type: ignore[misc]
        )
        for n in uses.budgets(results)
    ]


def _classifier(results: Results, budget: str, labels: int) -> Task:
    def control(item: Item) -> dict[str, float]:
        other = results.control(item)
        return {other.name: other.mean(f"test_error/{budget}")} if other and other is not item else {}

    return Task(
        f"classifier-{budget}",
        (),
        f"Which pretraining classifies best with {labels:,} labels{' (all)' * (budget == 'all')}?",
        f"classifies with {labels:,} labels",
        f"test_error/{budget}",
        lambda metrics: metrics.get(f"test_error/{budget}") or metrics.get(f"error/{budget}", []),
        lambda _: True,
        control,
    )
