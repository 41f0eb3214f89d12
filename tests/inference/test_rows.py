"""Models of tables and series in use: raw values in, raw values out, another schema refused by the column's name."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from aelab.data.columns import encode, fit
from aelab.inference.predictor import Predictor
from aelab.models.common import Spec, registry

N = 300


def people(n: int = N, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 10, n)
    town = np.where(age < 38, "Roma", "Milano").astype(object)
    return pd.DataFrame({"age": age.round(1), "income": (1000 * age + rng.normal(0, 500, n)).round(), "town": town})


@pytest.fixture(scope="module")
def served():
    """PCA of all directions, which rebuilds complete rows exactly."""
    frame, towns = people(), ("Milano", "Roma")
    raw = np.stack([frame["age"], frame["income"], (frame["town"] == "Roma").astype(float)], 1)
    known = [(), (), towns]
    columns = fit(list(frame), known, raw, "rank")
    x = torch.from_numpy(encode(columns, raw, known))
    spec = Spec((x.shape[1],), 0, tuple(columns))
    model = registry.build("closed_form", {"components": x.shape[1]}, spec, torch.Generator())
    model.fit_statistics(x, torch.zeros(len(x)))
    return Predictor("mine", model.eval(), spec)


def test_complete_rows_come_back_with_their_other_columns(served):
    frame = people().assign(note="kept")
    found = served.rebuild(frame[["note", "town", "income", "age"]])
    assert list(found.columns) == ["note", "town", "income", "age"]
    assert (found["town"] == frame["town"]).all()
    assert (found["note"] == "kept").all()
    np.testing.assert_allclose(found["income"], frame["income"], rtol=1e-3)
    assert served.encode(frame).shape == (N, 5)


def test_filling_changes_missing_cells_alone(served):
    frame = people(seed=0)
    gone = frame.copy()
    gone.loc[[3, 7], "income"] = np.nan
    gone.loc[5, "town"] = None
    before = gone.copy()
    found = served.fill(gone)
    pd.testing.assert_frame_equal(gone, before)
    assert not found.isna().any().any()
    same = gone.notna()
    for column in frame:
        assert (found.loc[same[column], column] == gone.loc[same[column], column]).all()
    assert found.loc[5, "town"] in ("Roma", "Milano")


def test_a_category_unseen_in_training_is_taken(served):
    assert np.isfinite(served.encode(people().assign(town="Napoli"))).all()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda x: x.drop(columns=["income"]), "no column 'income'; it takes age, income, town"),
        (lambda x: x.assign(age="old"), "column 'age', row 1: 'old' is no number"),
        (lambda x: x.assign(age=np.inf), "column 'age' is infinite"),
        (lambda x: x.iloc[:0], "no rows"),
        (lambda x: x[["age", "income"]].to_numpy(), "takes a pandas frame, as column 'town' holds words"),
    ],
)
def test_another_schema_is_refused_by_the_name_of_the_column(served, change, line):
    with pytest.raises(ValueError, match=f"^mine: {re.escape(line)}"):
        served.fill(change(people()))


def test_mlflow_takes_frames_and_fills_them(served):
    from aelab.inference.mlflow_model import Model, RefusedError

    model = Model()
    model.config, model.served = {"output": "rows"}, served
    frame = people(20)
    frame.loc[2, "age"] = np.nan
    pd.testing.assert_frame_equal(model.predict(None, frame), served.rebuild(frame))
    pd.testing.assert_frame_equal(model.predict(None, frame, {"output": "filled"}), served.fill(frame))
    assert model.predict(None, frame, {"output": "codes"}).shape == (20, 5)
    with pytest.raises(RefusedError, match="no column 'age'"):
        model.predict(None, frame.drop(columns=["age"]))


@pytest.fixture(scope="module")
def waves():
    x = np.random.default_rng(0).normal(5, 2, (60, 12, 2))
    x[0, 6:] = np.nan
    columns = fit(["a", "b"], [(), ()], x, "standard")
    inputs = torch.from_numpy(encode(columns, x, [(), ()]))
    spec = Spec(tuple(inputs.shape[1:]), 0, tuple(columns))
    model = registry.build("conv1d", {"channels": (4,), "latent_dim": 3}, spec, torch.Generator().manual_seed(0))
    return Predictor("mine", model.eval(), spec), x.astype(np.float32)


def test_series_are_rebuilt_filled_and_decoded_in_their_own_units(waves):
    served, x = waves
    assert served.rebuild(x).shape == x.shape
    filled = served.fill(x)
    known = ~np.isnan(x)
    np.testing.assert_array_equal(filled[known], x[known])
    assert np.isfinite(filled).all()
    codes = served.encode(x)
    np.testing.assert_allclose(served.decode(codes), served.rebuild(x), rtol=1e-5)
    assert 3 < served.rebuild(x).mean() < 7


@pytest.mark.parametrize("shape", [(60, 12), (60, 11, 2), (12, 2), (0, 12, 2)])
def test_series_of_another_shape_are_refused(waves, shape):
    with pytest.raises(ValueError, match=r"^mine: got float64 \[.*\]; takes numbers \[N, 12, 2\]: a, b"):
        waves[0].encode(np.zeros(shape))
