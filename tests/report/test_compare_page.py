"""The page of a comparison: whole, safe, and of one file."""

import re
from html.parser import HTMLParser

import pytest

from bayesft.report.compare import Plan, report_comparison
from tests.helpers.comparisons import add

VOID = {"meta", "br", "img", "input", "hr", "link", "wbr"}
EVIL = '<b onclick="x">&amp;</b>'


class Page(HTMLParser):
    """Checks that elements are closed in order; collects what is in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if text.strip():
            self.texts.append((self.open[-1] if self.open else "", text.strip()))

    def of(self, tag: str) -> list[str]:
        return [text for each, text in self.texts if each == tag]


@pytest.fixture
def page(tmp_path):
    Plan(("erm", "sam", "bayesft"), (0, 1)).write(tmp_path)
    for seed in (0, 1):
        add(tmp_path, "erm", seed, 0.5 + seed / 10)
        add(tmp_path, "sam", seed, 0.625 + seed / 10, method={"_target_": "bayesft.methods.SAM"})
    add(tmp_path, "bayesft", 0, 0.55, callbacks={"model_checkpoint": {"monitor": None}})
    report_comparison(tmp_path)
    return (tmp_path / "comparison.html").read_text(encoding="utf-8")


def test_it_is_well_formed_and_says_what_there_is(page):
    parsed = Page(page)
    assert parsed.of("h1") == ["MLP on Digits: 3 ways to train"]
    assert any("bayesft, seed 1: not started" in text for _, text in parsed.texts)
    cells = parsed.of("td")
    assert {"0.550", "0.675", "+0.125"} <= {*cells}
    told = " ".join(text for _, text in parsed.texts)
    assert "highest val/drift_acc, for erm, sam; the last epoch's, for bayesft" in told
    assert "those of seed 3" in told


def test_the_best_mean_is_marked(page):
    [row] = re.findall(r'<tr class="best">.*?</tr>', page.split("</table>")[0], re.DOTALL)
    assert "sam" in row


def test_it_loads_nothing(page):
    for _, name, value in Page(page).attributes:
        assert name not in ("src", "srcset", "action", "onload", "data")
        if name.endswith("href"):
            assert value.startswith("#")
        if not name.startswith("xmlns"):
            assert "//" not in value
    assert not re.findall(r"<script|<link|<iframe|@import|url\((?!#)", page)


def test_names_in_its_figures_are_of_one_thing(page):
    attributes = Page(page).attributes
    ids = [value for _, name, value in attributes if name == "id"]
    assert len(ids) == len({*ids})
    used = {value[1:] for _, name, value in attributes if name.endswith("href")}
    used |= {*re.findall(r"url\(#([^)]*)\)", page)}
    assert used
    assert used <= {*ids}


def test_its_figures_take_the_page_s_colours(page):
    figures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(figures) == 2
    for figure in figures:
        assert {*re.findall(r"var\(--c\d\)", figure)} >= {"var(--c1)", "var(--c2)"}
        assert "var(--ink)" in figure
        assert not re.findall(r"#(?!000000)[0-9a-f]{6}\b", figure)
        assert "<text" in figure
    assert "var(--c0)" in figures[0]


def test_the_configs_are_there_with_what_differs(page):
    assert page.count('<details class="whole">') == 3
    assert (
        "<code>method.<wbr>_target_</code></td><td><code>bayesft.<wbr>methods.<wbr>SAM</code>"
        in page
    )
    assert "hidden:" in page


def test_what_a_search_found_says_which(tmp_path):
    add(tmp_path, "erm")
    add(tmp_path, "mine", found={"folder": "outputs/search/1", "trial": 17, "objective_seed": 2})
    report_comparison(tmp_path)
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert Page(page).of("p").count("Trial 17 of the search in outputs/search/1.") == 1


def test_what_comes_from_elsewhere_is_escaped(tmp_path):
    add(tmp_path, "erm", method={"note": EVIL})
    run = add(tmp_path, "sam", method={"note": EVIL[::-1]})
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("contender: sam", f"contender: '{EVIL}'"))
    report_comparison(tmp_path)
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert EVIL not in page
    assert any(EVIL in text for _, text in Page(page).texts)
    assert not [name for _, name, _ in Page(page).attributes if name == "onclick"]


def test_the_same_runs_give_the_same_page(tmp_path):
    add(tmp_path, "erm")
    add(tmp_path, "sam", score=0.6)
    pages = []
    for _ in range(2):
        report_comparison(tmp_path)
        pages.append((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
