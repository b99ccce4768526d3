"""The record of a call: what is laid down where, and what comes back from disk."""

import io
import json
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sim.record import CallRecord, Kind, Moment, Recorder, read_wav


def samples(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def test_a_piece_lies_at_its_time_in_silence() -> None:
    recorder = Recorder(rate=1000)
    recorder.bot(0.1, samples(7, 8))
    record = recorder.record()
    assert record.bot == bytes(200) + samples(7, 8)
    assert record.caller == bytes(204)
    assert record.duration == pytest.approx(0.102)


def test_frames_from_an_unsteady_timer_join_without_a_gap_or_a_lost_sample() -> None:
    recorder = Recorder(rate=8000)
    frames = [samples(*[index + 1] * 160) for index in range(50)]
    for index, frame in enumerate(frames):
        recorder.caller(index * 0.02 + (-1) ** index * 0.004 * (index > 0), frame)
    assert recorder.record().caller == b"".join(frames)


def test_lateness_does_not_add_up_unseen() -> None:
    # Every frame 3 ms later than the one before should be: the fourth is over 10 ms behind.
    recorder = Recorder(rate=1000)
    for index in range(5):
        recorder.bot(index * 0.023, samples(*[1] * 20))
    heard = struct.unpack("<112h", recorder.record().bot)
    assert heard[:80] == (1,) * 80
    assert heard[80:92] == (0,) * 12
    assert heard[92:] == (1,) * 20


def test_what_meets_is_mixed_and_does_not_overflow() -> None:
    recorder = Recorder(rate=1000)
    recorder.bot(0.0, samples(*[30000] * 40))
    recorder.bot(0.02, samples(*[10000] * 40))
    assert recorder.record().bot == samples(*[30000] * 20, *[32767] * 20, *[10000] * 20)
    recorder.bot(0.0, samples(-5))
    assert recorder.record().bot[:4] == samples(29995, 30000)


def test_both_channels_are_equally_long() -> None:
    recorder = Recorder()
    recorder.caller(0.0, bytes(320))
    recorder.bot(1.0, bytes(320))
    record = recorder.record()
    assert len(record.caller) == len(record.bot) == 16000 + 320


@pytest.mark.parametrize("at", [-0.001, float("nan"), float("inf")])
def test_a_time_before_the_call_is_refused(at: float) -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="not a time on the call"):
        recorder.caller(at, bytes(2))
    with pytest.raises(ValueError, match="not a time on the call"):
        recorder.note(at, Kind.KEY, "1")


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        Recorder().bot(0.0, bytes(3))


def test_moments_come_in_the_order_of_time() -> None:
    recorder = Recorder(carrier="acme", call_id="c-1")
    recorder.note(2.0, Kind.HANG_UP, channel="bot")
    recorder.note(1.0, "odd", "what", "carrier")
    record = recorder.record(verdict="too short", failed=True)
    assert record.moments == [
        Moment(1.0, "odd", "what", "carrier"),
        Moment(2.0, "hang_up", "", "bot"),
    ]
    assert (record.carrier, record.call_id) == ("acme", "c-1")
    assert (record.verdict, record.failed) == ("too short", True)
    assert record.duration == 2.0


def test_a_secret_is_masked_before_anybody_sees_it(tmp_path) -> None:
    seen: list[Moment] = []
    recorder = Recorder(watch=seen.append)
    recorder.note(1.0, Kind.KEY, "4711", "caller", secret=True)
    assert seen == [Moment(1.0, "key", "••••", "caller", secret=True)]
    _, notes = recorder.record().save(tmp_path / "call")
    assert "4711" not in notes.read_text()


def test_an_empty_call_is_a_record_too(tmp_path) -> None:
    record = Recorder().record()
    assert record.duration == 0.0
    record.save(tmp_path / "empty")
    assert CallRecord.load(tmp_path / "empty") == record


def test_any_player_finds_the_caller_left_and_the_bot_right() -> None:
    record = CallRecord(caller=samples(1, 2, 3), bot=samples(-1, -2, -3))
    with wave.open(io.BytesIO(record.wav())) as reader:
        assert reader.getparams()[:4] == (2, 2, 8000, 3)
        assert reader.readframes(3) == samples(1, -1, 2, -2, 3, -3)


def test_the_notes_are_plain_json(tmp_path) -> None:
    record = CallRecord(
        carrier="acme", verdict="passed", moments=[Moment(1.5, "key", "5", "caller")]
    )
    _, path = record.save(tmp_path / "call-2.5")
    assert path.name == "call-2.5.json"
    assert json.loads(path.read_text()) == {
        "carrier": "acme",
        "call_id": "",
        "verdict": "passed",
        "failed": False,
        "moments": [{"at": 1.5, "kind": "key", "text": "5", "channel": "caller", "secret": False}],
    }


@given(
    frames=st.lists(st.tuples(st.integers(-32768, 32767), st.integers(-32768, 32767))),
    rate=st.sampled_from([8000, 16000, 24000]),
)
def test_a_wav_read_is_the_wav_written(frames: list[tuple[int, int]], rate: int) -> None:
    caller = samples(*[left for left, _ in frames])
    bot = samples(*[right for _, right in frames])
    wav = CallRecord(rate=rate, caller=caller, bot=bot).wav()
    assert read_wav(wav) == (rate, caller, bot)


def test_a_call_comes_back_from_disk_and_replaces_the_one_before(tmp_path) -> None:
    CallRecord(caller=bytes(4), bot=bytes(4)).save(tmp_path / "call")
    record = CallRecord(
        rate=16000, caller=samples(5), bot=samples(6), carrier="acme", moments=[Moment(0.5, "x")]
    )
    wav, notes = record.save(tmp_path / "call")
    assert CallRecord.load(str(tmp_path / "call")) == record
    assert sorted(tmp_path.iterdir()) == sorted([wav, notes])
    assert wav.stat().st_mode & 0o077 == 0


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path) -> None:
    (tmp_path / "call.wav").mkdir()
    with pytest.raises(OSError, match=r"call\.wav"):
        CallRecord().save(tmp_path / "call")
    assert [path.name for path in tmp_path.iterdir()] == ["call.wav"]
    with pytest.raises(FileNotFoundError):
        CallRecord().save(tmp_path / "nowhere" / "call")


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\x04\0\0\0WAVE", b"ID3" + bytes(100)])
def test_what_is_no_wav_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a WAV"):
        read_wav(data)


def test_a_mono_wav_is_a_value_error() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(8))
    with pytest.raises(ValueError, match="1 channels of 2 bytes"):
        read_wav(file.getvalue())


@pytest.mark.parametrize("notes", ['{"moments": 3}', '{"moments": [', "", "\xff"])
def test_notes_that_are_not_ours_are_a_value_error(tmp_path, notes: str) -> None:
    CallRecord().save(tmp_path / "call")
    (tmp_path / "call.json").write_text(notes, encoding="latin-1")
    with pytest.raises(ValueError, match=r"moments|truncated|malformed|utf-8"):
        CallRecord.load(tmp_path / "call")
