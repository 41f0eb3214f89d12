"""The report in a real browser: it opens from disk without a word, and what can be pressed does what it says."""

import pytest
from test_page import EVIL, IMAGE, PARAMETERS, draw
from test_results import made_up, model

from aelab.report.html.page import page


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on disk; one of its models has a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    results = made_up()
    results.items[EVIL] = model(EVIL, "dense", 2, [7.0, 7.5], arrays=results.items["two"].arrays)
    results.items[EVIL].about["diagnoses"] = {"never_fell": IMAGE}
    (folder / "report.html").write_text(page(results, draw(results, folder), folder, PARAMETERS), encoding="utf-8")
    return folder / "report.html"


@pytest.fixture
def opened(tab, report):
    tab.page.goto(report.as_uri())
    yield tab.page
    assert tab.errors == []


def names(opened) -> list[str]:
    """The rows of the table that are in sight, from above."""
    return opened.eval_on_selector_all(
        "#entries tr[data-text]",
        "rows => rows.filter(row => row.checkVisibility()).map(row => row.cells[0].dataset.value)",
    )


def values(opened, metric: str) -> list[float | None]:
    """A column from above, None where it is empty."""
    found = opened.evaluate(
        """metric => {
            const at = document.querySelector(`th[data-metric="${metric}"]`).cellIndex;
            return [...document.querySelectorAll("#entries tr[data-text]")].map(row => row.cells[at].dataset.value);
        }""",
        metric,
    )
    return [float(value) if value else None for value in found]


def head(opened, metric: str):
    return opened.locator(f'th[data-metric="{metric}"] button')


def test_it_opens_from_disk_and_asks_nobody(tab, report):
    tab.page.goto(report.as_uri())
    tab.page.wait_for_load_state("networkidle")
    tab.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith("data:")] == [report.as_uri()]
    assert tab.page.eval_on_selector_all("img[src]", "all => all.every(each => each.complete && each.naturalWidth)")


def test_hostile_words_are_words(opened):
    assert EVIL in names(opened)
    opened.get_by_text("warning", exact=False).first.wait_for()
    opened.locator("#entries details").last.locator("summary").click()
    assert opened.locator("img[onerror]").count() == 0
    assert opened.locator("#entries").get_by_text("never fell").count() == 1


def test_sorting_sorts_best_first_then_the_other_way_then_not_at_all(opened):
    before = names(opened)
    head(opened, "sse").click()
    sorted_up = [value for value in values(opened, "sse") if value is not None]
    assert sorted_up == sorted(sorted_up)
    assert values(opened, "sse")[: len(sorted_up)] == sorted_up, "what has no value is last"
    assert opened.locator('th[data-metric="sse"]').get_attribute("aria-sort") == "ascending"
    head(opened, "sse").click()
    assert values(opened, "sse")[: len(sorted_up)] == sorted_up[::-1]
    assert opened.locator("th[aria-sort]").count() == 1
    head(opened, "sse").click()
    assert names(opened) == before
    assert opened.locator("th[aria-sort]").count() == 0


def test_groups_of_rows_have_titles_unless_all_rows_are_ranked(opened):
    titles = opened.locator("#entries tr.size")
    stacks = titles.filter(has_text="Stacks")
    assert titles.first.is_visible()
    head(opened, "sse").click()
    assert not titles.first.is_visible()
    head(opened, "sse").click()
    head(opened, "sse").click()
    assert titles.first.is_visible()
    opened.get_by_label("Filter").first.fill("stack")
    assert not titles.first.is_visible()
    opened.locator("#columns").select_option("labels")
    assert stacks.is_visible()
    opened.get_by_label("Filter").first.fill("no such name")
    assert not stacks.is_visible()


def test_a_group_of_columns_shows_its_columns_and_rows(opened):
    opened.locator("#columns").select_option("labels")
    assert names(opened) == ["stack_random", "stack_ae"]
    assert opened.locator('th[data-metric="test_error/10"]').is_visible()
    assert not opened.locator('th[data-metric="sse"]').is_visible()


def test_the_filter_filters(opened):
    box = opened.get_by_label("Filter").first
    box.fill("STACK random")
    assert names(opened) == ["stack_random"]
    assert opened.locator("output[for=table-filter]").text_content() == "1 shown"
    box.fill("warning")
    assert "vae" in names(opened)
    assert "two" not in names(opened)
    box.fill("")
    assert "two" in names(opened)


def strip(opened, gallery: str, name: str):
    return opened.locator(f"#{gallery} .strips li").filter(has=opened.locator("b", has_text=name)).first


def sight(opened, gallery: str, name: str) -> bytes:
    """What of a strip is really to be seen."""
    return strip(opened, gallery, name).locator(".sprite").screenshot()


def test_the_slider_of_steps_changes_the_picture(opened):
    slider = opened.get_by_label("Step")
    said = strip(opened, "learning", "two").locator(".said")
    before = sight(opened, "learning", "two")
    assert said.text_content() == "step 1"
    slider.press("End")
    assert said.text_content() == "step 2, kept"
    assert slider.get_attribute("aria-valuetext") == "at the end"
    assert sight(opened, "learning", "two") != before
    slider.press("Home")
    assert sight(opened, "learning", "two") == before


def test_the_slider_of_noise_changes_the_picture_and_the_ranking(opened):
    slider = opened.get_by_label("Level")
    listed = opened.locator("#noise .strips li:not(.absent) b")
    order = listed.all_text_contents()
    assert order[:2] == ["original", "the noisy image"]
    assert order[-3:] == ["non-local-means filter", "gaussian filter", "median filter"], "14, 13 and 12 dB, models 15"
    assert strip(opened, "noise", "median filter").is_visible()
    noisy = sight(opened, "noise", "two")
    slider.press("Home")
    assert not strip(opened, "noise", "median filter").is_visible(), "there is nothing to clean"
    assert sight(opened, "noise", "two") != noisy
    opened.get_by_label("Noise", exact=True).select_option("salt & pepper")
    slider.press("End")
    assert opened.locator("#noise .where").text_content() == "0.1"


def test_a_figure_is_enlarged_by_keyboard_and_closed_again(opened):
    first = opened.locator("figure button").first
    first.focus()
    opened.keyboard.press("Enter")
    dialog = opened.locator("#large")
    assert dialog.is_visible()
    shown = dialog.locator("img").get_attribute("alt")
    opened.keyboard.press("ArrowRight")
    assert dialog.locator("img").get_attribute("alt") != shown
    opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert first.evaluate("button => button === document.activeElement")


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_nothing_sticks_out_sideways(opened, width):
    opened.set_viewport_size({"width": width, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
