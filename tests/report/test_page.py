"""The report as a file: it asks for nothing, escapes everything, says what the CSV says, and is the same twice."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from test_results import SETTINGS, made_up, model

from aelab.report import claims, provenance, table, verdicts
from aelab.report.figures import captions, catalogue, style
from aelab.report.html.page import page
from aelab.report.results import Results

ROOT = Path(__file__).parents[2]
EVIL = "</script><script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'
VOID = {"meta", "link", "img", "input", "br", "wbr"}
PARAMETERS = {"seed": 1, "models": {"two": {"family": "dense", "lr": 1e-3}}}


class Tree(HTMLParser):
    """The elements of a page as (tag, attributes, text in all below), in document order; tags must be balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict, list[str]]] = []
        self.open: list[tuple[str, dict, list[str]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(self.found[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, text in self.open:
            text.append(data)

    def all(self, tag: str) -> list[tuple[dict, str]]:
        return [(attrs, "".join(text)) for name, attrs, text in self.found if name == tag]

    def rows(self) -> list[tuple[dict, list[tuple[dict, str]]]]:
        """The rows of the first table: their attributes, and the cells with theirs and their text."""
        rows, inside = [], False
        for tag, attrs, text in self.found:
            if tag == "table":
                inside = attrs.get("id") == "entries"
            elif inside and tag == "tr":
                rows.append((attrs, []))
            elif inside and tag in ("th", "td"):
                rows[-1][1].append((attrs, "".join(text)))
        return rows


def draw(results: Results, folder: Path, names=("quality", "stacks")) -> dict[str, str]:
    """A few figures in `folder`; their titles."""
    titles = {}
    for name in names:
        figure = catalogue.FIGURES[name](results, SETTINGS)
        style.save(figure, folder / f"{name}.png")
        titles[name] = style.title(figure)
    return titles


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> tuple[dict[str, str], Path]:
    """Titles, and the folder of their figures."""
    folder = tmp_path_factory.mktemp("figures")
    return draw(made_up(), folder), folder


@pytest.fixture
def results(monkeypatch) -> Results:
    pairs = (("noisy", "Two beats noisy"), (claims.PCA, "Two beats PCA"))
    monkeypatch.setattr(
        verdicts,
        "CLAIMS",
        tuple(claims.Claim(words, "someone", "quality", (claims.Pair("sse", "two", than),)) for than, words in pairs),
    )
    made = made_up()
    made.items["noisy"].about["uses_labels"] = True
    return made


@pytest.fixture
def text(results, drawn) -> str:
    return page(results, *drawn, PARAMETERS)


def test_the_page_asks_for_nothing(text):
    tree = Tree(text)
    for tag, attrs, _ in tree.found:
        assert not {"srcset", "action", "poster", "data", "background", "formaction"} & set(attrs), tag
        assert attrs.get("src", "data:").startswith("data:"), tag
        assert attrs.get("href", "#").startswith(("#", "data:,")), tag
    assert not {"iframe", "object", "embed", "base", "video", "audio"} & {tag for tag, _, _ in tree.found}
    for _, style_sheet in tree.all("style"):
        assert not re.search(r"url\(|@import", style_sheet)
    for _, script in tree.all("script"):
        assert not re.search(r"fetch|XMLHttp|import|WebSocket|eval|innerHTML", script)
    [policy] = [attrs["content"] for attrs, _ in tree.all("meta") if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script-src 'sha256-" in policy


def test_twice_gives_the_same_bytes(results, text, drawn):
    assert page(results, *drawn, PARAMETERS) == text


def test_the_table_is_that_of_the_csv(results, text):
    head, *rows = Tree(text).rows()
    metrics = [attrs.get("data-metric") for attrs, _ in head[1]]
    listed = [cells for attrs, cells in rows if "data-entry" in attrs]
    written = list(csv.DictReader(io.StringIO(table.csv(table.frame(results)))))
    by_name = {row["name"]: row for row in written}
    assert sorted(cells[0][0]["data-value"] for cells in listed) == sorted(by_name)
    for cells in listed:
        row = by_name[cells[0][0]["data-value"]]
        values = [(m, attrs["data-value"]) for m, (attrs, _) in zip(metrics, cells, strict=True)]
        shown = {m: value for m, value in values if m not in (None, "pca") and value}
        assert shown == {m: row[m] for m in metrics if row.get(m)}
        assert [text for _, text in cells[-3:]] == [row["family"], row["num_seeds"], row["device"]]
        count = re.search(r"(\d+) warning", cells[0][1])
        assert int(count[1] if count else 0) == (len(row["warnings"].split("; ")) if row["warnings"] else 0)
    known = {name for name in written[0] if not name.endswith("_std")}
    assert known == set(metrics) - {None, "pca"} | {"name", "family", "device", "num_seeds", "warnings"}


def test_cells_read_as_people_write_numbers(text):
    head, *rows = Tree(text).rows()
    place = {attrs.get("data-metric"): i for i, (attrs, _) in enumerate(head[1])}
    cells = {cells[0][0]["data-value"]: [text for _, text in cells] for attrs, cells in rows if "data-text" in attrs}
    assert cells["two"][place["sse"]] == "9.00 ± 1.41"
    assert cells["two"][place["pca"]] == "15.50"
    assert cells["two"][place["parameters"]] == "1,234,567"
    assert cells["two"][place["test_error/all"]] == ""
    assert cells["stack_ae"][place["test_error/all"]] == "10.00 ± 0.00"
    assert cells["raw pixels"][place["probe_accuracy"]] == "90.0"
    assert cells["median filter"][place["psnr/masking-0.25"]] == "12.00"


def test_rows_stand_by_the_size_of_their_codes_and_the_best_of_a_size_is_bold(results, drawn):
    results.items["wide"] = model("wide", "dense", 9, [2.0, 2.2])
    results.items["worse"] = model("worse", "dense", 2, [30.0, 30.2])
    head, *rows = Tree(page(results, *drawn, PARAMETERS)).rows()
    at = [attrs.get("data-metric") for attrs, _ in head[1]].index("sse")
    groups: dict[str, dict[str, bool]] = {}
    for attrs, cells in rows:
        if attrs.get("class") == "size":
            last = groups.setdefault(cells[0][1], {})
        else:
            last[cells[0][0]["data-value"]] = (
                "best" in cells[at][0].get("class", "").split() if len(cells) > at else False
            )
    names = [name for group in groups.values() for name in group]
    assert len(set(names)) == len(names)
    small = next(group for title, group in groups.items() if title == "Codes of 1 to 4 numbers")
    large = next(group for title, group in groups.items() if title.startswith("Codes of 5 to"))
    assert small["two"]
    assert not small["worse"]
    assert "wide" in large
    assert set(groups["Stacks, fine-tuned as classifiers"]) == {"stack_random", "stack_ae"}
    assert "raw pixels" in groups["Further baselines"]


def test_figures_have_titles_captions_and_words_for_who_does_not_see_them(text):
    tree = Tree(text)
    captions_shown = [words for _, words in tree.all("figcaption")]
    assert len(captions_shown) == 2
    assert captions_shown[0].startswith("Error by size of code, the best at the top")
    assert captions.GROUPS["Error, size and cost"]["quality"] in captions_shown[0]
    assert all(attrs["alt"] for attrs, _ in tree.all("img") if "src" in attrs)
    named = {attrs["for"] for attrs, _ in tree.all("label")}
    assert named >= {attrs["id"] for tag in ("input", "select") for attrs, _ in tree.all(tag)}


def test_what_comes_from_data_and_parameters_is_escaped(results, drawn):
    item = model(EVIL, "dense", 2, [5.0, 6.0], arrays=results.items["two"].arrays, noise=["masking 0.3"])
    item.about.update({"diagnoses": {"never_fell": IMAGE}, "device": IMAGE, "family": EVIL})
    results.items[EVIL] = item
    hostile = replace(results, data=results.data | {"title": EVIL, "classes": [IMAGE] * 10, "digest": EVIL})
    titles = {name: title + EVIL + IMAGE for name, title in drawn[0].items()}
    tree = Tree(page(hostile, titles, drawn[1], {EVIL: {IMAGE: EVIL}}))
    assert len(tree.all("script")) == 3, "the page's own, and the words of two galleries"
    assert not any(name.startswith("on") for _, attrs, _ in tree.found for name in attrs)
    assert all(attrs.get("src", "data:").startswith("data:") for attrs, _ in tree.all("img"))
    for attrs, script in tree.all("script"):
        if attrs.get("type") == "application/json":
            json.loads(script)
    row = next(cells for _, cells in tree.rows() if cells[0][0].get("data-value") == EVIL)
    assert row[0][1].strip().startswith(EVIL)
    assert IMAGE in row[0][1]


def test_provenance_says_what_it_was_made_from(text):
    facts = "".join(words for attrs, words in Tree(text).all("section") if attrs["id"] == "provenance")
    for words in ("Made-up digits (made_up)", provenance.code_digest(), "python 3.", "numpy", "seed", "two: {"):
        assert words in facts


def test_the_digest_of_the_code_changes_with_it_alone(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/dense.py").write_text("a = 1\n")
    before = provenance.code_digest(tmp_path)
    (tmp_path / "models/dense.pyc").write_text("")
    assert provenance.code_digest(tmp_path) == before
    (tmp_path / "models/dense.py").write_text("a = 2\n")
    assert provenance.code_digest(tmp_path) != before


def test_dvc_knows_all_that_the_page_shows():
    stage = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]["compare"]
    assert set(stage["params"]) == set(provenance.PARAMETERS)
    assert set(YAML(typ="safe").load(ROOT / "params.yaml")) == {*provenance.PARAMETERS, "download", "sweeps"}
    assert {f"src/aelab/{folder}" for folder in provenance.CODE} <= set(stage["deps"])
    assert "metrics/report.html" in stage["outs"]
