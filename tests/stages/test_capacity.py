"""The stages `capacity`, every depth with every code size, and `noise_transfer`, one net on every noise."""

import json

import pytest


def shrink(tree) -> None:
    tree["capacity"] = {"depths": [1, 2], "latent_dims": [2, 16], "hidden": 20, "max_steps": 100, "num_seeds": 2}
    tree["noise_transfer"] |= {"max_steps": 100, "num_seeds": 2}


def test_every_net_learns_with_every_seed_and_says_its_best_validation_error(prepared, spawner):
    prepared.change(shrink)
    spawner.works(prepared, "capacity")
    folder = prepared.folder / "data/capacity"
    rows = json.loads((folder / "capacity.json").read_text())
    assert [(row["depth"], row["latent_dim"]) for row in rows] == [(1, 2), (1, 16), (2, 2), (2, 16)]
    for row in rows:
        net = folder / f"{row['depth']}x{row['latent_dim']}"
        assert json.loads((net / "model.json").read_text())["config"]["widths"] == [20] * (row["depth"] - 1) + [
            row["latent_dim"]
        ]
        histories = json.loads((net / "history.json").read_text())
        assert all(0.1 < accuracy <= 1 for accuracy in row["probe_accuracy"])
        assert row["sse"] == [min(epoch["validation"]["total"] for epoch in epochs) for epochs in histories]
        assert len(set(row["sse"])) == 2
    assert all(few > many for few, many in zip(rows[0]["sse"], rows[1]["sse"], strict=True)), (
        "16 numbers say more than 2"
    )


def test_without_seeds_they_are_left_out(prepared, spawner):
    for stage, empty in (("capacity", []), ("noise_transfer", {})):
        prepared.change(lambda tree, stage=stage: tree[stage].update(num_seeds=0))
        prepared.change(lambda tree: tree["corrupt"].update(noises=[]))
        spawner.works(prepared, "corrupt")
        spawner.works(prepared, stage)
        assert json.loads((prepared.folder / f"data/{stage}/{stage}.json").read_text()) == empty


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("depths: [1, 2, 3]", "depths: [0, 2]", "capacity.depths: (0, 2) is out of range; allowed: 1 or more"),
        (
            "latent_dims: [2, 8, 32, 128]",
            "latent_dims: [2, 2]",
            "capacity.latent_dims: [2, 2] names one twice; allowed: different numbers",
        ),
    ],
)
def test_a_wrong_grid_is_one_line(prepared, old, new, line):
    prepared.edit(old, new)
    assert prepared.fail("capacity") == f"capacity: params.yaml: {line}"


def test_every_noise_is_learned_from_and_tried_with_every_seed(prepared, spawner):
    prepared.change(shrink)
    prepared.change(lambda tree: tree["corrupt"].update(noises=["masking 0.5", "salt 0.1"]))
    spawner.works(prepared, "corrupt")
    spawner.works(prepared, "noise_transfer")
    found = json.loads((prepared.folder / "data/noise_transfer/noise_transfer.json").read_text())
    names = ["clean", "masking-0.5", "salt-0.1"]
    assert list(found) == names
    assert all([list(seed) for seed in seeds] == [names, names] for seeds in found.values())
    assert all(seed["clean"] > seed["salt-0.1"] for seed in found["clean"]), "noise that it never met"
    about = json.loads((prepared.folder / "data/noise_transfer/salt-0.1/model.json").read_text())
    assert (about["noise"], about["config"]["tied"], about["num_seeds"]) == (["salt 0.1"], True, 2)
