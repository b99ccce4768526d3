"""SVG text: what a parser makes of it, and widths against real fonts' own tables."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sim.svg import Shelf, escape, number, shorten, tag, text_width, wrap


@given(st.text(st.characters()))
def test_any_text_survives_a_parser(text: str) -> None:
    element = ElementTree.fromstring(tag("text", escape(text), note=text))
    assert (element.text or "") == _storable(text)
    assert len(element.get("note", "")) <= len(text)


def _storable(text: str) -> str:
    # A parser reads every line end as \n (XML 1.0 section 2.11).
    kept = "".join(c if c in "\t\n\r" or " " <= c not in "\ufffe\uffff" else "\ufffd" for c in text)
    kept = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in kept)
    return kept.replace("\r\n", "\n").replace("\r", "\n")


def test_control_codes_are_replaced() -> None:
    assert escape("a\x00\x1b[31m<b>&\"'") == "a\ufffd\ufffd[31m&lt;b&gt;&amp;&quot;&#x27;"


def test_an_element_is_written_with_its_attributes() -> None:
    assert tag("rect", class_="a b", x=1.0, text_anchor="end") == (
        '<rect class="a b" x="1" text-anchor="end"/>'
    )
    assert tag("text", "hi", y=2.25) == '<text y="2.2">hi</text>'


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (3.0, "3"), (3.14, "3.1"), (-0.04, "0"), (-2.5, "-2.5")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("text", "dejavu", "liberation"),
    [  # sums of the advance widths in the fonts' hmtx tables, in em
        ("Hello, you have reached the city library.", 20.111, 17.509),
        ("barge-in, 1215 ms", 9.175, 8.06),
        ("MAXIMUM WOMBAT", 9.922, 9.61),
        ("0123456789*#", 7.7, 6.507),
        ("illicit little fillet", 7.393, 6.001),
    ],
)
def test_no_common_font_is_wider_than_estimated(
    text: str, dejavu: float, liberation: float
) -> None:
    assert max(dejavu, liberation) <= text_width(text, 1) <= 1.25 * dejavu
    assert text_width(text, 13) == pytest.approx(13 * text_width(text, 1))


def test_other_scripts_have_their_own_widths() -> None:
    assert text_width("日本", 10) >= 20
    assert text_width("e\u0301", 10) == text_width("e", 10)


def test_what_fits_is_left_alone_and_what_does_not_is_cut() -> None:
    assert shorten("short", 100, 10) == "short"
    cut = shorten("a sentence that is far too long", 60, 10)
    assert cut.endswith("…")
    assert cut[:-1] in "a sentence that is far too long"
    assert text_width(cut, 10) <= 60
    assert shorten("abc", 1, 10) == "…"


@given(
    st.lists(st.text("abcdefmwil", min_size=1, max_size=9), max_size=30),
    st.floats(100, 400),
    st.integers(1, 4),
)
def test_wrapped_lines_fit_and_no_word_is_lost(words: list[str], width: float, most: int) -> None:
    lines, rest = wrap(" ".join(words), width, 10, most)
    assert len(lines) <= most
    assert all(text_width(line, 10) <= width for line in lines)
    assert " ".join([*lines, *rest.split()]).split() == words


def test_a_word_wider_than_the_line_is_shortened() -> None:
    lines, rest = wrap("incomprehensibilities", 50, 10, 2)
    assert lines == [shorten("incomprehensibilities", 50, 10)]
    assert rest == ""


def test_labels_share_a_level_only_apart() -> None:
    shelf = Shelf(gap=5)
    assert shelf.levels == 0
    assert [shelf.place(0, 10), shelf.place(15, 20), shelf.place(14, 16)] == [0, 0, 1]
    assert [shelf.place(-20, -5), shelf.place(-4, 2)] == [0, 1]
    assert shelf.levels == 2


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(1, 300)), max_size=40))
def test_no_two_labels_touch(labels: list[tuple[float, float]]) -> None:
    shelf = Shelf(gap=4)
    placed = [(shelf.place(left, left + width), left, left + width) for left, width in labels]
    for index, (level, left, right) in enumerate(placed):
        for other, a, b in placed[:index]:
            assert level != other or right + 4 <= a or b + 4 <= left
