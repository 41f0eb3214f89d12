"""Every diagnosis, on a model that has it and on one that has not."""

import pytest

from aelab.evaluation import diagnostics
from aelab.evaluation.settings import Evaluate

BASELINES = {"pca_sse": [50.0, 40.0, 30.0, 20.0, 0.0]}
WELL = {"latent_dim": [2, 2], "sse": [29.0, 30.0], "dead_units": [0, 0], "active_latents": [2, 2]}
SPARE = {"latent_dim": [50, 50], "sse": [0.0, 0.0]}
WELL |= {"hidden_units": [8, 8], "dead_hidden": [0, 0], "codes": [16, 16], "dead_codes": [0, 0]}


def history(*losses, phase="all"):
    rows = [
        {"phase": phase, "monitored": "total", "train": {"total": loss}, "validation": {}, "monitor": 1.0}
        for loss in losses
    ]
    return [row | {"step": step, "budget": len(rows)} for step, row in enumerate(rows, 1)]


FELL = [history(9.0, 5.0), history(9.0, 6.0)]


def test_a_model_that_is_well():
    assert diagnostics.diagnose(WELL, FELL, BASELINES) == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"active_latents": [0, 0]}, {"posterior_collapse": "0 of 2 latents active"}),
        ({"active_latents": [2, 0]}, {}),  # one seed
        (SPARE | {"active_latents": [19, 19]}, {}),  # as Burda 2015's: the others are spare
        (SPARE | {"active_latents": [2, 3]}, {"posterior_collapse": "2 to 3 of 50 latents active"}),  # 5%
        (SPARE | {"active_latents": [2, 4]}, {}),
        ({"dead_units": [1, 1]}, {"dead_units": "1 of 2 code units never active"}),
        ({"dead_hidden": [0, 3]}, {"dead_units": "0 to 3 of 8 hidden units are constant"}),
        ({"dead_hidden": [1, 1], "hidden_units": [10, 10]}, {}),  # a tenth
        ({"dead_codes": [5, 4]}, {"dead_codes": "4 to 5 of 16 codes never used"}),
        ({"sse": [31.0, 30.0]}, {"below_baseline": "sse 30.50, PCA of dimension 2 has 30.00"}),
        ({"sse": [30.01, 30.01]}, {}),  # PCA itself, rounded
        ({"sse": [31.0, 31.0], "latent_dim": [4, 4], "active_latents": [4, 4]}, {}),  # as many numbers as pixels
    ],
)
def test_diagnoses(changes, expected):
    assert diagnostics.diagnose(WELL | changes, FELL, BASELINES) == expected


def test_a_loss_that_never_fell():
    stuck = diagnostics.diagnose(WELL, [FELL[0], history(9.0, 8.95)], BASELINES)
    assert stuck == {"never_fell": "all: 9 at first, 8.95 at best"}
    assert diagnostics.diagnose(WELL, [history(9.0)], BASELINES) == {}, "one epoch says nothing"
    below = [history(-5.0, -5.5)]
    assert diagnostics.diagnose(WELL, below, BASELINES) == {}, "a loss may be below 0"
    contrast = [
        [
            row | {"monitored": "error", "train": {"total": -1.0, "error": error}}
            for row, error in zip(FELL[0], errors, strict=True)
        ]
        for errors in ((9.0, 5.0), (9.0, 8.95))
    ]
    assert diagnostics.diagnose(WELL, contrast, BASELINES) == stuck, (
        "the term that chooses the epoch is asked, not the total"
    )
    phases = [history(9.0, 5.0, phase="layer0") + history(7.0, 7.0, phase="layer1")]
    assert diagnostics.diagnose(WELL, phases, BASELINES) == {"never_fell": "layer1: 7 at first, 7 at best"}


def judged(*validation, phase="all", budget=None):
    rows = [{"phase": phase, "monitored": "total", "train": {"total": 1.0 / i}} for i in range(1, len(validation) + 1)]
    return [
        row
        | {"monitor": value, "validation": {"total": value}, "step": 10 * number, "budget": budget or 10 * len(rows)}
        for number, (row, value) in enumerate(zip(rows, validation, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (judged(9, 8, 7, 6, 5.93), {"not_converged": "all: 1.2% lower after the last fifth of the steps"}),
        (judged(9, 8, 7, 6, 5.95), {}),  # less than 1%
        (judged(9, 8, 7, 6, 7), {}),
        (judged(9, 8, 5, 6, 4.9), {"not_converged": "all: 2.0% lower after the last fifth of the steps"}),
        (judged(9, 8, 7, 6, 3, budget=60), {}),  # ended by early stopping
        (judged(9), {}),
        (judged(9, 3), {"not_converged": "all: 66.7% lower after the last fifth of the steps"}),
        (judged(-5, -5, -5, -5, -5.1), {"not_converged": "all: 2.0% lower after the last fifth of the steps"}),
        (judged(2, 2) + judged(2, 1, phase="b"), {"not_converged": "b: 50.0% lower after the last fifth of the steps"}),
    ],
)
def test_a_loss_that_still_falls_at_the_end_of_the_budget(rows, expected):
    assert diagnostics.diagnose(WELL, [judged(2, 2), rows], BASELINES) == expected


def test_a_classifier_is_judged_by_its_cross_entropy():
    rows = judged(0.2, 0.2, 0.2, 0.2, 0.1, phase="all labels")
    for row, entropy in zip(rows, (3, 2, 1, 0.9, 0.899), strict=True):
        row["validation"] = {"cross_entropy": entropy, "error": row["monitor"]}
    assert diagnostics.diagnose(WELL, [rows], BASELINES) == {}
    rows[-1]["validation"]["cross_entropy"] = 0.8
    found = diagnostics.diagnose(WELL, [rows], BASELINES)
    assert found == {"not_converged": "all labels: 11.1% lower after the last fifth of the steps"}


def test_a_stack_has_no_code():
    assert diagnostics.diagnose({"test_error/all": [0.1]}, FELL, BASELINES) == {}


def test_closed_forms_are_not_examined():
    assert diagnostics.diagnose(WELL | {"sse": [99.0]}, [[], []], BASELINES) == {}


def test_a_diagnosis_that_ends_the_stage_is_one_line():
    diagnoses = {"dead_units": "1 of 2 code units never active"}
    diagnostics.refuse(diagnoses, ("never_fell",))
    with pytest.raises(ValueError, match=r"^dead_units: 1 of 2 code units never active"):
        diagnostics.refuse(diagnoses, ("never_fell", "dead_units"))


def test_an_unknown_diagnosis_is_refused():
    with pytest.raises(ValueError, match="fail_on: 'flu' is unknown; allowed: posterior_collapse, dead_units"):
        Evaluate(1, 1, 1, 1, 1, 1, ("flu",))
