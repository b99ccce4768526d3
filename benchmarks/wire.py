"""A media message in and out, every carrier found, beside ``json`` and ``base64``.

``python -m benchmarks.wire``. What the peers' serializers do with a message is what the last
column does: parse JSON into dictionaries, decode base64 with the standard library.
"""

import base64
import json
import time

from trunkline import carriers
from trunkline.events import Audio, Started
from trunkline.media.formats import AudioFormat

ROUNDS = 5
COUNT = 4000


def best(work) -> float:
    """Microseconds of one of ``COUNT``, the best of ``ROUNDS``."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(COUNT):
            work()
        times.append((time.perf_counter() - begun) / COUNT * 1e6)
    return min(times)


def plain(payload: bytes) -> tuple[float, float]:
    """The same through ``json`` and ``base64``: in and out."""
    text = base64.b64encode(payload).decode()
    message = json.dumps(
        {
            "event": "media",
            "streamSid": "MZ" + "0" * 32,
            "media": {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": text},
        }
    )

    def read() -> None:
        base64.b64decode(json.loads(message)["media"]["payload"])

    def write() -> None:
        json.dumps(
            {
                "event": "media",
                "streamSid": "MZ" + "0" * 32,
                "media": {"payload": base64.b64encode(payload).decode()},
            }
        )

    return best(read), best(write)


def measured(kind, audio: AudioFormat) -> tuple[float, float]:
    """One carrier's own ends: in and out."""
    carrier = kind(kind.examples())
    ours, theirs = carrier.bot_end(audio), carrier.carrier_end(audio)
    inbound = audio if kind.one_format else kind.inbound[0]
    theirs.send(
        Started(
            call_id="c-1",
            stream_id="s-1",
            account_id="a",
            inbound=inbound,
            outbound=audio,
            token="t",
        )
    )
    for message in theirs.outgoing():
        ours.receive(message)
    frame = Audio(inbound.silence * (inbound.rate // 50))
    theirs.send(frame)
    (message,) = theirs.outgoing()
    out = Audio(audio.silence * (audio.rate * kind.frame.ms // 1000))

    def read() -> None:
        ours.receive(message)

    def write() -> None:
        ours.send(out)
        ours.outgoing()

    return best(read), best(write)


def main() -> None:
    print("µs a message of 20 ms (or the carrier's own length), best of", ROUNDS)
    print(f"{'carrier':<12} {'format':<12} {'in':>6} {'out':>6}   json+base64 {'in':>6} {'out':>6}")
    for kind in carriers.all_carriers():
        for audio in kind.outbound:
            payload = audio.silence * (audio.rate * kind.frame.ms // 1000)
            (read, write), (slow_read, slow_write) = measured(kind, audio), plain(payload)
            print(
                f"{kind.name:<12} {audio!s:<12} {read:6.2f} {write:6.2f}   {'':>11} "
                f"{slow_read:6.2f} {slow_write:6.2f}"
            )


if __name__ == "__main__":
    main()
