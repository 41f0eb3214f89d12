"""The section of uses, its answers and figures: numbers that can be worked out by hand, ranks as scikit-learn has."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score
from test_results import SETTINGS, TEST, made_up

from aelab.report import claims, markdown, table, uses, verdicts
from aelab.report.best_models import best_models
from aelab.report.claims import Pair
from aelab.report.figures import catalogue
from aelab.report.figures import uses as figures
from aelab.report.formatting import title
from aelab.report.html import page
from aelab.report.html.blocks import Block, blocks
from aelab.report.html.rows import baselines
from aelab.report.one_class import groups, section
from aelab.report.results import Item
from aelab.report.statistics import Ranking, crossed, interval

ANOMALIES = 40


def scores(shift: float, seeds: int, seed: int) -> np.ndarray:
    """[seeds, TEST + ANOMALIES]: anomalies higher by `shift`."""
    values = np.random.default_rng(seed).normal(size=(seeds, TEST + ANOMALIES))
    values[:, TEST:] += shift
    return values.astype(np.float32)


def wrong(share: float, seeds: int, draws: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((seeds, draws, TEST)) < share


def used(kind: str = "image"):
    """made_up(), with uses of "two" (good at all) and of the PCA entry (bad)."""
    results = made_up()
    rng = np.random.default_rng(0)
    items = dict(results.items)
    for name, shift, error, size, seeds in (("two", 3.0, 0.1, 20.0, 2), ("pca", 0.0, 0.4, 200.0, 1)):
        found, mistakes = scores(shift, seeds, seeds), wrong(error, seeds, 3, seeds)
        auroc = [roc_auc_score([0] * TEST + [1] * ANOMALIES, row) for row in found]
        near = rng.random((seeds, TEST)) * (1 - error)
        metrics = {"auroc": auroc, "auroc/error": auroc, "auroc/sap": [0.4] * seeds, "false_alarms": [0.02] * seeds}
        metrics |= {"average_precision": [0.7] * seeds, "precision_at_10": near.mean(1).tolist()}
        metrics |= {"mean_average_precision": [0.6] * seeds, "bytes_at/20": [size] * seeds}
        metrics |= {"bytes_at/30": [math.nan] * seeds}
        errors = mistakes.mean((1, 2)).tolist()
        metrics |= dict.fromkeys(("learner_error/100", "learner_error/100/logistic/code"), errors)
        metrics |= {"learner_error/100/mlp/layers": [0.45] * seeds}
        item = items[name]
        about = item.about | {"metrics": item.metrics | metrics, "validation": item.validation | metrics}
        per_image = {"anomaly": found, "anomaly/error": found, "precision_at_10": near}
        per_image |= dict.fromkeys(("learner_error/100", "learner_error/100/logistic/code"), mistakes)
        pixels = rng.integers(0, 256, (8, 8, 8), dtype=np.uint8)
        arrays = {
            "most_anomalous/x": pixels,
            "most_anomalous/rebuilt": pixels,
            "most_anomalous/errors": rng.random((8, 8, 8)),
        }
        arrays |= {"most_anomalous/truth": np.array([1, 1, 0, 1, 0, 1, 1, 1]), "most_anomalous/score": np.array(1)}
        arrays |= {
            "near/x": rng.integers(0, 256, (6, 8, 8, 8), dtype=np.uint8),
            "near/labels": np.tile(range(8), (6, 1)),
        }
        arrays |= {"rate/test": np.array([[size, 60, 22], [size / 2, 40, 18.0]])}
        items[name] = dataclasses.replace(item, about=about, per_image=per_image, arrays=item.arrays | arrays)
    detectors = {"PCA 4 error": 1.0, "5 nearest neighbours": 0.8, "isolation forest": 0.2}
    pictures = {f"anomaly/{who}": scores(shift, 1, 9)[0] for who, shift in detectors.items()}
    area = {who: float(roc_auc_score([0] * TEST + [1] * ANOMALIES, pictures[f"anomaly/{who}"])) for who in detectors}
    learned = {f"learner_error/100/{each}/{on}": 0.3 for each in ("logistic", "mlp") for on in ("raw", "pca")}
    pictures |= {name: wrong(0.3, 1, 3, 7)[0].astype(np.uint8) for name in (*learned, "learner_error/100")}
    pictures |= {f"precision_at_10/{who}": np.full(TEST, 0.4) for who in ("raw pixels", "PCA 4")}
    pictures |= {f"{who}/near/x": arrays["near/x"] for who in ("raw values", "PCA 4")}
    pictures |= {f"{who}/near/labels": arrays["near/labels"] for who in ("raw values", "PCA 4")}
    pictures |= {"near/queries": pixels[:6], "near/truth": np.arange(6)}
    probes = {
        who: results.baselines["probes"]["raw pixels"] | {"precision_at_10": 0.4} for who in ("raw pixels", "PCA 4")
    }
    probes = {who: values | {"mean_average_precision": 0.3} for who, values in probes.items()}
    known = results.baselines | {
        "probes": probes,
        "anomaly": {
            who: {"auroc": area[who], "average_precision": 0.5, "validation": {"auroc": area[who]}} for who in detectors
        },
        "learners": {"test": learned | {"learner_error/100": 0.3}, "validation": learned},
        "compression": {
            "JPEG, one sheet": {
                "points": [[50, None, 25.0], [30, None, 19.0]],
                "bytes_at/20": 40.0,
                "bytes_at/30": math.nan,
            },
            "WebP, one sheet": {"points": [[45, None, 24.0]], "bytes_at/20": 35.0, "bytes_at/30": math.nan},
            "PCA 4": {"points": [[9, 30, 15.0]], "bytes_at/20": math.nan, "bytes_at/30": math.nan},
        },
    }
    for number, rows in enumerate(items["two"].about["history"][0]):
        rows["validation"]["accuracy"] = 0.7 + 0.1 * number
        rows["train"] |= {"last_batch": 9.0 - number, "between_batches": 0.5}
    pictures |= results.pictures
    return dataclasses.replace(results, items=items, baselines=known, pictures=pictures, one_class=one_class())


def one_class() -> list[Item]:
    """ "net", trained for two classes and without them, and "small", trained for one of them."""
    aurocs = {"net_one_0": 0.9, "net_one_7": 0.8, "net_nine_0": 0.6, "net_nine_7": 0.7, "small_7": 0.5}
    result = []
    for name, auroc in aurocs.items():
        alone = name[-1]
        normal = [str(i) for i in range(10) if (str(i) == alone) != ("nine" in name)]
        found = {"auroc/error": [auroc], "auroc/sap": [auroc - 0.1]}
        about = {"family": "dense", "config": {"widths": [2 if "net" in name else 1]}, "normal": normal, "noise": []}
        about |= {"metrics": found, "validation": found, "kind": "autoencoder", "history": [[]]}
        result.append(Item(name, about, {}))
    return result


def test_one_class_against_all_others_by_net():
    results = used()
    nets = {group.name: group for group in groups(results)}
    assert list(nets) == ["net_one", "net_nine", "small_7"]
    assert nets["net_one"].alone
    assert not nets["net_nine"].alone
    assert nets["net_one"].mean("error") == pytest.approx(0.85)
    assert nets["net_nine"].best == "error"
    assert list(nets["net_nine"].items) == ["0", "7"]  # the class left out
    text = "\n".join(section(results))
    assert "| net_one | one class | 2 | **0.850** | 0.750 |" in text
    assert "| 7 | 0.800 | 0.700 | 0.500 |" in text
    assert section(dataclasses.replace(results, one_class=[])) == []
    assert "One class against all others" in page.page(results, {}, Path(), {})
    assert "net_one_0" not in table.csv(table.frame(results))  # they compete with no others


@pytest.fixture(scope="module")
def results():
    return used()


def test_areas_are_those_of_scikit_learn_and_their_intervals_of_delong():
    """The variance by DeLong et al. 1988 for one ranking; an interval that holds what it should."""
    found, truth = scores(1.0, 3, 0), [0] * TEST + [1] * ANOMALIES
    ranking = Ranking.of(found, TEST)
    assert ranking.area().mean == pytest.approx(np.mean([roc_auc_score(truth, row) for row in found]))
    normal, anomalous = found[0, :TEST], found[0, TEST:]
    above = (anomalous[:, None] > normal) + 0.5 * (anomalous[:, None] == normal)
    expected = above.mean(0).var(ddof=1) / TEST + above.mean(1).var(ddof=1) / ANOMALIES
    alone = Ranking.of(found[0], TEST).area(trained=False)
    assert alone.error**2 == pytest.approx(expected)
    assert math.isnan(interval(Ranking.of(found[0], TEST).area()).margin), "one seed does not say how far seeds differ"
    inside = 0
    expected = 0.7602  # P(N(1, 1) > N(0, 1))
    for seed in range(200):
        shown = interval(Ranking.of(scores(1.0, 1, seed)[0], TEST).area(trained=False))
        inside += shown.interval[0] < expected < shown.interval[1]
    assert 180 <= inside <= 198


def test_a_difference_of_areas_is_paired():
    same = Ranking.of(scores(1.0, 1, 0)[0], TEST)
    nothing = (same - same).area(trained=False)
    assert nothing.mean == 0 == nothing.error


def test_crossed_axes_are_sources_of_variance():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 1, 1)) + rng.normal(size=(1, 3, 1)) + rng.normal(size=(1, 1, 50))
    found = crossed(values)
    assert found.mean == pytest.approx(values.mean())
    by_axis = [
        values.mean((1, 2)).var(ddof=1) / 4,
        values.mean((0, 2)).var(ddof=1) / 3,
        values.mean((0, 1)).var(ddof=1) / 50,
    ]
    assert [v for v, _ in found.variances] == pytest.approx(by_axis)
    assert [df for _, df in found.variances] == [3, 2, 49]


def test_every_use_has_a_table_with_a_verdict(results):
    text = "\n".join(uses.section(results))
    assert "anomalies: made-up clothes" in text
    lines = {line.split(" | ")[0].strip("| *²"): line for line in text.splitlines() if line.startswith("|")}
    rows = [line for line in text.splitlines() if line.startswith("| two")]
    assert "✓ +" in rows[0]
    assert "reconstruction error" in rows[0], "the score that is best on validation, not sap"
    assert "✗ -" in next(line for line in text.splitlines() if line.startswith("| *pca*"))
    assert "20.0 ± 0.0** ✓" in lines["two"] or "**20.0 ± 0.0** ✓" in text
    parameters = results.items["two"].mean("parameters")
    assert f"{float(f'{4 * parameters / 15:.2g}'):,.0f} at 20 dB" in text, "learned bytes over saved bytes"
    assert "| *pca* | 200.0 | 60 | 4,938 | never |" in text
    assert "30 dB" not in text, "nobody reaches it"
    assert "#### 100 labels" in text
    assert uses.section(made_up()) == []
    assert "## Uses" in markdown.markdown(results)


def test_the_page_has_the_same_section(results, tmp_path):
    parts = uses.section(results)
    found = list(blocks(parts))
    assert [block.level for block in found[:3]] == [2, 0, 3]
    tables = [block for block in found if block.rows]
    assert len(tables) == sum(part.startswith("|") for part in parts)
    assert all(len(row) == len(table.head) for table in tables for row in table.rows)
    assert next(blocks(["a **b** and *c*"])) == Block([("", "a "), ("b", "b"), ("", " and "), ("i", "c")])
    text = page.page(results, {}, tmp_path, {})
    assert '<h2 id="uses-title">Uses</h2>' in text
    assert "<b>20.0 ± 0.0</b> ✓" in text
    assert '<section id="uses"' not in page.page(made_up(), {}, tmp_path, {})


def test_the_best_are_chosen_and_baselines_named(results):
    answers = {best.task.name: best for best in best_models(results)}
    assert answers["anomalies"].item.name == "two"
    assert answers["anomalies"].baselines.startswith("PCA 4 error 0.")
    assert answers["search"].baselines == "raw pixels 40.0, PCA 4 40.0"
    assert answers["compressor-20"].baselines == "WebP, one sheet 35.0"
    assert "compressor-30" not in answers
    assert answers["features-100"].baselines == "raw values and PCA 30.0"


def test_claims_about_uses_are_decided_on_the_same_items(results):
    """A detector's rank is paired; a learner's mistakes are those of the same draws and images."""
    pairs = {
        "holds": Pair("auroc", "two", claims.DETECTOR),
        "does not hold": Pair("learner_error/100/logistic", "pca", claims.RAW),
    }
    for outcome, pair in pairs.items():
        found = verdicts.compare(results, pair)
        assert found is not None
        assert found.outcome == outcome, found
    fewer = verdicts.compare(results, Pair("bytes_at/20", "two", claims.CODEC))
    assert fewer is not None
    assert fewer.text.startswith("✓ two 20.0 against WebP, one sheet 35.0, bytes, at 20 dB ↓: -15.0")
    assert verdicts.compare(results, Pair("bytes_at/30", "two", claims.CODEC)) is None, "it does not reach 30 dB"
    other = verdicts.compare(results, Pair("auroc/error", "two", "two", second_metric="auroc/error"))
    assert other is not None
    assert other.outcome == "not decided", "the same ranks"
    assert verdicts.compare(made_up(), pairs["holds"]) is None


OF_CLASSES = ("probe", "knn", "few_labels", "precision_at", "mean_average", "learner_error", "test_error")


def without_classes(metrics):
    return {name: value for name, value in metrics.items() if not name.startswith(OF_CLASSES)}


def test_with_one_normal_class_there_is_all_but_what_classes_tell(results, tmp_path):
    """As a study has it whose `prepare.normal` names one class: no probes, no search, no learners."""
    known = {key: value for key, value in results.baselines.items() if key != "learners"}
    known["probes"] = {who: without_classes(found) for who, found in known["probes"].items()}
    items = {}
    for item in results.models:
        found = {key: without_classes(item.about[key]) for key in ("metrics", "validation")}
        items[item.name] = dataclasses.replace(item, about=item.about | found)
    alone = dataclasses.replace(results, items=items, baselines=known)
    assert results.labelled
    assert not alone.labelled
    assert set(table.frame(alone)["name"]) == set(items)
    text = markdown.markdown(alone)
    assert "### Anomalies" in text
    assert "### Search" not in text
    assert "supervised learner" not in text
    assert {"anomalies", "compression"} <= set(catalogue.draw(alone, SETTINGS, tmp_path / "figures"))


def test_titles_say_what_is_measured():
    assert title("auroc/nap") == "AUROC, NAP"
    assert title("auroc") == "AUROC, best score"
    assert title("bytes_at/24") == "bytes, at 24 dB"
    assert title("learner_error/100/mlp/layers") == "learner error, 100 labels, MLP, all layers, %"
    assert title("learner_error/1000") == "learner error, 1,000 labels, best, %"


def test_baselines_stand_in_the_report_s_table(results):
    found = baselines(results)
    assert found["isolation forest"]["auroc"] == results.baselines["anomaly"]["isolation forest"]["auroc"]
    assert found["WebP, one sheet"] == {"bytes_at/20": 35.0}
    assert found["raw values"]["learner_error/100/logistic/code"] == 0.3
    assert found["PCA 4"]["precision_at_10"] == 0.4


@pytest.mark.parametrize("name", ["anomalies", "most_anomalous", "neighbours", "compression", "learners"])
def test_figures(results, name, tmp_path):
    figure = getattr(figures, name)(results, SETTINGS)
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "x.png")
    assert getattr(figures, name)(made_up(), SETTINGS) is None


def test_of_curves_only_those_that_win_stand_out(results):
    cheap, dear = results.items["two"], results.items["pca"]
    assert figures._front([cheap, dear], np.array([[30.0, 25]])) == [cheap]
    assert figures._front([cheap, dear], np.array([[5.0, 25]])) == [], "a codec is better than both"
    assert figures._hull(np.array([[5, 20.0], [9, 19.0], [3, 10.0]])).tolist() == [[3, 10], [5, 20]]
