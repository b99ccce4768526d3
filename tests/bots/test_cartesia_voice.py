"""Cartesia's voice alone: what is said, when its words end, and what becomes of it in trouble."""

import asyncio
import json
import logging
from base64 import b64encode
from contextlib import aclosing
from itertools import groupby

import pytest

from trunkline.bots.cartesia import Account, ServiceError, Voice, VoiceSpeaker
from trunkline.bots.speech import Timing
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMA_8K, PCMU_8K
from trunkline.sim.clock import run_virtual
from trunkline.sim.services.cartesia import Cartesia
from trunkline.sim.services.service import ServiceFaults
from trunkline.sim.services.tones import Tones
from trunkline.websocket import NotConnected

ACCOUNT = Account("sk_secret", "ws://c.test")
TEXT = "one two three four five six"


def speaking(scene, audio=PCMU_8K, make=Cartesia, voice="v1", connect=None, **options):
    """Run ``scene(speaker, service, tones)`` in virtual time; nothing may be left."""

    async def main():
        tones = Tones()
        async with make(tones.hear, tones.speak, key="sk_secret", **options) as service:
            speaker = VoiceSpeaker(ACCOUNT, Voice(voice), audio, connect or service.connect)
            try:
                result = await scene(speaker, service, tones)
            finally:
                await speaker.close()
                await speaker.close()
            await asyncio.sleep(0.1)
            assert service.open == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return run_virtual(main())


async def spoken(speaker, text=TEXT):
    """The audio, and the words with the ms they end at."""
    audio, words = bytearray(), []
    async for item in speaker.speak(text):
        if isinstance(item, Timing):
            words += item.words
        else:
            audio += item
    return bytes(audio), words


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K, L16_8K, L16_16K, L16_24K], ids=str)
def test_audio_comes_as_the_line_has_it_and_unchanged(audio):
    async def scene(speaker, service, tones):
        assert speaker.format == audio
        await speaker.warm_up()
        said, words = await spoken(speaker)
        assert said == tones.sound(TEXT, audio)
        assert [word for word, _ in words] == TEXT.split()
        assert [ms for _, ms in words] == pytest.approx([300, 600, 900, 1200, 1500, 1800])
        assert service.complaints == []

    speaking(scene, audio)


def test_sentences_share_one_socket_and_have_contexts_of_their_own():
    async def scene(speaker, service, tones):
        both = await asyncio.gather(spoken(speaker, "one two"), spoken(speaker, "three"))
        await spoken(speaker, "four")
        assert [said for said, _ in both] == [
            tones.sound("one two", PCMU_8K),
            tones.sound("three", PCMU_8K),
        ]
        assert (service.opened, len(service.audio_out)) == (1, 3)

    speaking(scene)


def test_who_is_interrupted_has_the_rest_cancelled_and_dropped():
    async def scene(speaker, service, tones):
        async with aclosing(speaker.speak(TEXT)) as items:
            await anext(items)
        await asyncio.sleep(0.05)
        assert service.generating == 0
        (sent,) = service.audio_out.values()
        assert len(sent) < len(tones.sound(TEXT, PCMU_8K))
        said, _ = await spoken(speaker, "seven")
        assert said == tones.sound("seven", PCMU_8K)
        assert service.opened == 1

    speaking(scene, faults=ServiceFaults(latency_ms=20))


@pytest.mark.parametrize("after_ms", range(0, 1900, 90))
def test_a_lost_socket_costs_no_word(after_ms):
    async def scene(speaker, service, tones):
        await speaker.warm_up()

        async def kill():
            await asyncio.sleep(0.09 + after_ms / 1000)
            assert service.drop()

        killer = asyncio.create_task(kill())
        said, words = await spoken(speaker)
        await killer
        heard = [word for word, _, _ in tones.words(said, PCMU_8K)]
        assert [word for word, _ in groupby(heard)] == TEXT.split()
        assert len(heard) <= 7  # the word that was cut is said again, no other
        assert [word for word, _ in words] == TEXT.split()  # and told once
        ends = {word: end for word, _, end in tones.words(said, PCMU_8K)}
        for word, ms in words:
            assert ms == pytest.approx(ends[word] + 70, abs=80)

    speaking(scene, pace=1.0)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_in_passing_is_asked_for_again(status):
    async def scene(speaker, service, tones):
        service.fail(status, status)
        said, _ = await spoken(speaker)
        assert said == tones.sound(TEXT, PCMU_8K)
        assert service.opened == 1

    speaking(scene)


def test_what_fails_again_and_again_is_an_error():
    async def scene(speaker, service, tones):
        service.fail(*[429] * 20)
        with pytest.raises(ServiceError, match="does not finish"):
            await spoken(speaker)

    speaking(scene)


def test_what_fails_for_good_says_so_and_no_secret(caplog):
    async def scene(speaker, service, tones):
        with pytest.raises(ServiceError) as failed:
            await spoken(speaker)
        assert failed.value.status == 400
        assert str(failed.value) == "Cartesia: Bad request (400)"
        service.refuse(401)
        service.drop()
        with pytest.raises(ServiceError, match="401"):
            await spoken(speaker)
        assert service.refused == 1
        return failed.value

    with caplog.at_level(logging.DEBUG):
        speaking(scene, voice="")
    assert "speech service given up" in caplog.text
    assert "sk_secret" not in caplog.text + repr(vars(caplog.records[-1])) + repr(ACCOUNT)


def test_a_service_that_stays_away_is_given_up():
    async def scene(speaker, service, tones):
        loop = asyncio.get_running_loop()
        service.refuse(*[503] * 100)
        began = loop.time()
        with pytest.raises(ServiceError, match=r"cannot be reached: .* 503"):
            await spoken(speaker)
        assert 4.4 < loop.time() - began < 6.8
        assert service.refused == 7

    speaking(scene)


def test_sockets_that_do_not_last_are_given_up():
    async def scene(speaker, service, tones):
        service.faults = ServiceFaults(drop_after=(0.05, 0.05))
        with pytest.raises(ServiceError, match=r"do not last|does not finish"):
            await spoken(speaker)

    speaking(scene)


def test_sockets_that_are_closed_when_idle_are_opened_again_for_as_long_as_a_call_may_last():
    async def scene(speaker, service, tones):
        await asyncio.sleep(3 * 3600)
        assert service.opened >= 36
        said, _ = await spoken(speaker)
        assert said == tones.sound(TEXT, PCMU_8K)

    speaking(scene)


def test_a_service_nobody_answers_at_is_given_up():
    async def never(url, headers):
        await asyncio.sleep(1e6)

    async def scene(speaker, service, tones):
        with pytest.raises(ServiceError, match="no socket in 15 s"):
            await spoken(speaker)
        with pytest.raises(ServiceError, match="no handshake in 3 s"):
            await asyncio.sleep(30)
            await spoken(speaker)

    speaking(scene, connect=never)


def test_an_error_of_the_network_is_one_of_the_service():
    async def broken(url, headers):
        raise NotConnected("no route to host")

    async def scene(speaker, service, tones):
        with pytest.raises(ServiceError, match="no route to host"):
            await spoken(speaker)

    speaking(scene, connect=broken)


def test_a_service_that_falls_silent_is_left():
    async def scene(speaker, service, tones):
        await asyncio.sleep(1)  # silent since 0.5 s; the next socket will be for a while, too
        loop = asyncio.get_running_loop()
        began = loop.time()
        said, _ = await spoken(speaker, "one")
        assert loop.time() - began == pytest.approx(3.2, abs=0.1)
        assert said == tones.sound("one", PCMU_8K)
        assert service.opened == 2

    speaking(scene, faults=ServiceFaults(stall_after=0.5))


def test_a_chunk_may_end_in_mid_sample():
    class Odd(Cartesia):
        async def serve(self, socket, request):
            told = json.loads(await socket.receive())
            said = self.tones.sound(told["transcript"], L16_16K)
            for piece in (said[:1001], said[1001:2002], said[2002:]):
                data = {"type": "chunk", "data": b64encode(piece).decode()}
                await socket.send(json.dumps(data | {"context_id": told["context_id"]}))
            done = {"type": "done", "context_id": told["context_id"]}
            await socket.send(json.dumps(done))

    async def scene(speaker, service, tones):
        service.tones = tones
        chunks = [item async for item in speaker.speak(TEXT)]
        assert b"".join(chunks) == tones.sound(TEXT, L16_16K)
        assert all(len(chunk) % 2 == 0 for chunk in chunks)

    speaking(scene, L16_16K, make=Odd)


class Garbling(Cartesia):
    """Says something unreadable on its first socket, and a stranger's words on each."""

    async def serve(self, socket, request):
        await socket.send('{"type": "chunk", "context_id": "of nobody", "data": "AAAA"}')
        if self.opened == 1:
            await socket.send('{"type": "chunk", "data": 7}' if self.binary else b"\xff")
        await super().serve(socket, request)

    binary = False


def test_what_cannot_be_read_costs_the_socket():
    async def scene(speaker, service, tones):
        said, _ = await spoken(speaker)
        assert said == tones.sound(TEXT, PCMU_8K)
        assert service.opened == 2

    speaking(scene, make=Garbling)


class Failing(Cartesia):
    """Fails as a whole, with no context named, when it was sent something."""

    status = 500

    async def serve(self, socket, request):
        if self.opened == 1:
            await socket.receive()
            await socket.send(f'{{"type": "error", "status_code": {self.status}}}')
        await super().serve(socket, request)


def test_an_error_of_the_whole_socket_is_one_of_each_sentence():
    async def scene(speaker, service, tones):
        said, _ = await spoken(speaker)
        assert said == tones.sound(TEXT, PCMU_8K)

    speaking(scene, make=Failing)


def test_what_is_remembered_is_asked_for_once_in_a_format():
    async def main():
        tones = Tones()
        memory = {}
        async with Cartesia(tones.hear, tones.speak) as service:
            for audio in (PCMU_8K, PCMU_8K, L16_16K):
                speaker = VoiceSpeaker(
                    ACCOUNT, Voice("v"), audio, service.connect, memory=memory, remember={"one two"}
                )
                items = [item async for item in speaker.speak("one two")]
                assert b"".join(i for i in items if isinstance(i, bytes)) == tones.sound(
                    "one two", audio
                )
                assert any(isinstance(item, Timing) for item in items)
                await spoken(speaker, "three")
                async with aclosing(speaker.speak("one two")) as cut:
                    await anext(cut)
                await speaker.close()
            assert len(service.audio_out) == 2 + 3
            assert len(memory) == 2

    run_virtual(main())


def test_what_was_cut_by_a_loss_is_not_remembered():
    async def main():
        tones = Tones()
        memory = {}
        async with Cartesia(tones.hear, tones.speak, pace=1.0) as service:
            speaker = VoiceSpeaker(
                ACCOUNT, Voice("v"), PCMU_8K, service.connect, memory=memory, remember={TEXT}
            )
            await speaker.warm_up()
            asyncio.get_running_loop().call_later(0.5, service.drop)
            await spoken(speaker)
            assert memory == {}
            await speaker.close()

    run_virtual(main())
