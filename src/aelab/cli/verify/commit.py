"""Compare metrics/ with the last commit: the last line of `aelab repro`."""

from __future__ import annotations

import json

from aelab.runner import repository, stage

TABLE, SUMMARY = "comparison.csv", "summary.json"
LEAD = "headline numbers of metrics/ against the last commit"


def against_commit() -> str | None:
    """How the headline metrics in metrics/ differ from the committed ones, in a line.

    Not at all, within the spread of seeds (verdict.Number), or which ones by more. None if git or one of them is
    missing.
    """
    here = {name: stage.folder("compare") / name for name in (TABLE, SUMMARY)}
    there = {name: repository.git("show", f"HEAD:./{path}") for name, path in here.items()}
    if not here[TABLE].exists() or not all(there.values()):
        return None
    if here[TABLE].read_text().strip() == there[TABLE]:
        return f"{LEAD}: identical"
    from aelab.cli.verify import verdict

    before, after = verdict.rows(str(there[TABLE])), verdict.rows(here[TABLE].read_text())
    numbers = [
        verdict.Number(
            f"{name} {metric}",
            float(before[name][metric]),
            float(before[name].get(f"{metric}_std") or 0),
            float(after[name][metric]),
        )
        for name, metrics in json.loads(str(there[SUMMARY])).items()
        for metric in metrics
        if before.get(name, {}).get(metric) and after.get(name, {}).get(metric)
    ]
    far = sorted(numbers, key=lambda number: number.distance, reverse=True)
    beyond = [number for number in far if not number.distance <= 1]
    if beyond:
        text = f"{len(beyond)} of {len(far)} differ by more than the spread of seeds: {verdict.some(beyond)}"
    elif far and far[0].distance:
        text = f"all {len(far)} within the spread of seeds, the furthest {far[0]}"
    else:
        text = f"all {len(far)} identical"
    if others := sorted(before.keys() ^ after.keys()):
        text += f"; only on one side: {verdict.some(others)}"
    return f"{LEAD}: {text} (README, Results)"
