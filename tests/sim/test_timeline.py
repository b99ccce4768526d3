"""The picture of a call, read back as XML: is everything there, where it should be, apart?"""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.sim.record import CallRecord, Kind, Moment
from trunkline.sim.svg import text_width
from trunkline.sim.timeline import svg

SVG = "{http://www.w3.org/2000/svg}"
LEFT, PLOT = 76, 1300  # px: the picture is 1400 wide, with room for names on the left


def pcm(*spans: tuple[float, float], of: float, rate: int = 8000) -> bytes:
    t = np.arange(round(of * rate)) / rate
    inside = np.zeros(len(t), dtype=bool)
    for start, end in spans:
        inside[round(start * rate) : round(end * rate)] = True
    return (np.sin(2 * math.pi * 200 * t) * 6000 * inside).astype("<i2").tobytes()


def call(
    caller: list[tuple[float, float]],
    bot: list[tuple[float, float]],
    *moments: Moment,
    of: float = 20.0,
    **more: object,
) -> CallRecord:
    return CallRecord(
        caller=pcm(*caller, of=of), bot=pcm(*bot, of=of), moments=list(moments), **more
    )


def draw(record: CallRecord) -> ElementTree.Element:
    return ElementTree.fromstring(svg(record))


def of_class(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [e for e in picture.iter() if name in e.get("class", "").split()]


def px(element: ElementTree.Element, *names: str) -> list[float]:
    return [float(element.get(name, "nan")) for name in names]


def texts(picture: ElementTree.Element) -> list[str]:
    return ["".join(t.text or "" for t in (e, *e.iter(f"{SVG}tspan")) if t.text)
            for e in picture.iter(f"{SVG}text")]  # fmt: skip


def at(second: float, seconds: float = 20.0) -> float:
    return LEFT + second / seconds * PLOT


def test_both_voices_lie_on_one_time_axis() -> None:
    picture = draw(call([(2.0, 4.0)], [(5.0, 10.0)]))
    caller, bot = (of_class(picture, f"{who}-span")[0] for who in ("caller", "bot"))
    assert px(caller, "x", "width") == pytest.approx([at(2), at(2) - LEFT], abs=1)
    assert px(bot, "x", "width") == pytest.approx([at(5), at(5) - LEFT], abs=1)
    assert px(caller, "y")[0] + px(caller, "height")[0] < px(bot, "y")[0]
    ticks = {e.text: px(e, "x")[0] for e in of_class(picture, "tick")}
    assert ticks["0 s"] == LEFT
    assert ticks["7 s"] == pytest.approx(at(7), abs=0.1)


def test_the_wave_is_where_the_sound_is_and_as_high_as_it_is_loud() -> None:
    loud = call([(2.0, 4.0)], [])
    quiet = CallRecord(
        caller=(np.frombuffer(loud.caller, "<i2") // 8).astype("<i2").tobytes(), bot=loud.bot
    )
    heights = []
    for record in (loud, quiet):
        (wave,) = of_class(draw(record), "caller-wave")
        points = [
            tuple(map(float, p.split())) for p in re.split("[ML]", wave.get("d", "")[:-1])[1:]
        ]
        xs, ys = zip(*points, strict=True)
        assert (min(xs), max(xs)) == (pytest.approx(at(2), abs=3), pytest.approx(at(4), abs=3))
        heights.append(max(ys) - min(ys))
    assert 0 < heights[1] < heights[0] / 2 < 30
    assert of_class(draw(loud), "bot-wave") == []


def test_the_wait_for_an_answer_is_an_arrow_with_its_ms() -> None:
    picture = draw(call([(1.0, 2.0)], [(2.5, 4.0)]))
    arrow = of_class(picture, "wait")[0]
    assert px(arrow, "x1", "x2") == pytest.approx([at(2), at(2.5)], abs=1)
    assert "500 ms" in texts(picture)


def test_a_wait_over_the_edge_is_drawn_in_both_rows_and_named_once() -> None:
    picture = draw(call([(15.0, 19.0)], [(20.5, 22.0)], of=40.0))
    arrows = [px(e, "x1", "x2") for e in of_class(picture, "wait") if e.get("x1") != e.get("x2")]
    assert arrows == [
        pytest.approx([at(19), LEFT + PLOT], abs=1),
        pytest.approx([LEFT, at(0.5)], abs=1),
    ]
    assert texts(picture).count("1500 ms") == 1
    heads = [e for e in of_class(picture, "wait-ink") if e.tag == f"{SVG}path"]
    assert len(heads) == 1


def test_a_barge_in_is_a_band_across_both_with_its_clear() -> None:
    clear = Moment(3.05, Kind.CLEAR, "", "bot")
    picture = draw(call([(3.0, 4.0)], [(1.0, 3.1)], clear))
    band = of_class(picture, "band")[0]
    assert px(band, "x", "width") == pytest.approx([at(3), at(0.1) - LEFT], abs=1)
    assert px(band, "height")[0] > 120
    (line,) = of_class(picture, "clear")
    assert px(line, "x1")[0] == pytest.approx(at(3.05), abs=0.1)
    assert "barge-in, 100 ms" in texts(picture)


def test_a_barge_in_on_a_row_edge_is_in_both_rows() -> None:
    clear = Moment(20.1, Kind.CLEAR)
    picture = draw(call([(19.9, 21.0)], [(15.0, 20.2)], clear, of=30.0))
    bands = [px(e, "x", "width") for e in of_class(picture, "band") if e.get("height") != "12"]
    assert bands == [
        pytest.approx([at(19.9), 6.5], abs=1),
        pytest.approx([LEFT, 13], abs=1),
    ]


def test_a_barge_in_in_one_row_is_not_in_another() -> None:
    picture = draw(call([(3.0, 4.0)], [(1.0, 3.1)], of=40.0))
    assert len([e for e in of_class(picture, "band") if e.get("height") != "12"]) == 1


def test_a_hole_is_marked_on_the_bots_voice() -> None:
    record = call([], [(1.0, 5.0)])
    sound = np.frombuffer(record.bot, "<i2").copy()
    sound[16010:16490] = 0
    picture = draw(CallRecord(caller=record.caller, bot=sound.tobytes()))
    hole = of_class(picture, "hole")[0]
    assert px(hole, "x", "width") == pytest.approx([at(2), 3.9], abs=1)
    assert "hole, 60 ms" in texts(picture)
    assert "hole in the bot's speech" in texts(picture)


def test_a_hole_in_one_row_is_not_in_another() -> None:
    record = call([], [(1.0, 5.0)], of=40.0)
    sound = np.frombuffer(record.bot, "<i2").copy()
    sound[16010:16490] = 0
    picture = draw(CallRecord(caller=record.caller, bot=sound.tobytes()))
    assert len([e for e in of_class(picture, "hole") if e.get("height") != "12"]) == 1


def test_marks_are_small_and_tell_their_name_when_pointed_at() -> None:
    picture = draw(call([], [], Moment(4.0, Kind.MARK, "m<1>")))
    (mark,) = [e for e in of_class(picture, "mark") if e.tag == f"{SVG}path"]
    assert mark.findtext(f"{SVG}title") == "mark m<1>, 4.00 s"
    assert "mark came back" in texts(picture)


def test_keys_are_flagged_at_their_time() -> None:
    picture = draw(
        call([], [], *[Moment(2 + i, Kind.KEY, k, "caller") for i, k in enumerate("1#")])
    )
    assert "1#" in texts(picture)
    (stem,) = of_class(picture, "caller-key-stem")
    assert px(stem, "x1")[0] == pytest.approx(at(2), abs=0.1)


def test_the_head_tells_what_call_it_was_and_how_it_went() -> None:
    picture = draw(call([], [(1, 2)], carrier="a & b", verdict="passed"))
    assert picture.findtext(f"{SVG}title") == "Call through a & b · 20.0 s"
    assert of_class(picture, "verdict")[0].get("class") == "verdict wait-ink"
    failed = draw(call([], [], verdict="no answer", failed=True))
    assert failed.findtext(f"{SVG}title") == "Call · 20.0 s"
    assert of_class(failed, "verdict")[0].get("class") == "verdict bad-ink"
    assert of_class(draw(call([], [])), "verdict") == []


def test_a_long_calls_clock_has_minutes() -> None:
    picture = draw(call([], [], of=75.0))
    ticks = [e.text for e in of_class(picture, "tick")]
    assert "0:07" in ticks
    assert "1:15" in ticks
    assert "1:16" not in ticks


def test_moments_after_all_audio_are_drawn_too() -> None:
    picture = draw(call([(1, 2)], [], Moment(50.0, Kind.HANG_UP, "", "caller"), of=3.0))
    assert "hang up" in texts(picture)


def test_a_call_of_nothing_is_drawn() -> None:
    assert "0 turns" in texts(draw(CallRecord()))


def test_it_is_readable_in_the_dark() -> None:
    style = draw(CallRecord()).findtext(f"{SVG}style") or ""
    assert "@media(prefers-color-scheme:dark)" in style
    assert "var(" not in style


def test_it_needs_nothing_from_elsewhere() -> None:
    text = svg(call([(1, 2)], [(3, 4)], Moment(1.0, Kind.SAID, "Hi.", "caller")))
    assert re.findall("href|url\\(|@import|<script|<image", text) == []


moments = st.builds(
    Moment,
    st.floats(0, 50),
    st.sampled_from([*Kind, "odd"]),
    st.text(max_size=40),
    st.sampled_from(["caller", "bot", "carrier", ""]),
)


@settings(max_examples=40)
@given(st.lists(moments, max_size=25), st.text(max_size=20), st.text(max_size=200))
def test_whatever_happens_it_is_xml_and_no_flag_covers_another(
    some: list[Moment], carrier: str, verdict: str
) -> None:
    some.sort(key=lambda moment: moment.at)
    spans = [(1.0, 4.0), (21.0, 23.0)]
    picture = draw(call(spans, [(2.0, 19.0), (24.0, 41.0)], *some, of=45.0, carrier=carrier,
                        verdict=verdict))  # fmt: skip
    for row in picture.findall(f"{SVG}g"):
        boxes = [px(e, "x", "y", "width", "height") for e in of_class(row, "flag")]
        for index, (x, y, width, height) in enumerate(boxes):
            assert x >= 0
            assert x + width <= 1400
            for a, b, w, h in boxes[:index]:
                assert x + width <= a or a + w <= x or y + height <= b or b + h <= y
    (title,) = of_class(picture, "title")
    for shown in of_class(picture, "verdict"):
        assert px(shown, "x")[0] > 16 + text_width(title.text or "", 20)
