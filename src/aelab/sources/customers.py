"""A drawn table of customers with numbers, categories and missing values, from known factors: no download, no licence.

Each customer belongs to one of four groups and has an age and a wealth factor, independent and normal; every column
follows from these and noise. Incomes are missing more often where they are high, others at random.
"""

from __future__ import annotations

import numpy as np

GROUPS = ("families", "students", "pensioners", "professionals")
CATEGORIES = {
    "housing": ("family", "own", "rent"),
    "job": ("employed", "none", "public", "self-employed"),
    "channel": ("phone", "shop", "web"),
    "region": ("east", "north", "south", "west"),
    "plan": ("basic", "plus", "pro"),
}
NUMBERS = ("age", "income", "savings", "children", "visits", "spent", "years_customer", "distance_km")
COLUMNS = {**dict.fromkeys(NUMBERS, ()), **CATEGORIES}  # name -> categories; none: numbers
YEARS = np.array([41.0, 23.0, 70.0, 38.0])  # the mean age of each group


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n rows float64 [n, columns], as COLUMNS says (a category as its place in its list, NaN where missing), and the
    group of each, int64 [n]."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, len(GROUPS), n)
    a, b = rng.normal(size=(2, n))

    def chosen(scores: np.ndarray) -> np.ndarray:
        """One of the columns of log-odds [n, choices] for each row."""
        return (scores + rng.gumbel(size=scores.shape)).argmax(1)

    def scores(*columns: np.ndarray | float) -> np.ndarray:
        return np.stack([np.broadcast_to(column, n) for column in columns], 1)

    age = np.clip(YEARS[group] + 8 * a, 18, 95).round()
    job = chosen(
        scores(2.0 * (group == 3) + 1.5 * (group == 0), 3.0 * (group == 2) + 1.5 * (group == 1), 0.5 * a, b - 0.5)
    )
    income = np.exp(10 + 0.5 * b + 0.3 * (job == 0) - 0.6 * (job == 1) + 0.15 * rng.normal(size=n))
    savings = income * np.exp(-2 + 0.03 * age + 0.4 * rng.normal(size=n))
    housing = chosen(scores(2.0 * (group == 1), 0.06 * (age - 45) + b, 0.5 - 0.5 * b))
    children = rng.poisson(0.3 + 1.5 * (group == 0) + 0.2 * (group == 3))
    plan = chosen(scores(0.8 - b, 0.3 * a, 1.2 * b + (group == 3)))
    visits = rng.poisson(np.exp(1 + 0.5 * (plan == 2) + 0.3 * (group == 0) - 0.2 * a))
    spent = visits * np.exp(3 + 0.4 * b + 0.3 * rng.normal(size=n))
    years = np.clip(rng.exponential(0.12 * (age - 17)), 0, age - 17).round(1)
    channel = chosen(scores(0.05 * (age - 50), 0.5 * (group == 0) + 0.3, 0.06 * (50 - age)))
    region = chosen(scores(0.0, 1.5 * (group == 0), 1.0 * (group == 2), 1.5 * (group == 3)))
    distance = rng.gamma(2, 3 + 6 * (channel == 2))
    rows = [age, income.round(-2), savings.round(-2), children, visits, spent.round(2), years, distance.round(1)]
    x = np.stack([*rows, housing, job, channel, region, plan], 1).astype(np.float64)
    gone = rng.random((n, x.shape[1]))
    share = np.zeros(x.shape)
    names = list(COLUMNS)
    share[:, names.index("income")] = 0.3 / (1 + np.exp(-1.5 * b))
    for name, missing in (("savings", 0.1), ("job", 0.08), ("channel", 0.03), ("distance_km", 0.05)):
        share[:, names.index(name)] = missing
    x[gone < share] = np.nan
    return x, group
