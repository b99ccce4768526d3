"""Replies without a model."""

import asyncio

import pytest

from trunkline.bots.replies import SORRY, echo, rules
from trunkline.bots.turns import Reply, Turn
from trunkline.events import Who


def test_the_echo_says_what_it_heard():
    assert echo("Good day", ()) == Reply("You said: Good day")
    assert echo("", ()) == Reply(SORRY)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("I'd like TEA,\nplease!", "A cup of tea."),
        ("Steam", "You said: Steam"),
        ("tea and bye", "A cup of tea."),  # the first that fits
        ("Bye.", Reply("Goodbye!", hang_up=True)),
        ("", "Pardon?"),
        ("…", "Pardon?"),
    ],
)
def test_the_first_rule_that_fits_is_followed(text, answer):
    reply = rules(
        (r"\btea\b", "A cup of tea."),
        (r"\bbye\b", Reply("Goodbye!", hang_up=True)),
        (r"^$", "Pardon?"),
    )
    assert reply(text, ()) == (Reply(answer) if isinstance(answer, str) else answer)


def test_a_rule_may_be_a_function_and_pass_it_on():
    def count(text, history):
        return f"{text} {len(history)}" if history else None

    reply = rules((r"how many", count), (r"many", "Many."))
    assert reply("How many?", [Turn(Who.CALLER, "Hi")]) == Reply("How many? 1")
    assert reply("How many?", ()) == Reply("Many.")


def test_what_no_rule_fits_goes_to_another_reply_in_pieces_or_whole():
    async def model(text, history):
        yield "Well, "
        yield text

    async def pieces(answered):
        return [piece async for piece in answered]

    reply = rules((r"tea", "Tea."), otherwise=model)
    assert asyncio.run(pieces(reply("coffee", ()))) == ["Well, ", "coffee"]
