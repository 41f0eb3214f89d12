"""Anomalies, search, compression and features for a learner: against other implementations and on data that says what
must come out."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from aelab.config import seeding
from aelab.data.tensors import Data, Tensors
from aelab.evaluation import anomalies, compression, retrieval, supervised
from aelab.evaluation.compression import Point
from aelab.evaluation.measures import ImageMeasures
from aelab.evaluation.pca import PCA
from aelab.sources import sprites
from aelab.uses.retrieval import nearest


def draw(use):
    return seeding.generator(0, "baselines", use)


def part(n: int, shift: float, seed: int) -> Tensors:
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    x[:, 1] = x[:, 0] + 0.1 * x[:, 1]
    x[:, 0] += shift
    return Tensors(x, torch.arange(n) % 2)


@pytest.fixture(scope="module")
def data():
    """Normal rows on a line of two columns; anomalies beside it."""
    train, validation, test = part(400, 0, 0), part(200, 0, 1), part(300, 0, 2)
    return Data(train, validation, test, {}, test, part(80, 2, 3), part(60, 2, 4))


class Squares:
    """The measures of rows without columns."""

    def squared_errors(self, x, x_hat):
        return (x - x_hat).double().square().sum(1)


def test_ranks_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    normal, anomalous = torch.from_numpy(rng.integers(0, 9, 50)), torch.from_numpy(rng.integers(3, 12, 20))
    found = anomalies.ranked(normal.double(), anomalous.double())
    truth, scores = [0] * 50 + [1] * 20, torch.cat([normal, anomalous])
    assert found["auroc"] == pytest.approx(roc_auc_score(truth, scores))
    assert found["average_precision"] == pytest.approx(average_precision_score(truth, scores))


def test_baselines_find_what_lies_beside_the_line(data):
    pca = PCA(data.train.x)
    found = anomalies.baselines(data, pca, Squares(), 5, draw("isolation forest"))
    assert [name.partition(" ")[0] for name in found] == ["PCA", "5", "isolation"]
    auroc = {name: test["auroc"] for name, (test, _, _) in found.items()}
    pca_error, near, forest = auroc.values()
    assert min(pca_error, near) > 0.85 > forest > 0.7, "what lies beside a line is within the range of every column"
    for test, held_out, scores in found.values():
        assert len(scores) == 380
        assert 0 <= test["false_alarms"] < 0.05
        assert abs(held_out["auroc"] - test["auroc"]) < 0.15


def test_without_enough_validation_rows_there_is_no_threshold(data):
    few = Data(data.train, part(50, 0, 5), data.test, {}, data.test, data.anomalies, data.validation_anomalies)
    test, _, _ = anomalies.found(lambda x, _: x[:, 0].double(), few)
    assert "false_alarms" not in test


def test_neighbours_are_those_of_scikit_learn():
    rng = torch.Generator().manual_seed(0)
    gallery, queries = torch.randn(300, 5, generator=rng), torch.randn(700, 5, generator=rng)
    rows, distances = nearest(gallery, queries, 7)
    expected, places = NearestNeighbors(n_neighbors=7).fit(gallery).kneighbors(queries)
    assert np.array_equal(rows, places)
    assert distances.numpy() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_search_is_measured_as_scikit_learn_does():
    rng = torch.Generator().manual_seed(0)
    labels, truth = torch.arange(60) % 3, torch.arange(20) % 3
    codes = torch.randn(60, 4, generator=rng) + labels[:, None]
    asked = torch.randn(20, 4, generator=rng) + truth[:, None]
    found = retrieval.retrieval((codes, labels), (asked, truth))
    distances = torch.cdist(asked, codes)
    for i in range(20):
        right = labels == truth[i]
        assert found["mean_average_precision"][i].item() == pytest.approx(average_precision_score(right, -distances[i]))
        first = right[distances[i].argsort()[:10]]
        assert found["precision_at_10"][i].item() == pytest.approx(first.double().mean().item())
    alone = retrieval.retrieval((codes, labels), (asked, torch.full((20,), 9)))
    assert alone["mean_average_precision"].isnan().all()


def test_learners_see_the_same_labels_and_learn_what_can_be_learned(data):
    def labelled(split: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        return split.x, (split.x[:, 2] > 0).long()

    features = [labelled(split) for split in (data.train, data.validation, data.test)]
    found = supervised.errors(features, 100, 3, draw)
    assert set(found) == {"logistic", "mlp", "boosting"}
    for held_out, wrong in found.values():
        assert wrong.shape == (3, 300)
        assert wrong.double().mean() < 0.15
        assert abs(held_out - wrong.double().mean().item()) < 0.1
    assert found["logistic"][1].double().mean() < 0.06
    noise = [(torch.zeros_like(x), y) for x, y in features]
    assert supervised.errors(noise, 100, 3, draw)["logistic"][1].double().mean() > 0.3
    assert supervised.errors(features, 200, 3, draw)["logistic"][1].shape == (1, 300), "many labels: one draw"
    assert "boosting" not in supervised.errors(features, 100, 1, draw, boosted=100)
    assert supervised.sizes((100, 1000), 250) == [100, 250]


CURVE = [Point(40, 60, 30.0), Point(20, 40, 25.0), Point(25, 45, 24.0), Point(10, 30, 20.0)]


@pytest.mark.parametrize(("psnr", "bytes_"), [(30, 40), (31, math.nan), (25, 20), (22.5, math.sqrt(200)), (10, 10)])
def test_bytes_at_a_quality(psnr, bytes_):
    """Between points by log bytes; a point that costs more than a better one is no choice."""
    assert compression.at(CURVE, psnr) == pytest.approx(bytes_, nan_ok=True)


def test_codecs_pack_what_comes_out(digits):
    images = (digits[0][:64] * 255).round().to(torch.uint8).numpy()
    found = compression.codecs(images)
    assert {name.partition(",")[0] for name in found} == {"JPEG", "WebP", "lossless WebP"}
    for name, points in found.items():
        psnrs = [point.psnr for point in points]
        assert psnrs == sorted(psnrs), name
    assert found["lossless WebP, one sheet"][0].psnr == 100
    for kind in ("JPEG", "WebP"):
        files, bodies, sheet = (found[f"{kind}, {way}"][5].bytes for way in ("files", "headers shared", "one sheet"))
        assert files > max(bodies, sheet)
    colour = sprites.draw(9, 0)[0]
    both = compression.codecs(colour)
    assert both["JPEG 4:4:4, one sheet"][3].bytes > both["JPEG, one sheet"][3].bytes


def test_raw_values_and_pca_are_baselines_of_tables(data):
    class Rows(Squares):
        def psnr(self, x, x_hat):
            return -10 * math.log10(self.squared_errors(x, x_hat).mean().item() / x.shape[1])

    found = compression.baselines(data, PCA(data.train.x), Rows())
    assert set(found) == {"PCA 6", "raw values"}
    for name, points in found.items():
        sizes = [point.bytes for point in points]
        assert sizes == sorted(sizes, reverse=True), name
    at_15 = {name: compression.at(points, 15) for name, points in found.items()}
    assert at_15["PCA 6"] < at_15["raw values"], "two columns are almost one"
    assert ImageMeasures().psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.1)) == pytest.approx(20)
