"""The offline model of a Pipecat pipeline: a function of text, asked as a model is."""

import re
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():  # of audioop's end, and of what Pipecat deprecates and still uses
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pipecat.services.tts_service")

from pipecat.frames.frames import (
    EndFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipeline_rig import Spy, run, worker

from trunkline.adapters.pipecat.services import OfflineLLMService
from trunkline.bots.parrot import SORRY
from trunkline.bots.turns import Reply
from trunkline.events import Who
from trunkline.sim.clock import run_virtual

ANSWER = (LLMFullResponseStartFrame, LLMTextFrame, LLMFullResponseEndFrame)


def asked(service, messages, *, last=(EndFrame,)):
    """What a service pushes when a context of these messages reaches it."""
    spy = Spy()

    async def main():
        the_worker = worker([service, spy])
        frames = [LLMContextFrame(LLMContext(messages)), *[kind() for kind in last]]
        await the_worker.queue_frames(frames)
        await run(the_worker)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        run_virtual(main())
    return spy


def said(spy):
    return "".join(frame.text for frame in spy.frames(LLMTextFrame))


def test_it_answers_word_by_word_as_models_do():
    spy = asked(OfflineLLMService(lambda text, _: f"Heard: {text}"), [user("one two")])
    answer = [type(frame) for _, frame in spy.seen if isinstance(frame, ANSWER)]
    assert answer == [ANSWER[0], *[LLMTextFrame] * 3, ANSWER[2]]
    assert said(spy) == "Heard: one two "


def user(text):
    return {"role": "user", "content": text}


def bot(text):
    return {"role": "assistant", "content": text}


def test_it_is_told_what_was_said_before():
    told = []

    def rules(text, history):
        told.append((text, [(turn.who, turn.text) for turn in history]))
        return "Fine."

    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    system = {"role": "system", "content": "Be brief."}
    asked(OfflineLLMService(rules), [system, bot("Hello!"), user("hi"), picture, bot("Yes?")])
    asked(OfflineLLMService(rules), [bot("Hello!"), user("How are you?")])
    assert told == [
        ("", [(Who.BOT, "Hello!"), (Who.CALLER, "hi"), (Who.BOT, "Yes?")]),
        ("How are you?", [(Who.BOT, "Hello!")]),
    ]


def test_a_reply_that_hangs_up_ends_the_pipeline_after_its_words():
    spy = asked(OfflineLLMService(lambda *_: Reply("So long.", hang_up=True)), [], last=())
    kinds = [type(frame) for _, frame in spy.seen]
    assert said(spy) == "So long. "
    assert kinds.index(LLMFullResponseEndFrame) < kinds.index(EndFrame)


def test_by_default_it_is_the_parrot():
    assert said(asked(OfflineLLMService(), [user("nice day")])) == "You said: nice day "
    assert said(asked(OfflineLLMService(), [])) == f"{SORRY} "


def test_other_frames_pass():
    spy = asked(OfflineLLMService(), [], last=(lambda: TTSSpeakFrame("Hello!"), EndFrame))
    assert [frame.text for frame in spy.frames(TTSSpeakFrame)] == ["Hello!"]


def test_the_page_talks_without_keys():
    page = (Path(__file__).parents[2] / "docs" / "pipecat.md").read_text("utf-8")
    section = page.partition("## Talking without keys\n")[2]
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", section.partition("\n## ")[0])
    names = {}
    exec(compile(code, "docs/pipecat.md", "exec"), names)
    assert said(asked(names["llm"], [user("The weather?")])) == "Three degrees, and it rains. "
