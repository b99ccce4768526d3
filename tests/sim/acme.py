"""A carrier that exists nowhere, and a server for it, to try the simulator without any real one.

Its documents are JSON lists of steps; its signature an HMAC over URL and body; its socket speaks
JSON with base64. The server is written by hand against ASGI, so that nothing of Trunkline's own
server takes part.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import math
import struct

import msgspec

from trunkline.carrier import (
    Answer,
    AwaitStream,
    Carrier,
    CollectDigits,
    Credential,
    Fetch,
    Find,
    Hangup,
    HangUpLeg,
    Instruct,
    Marks,
    OpenStream,
    Pause,
    Place,
    Press,
    Redirect,
    Reject,
    SendTones,
    Stream,
    TransferTo,
)
from trunkline.errors import BadSignature, RemoteProtocolError, Unsupported
from trunkline.events import (
    Audio,
    CallInfo,
    Clear,
    Cleared,
    Digit,
    DigitPressed,
    Digits,
    Ended,
    EndReason,
    Extra,
    Failed,
    MachineDetected,
    Mark,
    Offered,
    Ringing,
    Started,
    Stopped,
    Why,
)
from trunkline.media.formats import L16_8K, L16_24K, PCMU_8K, AudioFormat
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone
from trunkline.web import Request, Response

STEPS = {
    step.__name__.lower(): step
    for step in (
        AwaitStream,
        CollectDigits,
        Hangup,
        OpenStream,
        Pause,
        Redirect,
        Reject,
        SendTones,
        TransferTo,
    )
}


def document(*steps):
    """What a server answers: a list of [kind, fields]."""
    return json.dumps([[kind, fields] for kind, fields in steps]).encode()


def read_document(body):
    try:
        steps = []
        for kind, fields in json.loads(body):
            if "audio" in fields:
                fields = {**fields, "audio": AudioFormat.parse(fields["audio"])}
            if fields.get("seconds") == "inf":
                fields = {"seconds": math.inf}
            steps.append(STEPS[kind](**fields))
        return steps
    except (ValueError, KeyError, TypeError) as error:
        raise RemoteProtocolError(f"no document: {error}") from None


WORDS = {
    kind.__name__: kind
    for kind in (Started, Audio, Digit, Mark, Cleared, Stopped, Failed, Clear, Digits)
}


class End(Stream):
    """Either end: [kind, fields], with audio in base64."""

    def receive(self, message):
        try:
            kind, fields = json.loads(message)
        except (ValueError, TypeError):
            raise RemoteProtocolError("unreadable") from None
        if kind == "Audio":
            form = fields.get("format")
            payload = base64.b64decode(fields["payload"])
            return [Audio(payload, fields["timestamp"], form and AudioFormat.parse(form))]
        if kind == "Ping":
            self._queue.append('["Pong", {}]')
            return []
        shape = WORDS.get(kind)
        return [msgspec.convert(fields, shape) if shape else Extra(kind, fields)]

    def send(self, event):
        fields = msgspec.to_builtins(event, builtin_types=())
        if isinstance(event, Audio):
            fields["payload"] = base64.b64encode(event.payload).decode()
            fields["format"] = str(event.format) if event.format else None
        self._queue.append(json.dumps([type(event).__name__, fields]))


class Acme(Carrier):
    name = "acme"
    title = "Acme"
    docs = "https://example.com"
    credentials = (
        Credential(name="account", env="ACME_ACCOUNT", help="", example="AC1"),
        Credential(name="key", env="ACME_KEY", help="", example="sesame", secret=True),
    )
    inbound = (PCMU_8K,)
    outbound = (PCMU_8K, L16_8K, L16_24K)
    hears = frozenset({Started, Audio, Digit, Mark, Cleared, Stopped, Failed})
    says = frozenset({Audio, Mark, Clear, Digits})
    marks = Marks.RETURNED
    signs_webhooks = "HMAC"
    signs_upgrade = True

    def bot_end(self, audio):
        return End()

    def carrier_end(self, audio):
        return End()

    def _mac(self, request):
        text = request.url.encode() + request.body
        return hmac.new(self.given["key"].encode(), text, hashlib.sha256).hexdigest()

    def verify(self, request):
        if not hmac.compare_digest(request.headers.get("x-acme", ""), self._mac(request)):
            raise BadSignature("not acme's")

    def sign(self, request):
        headers = {**request.headers, "x-acme": self._mac(request)}
        return msgspec.structs.replace(request, headers=headers)

    def write_webhook(self, notice, url):
        if isinstance(notice, MachineDetected):
            raise Unsupported("acme detects no machines")
        data = {"kind": type(notice).__name__, **msgspec.to_builtins(notice)}
        return Request.of_json("POST", url, data)

    def read_webhook(self, request, purpose):
        data = request.json()
        shapes = {s.__name__: s for s in (Offered, Ringing, Ended, DigitPressed)}
        return [msgspec.convert(data, shapes[data.pop("kind")])]

    def answer(self, call, offer):
        return Answer(
            Response(200, {}, document(("openstream", {"url": offer.token_url}), ("hangup", {})))
        )

    def dismiss(self, call, why):
        return Answer(Response(200, {}, document(("reject", {}))))

    def read_answer(self, response):
        return read_document(response.body)

    def hang_up(self, call: CallInfo):
        response = yield Request.of_json(
            "POST", "https://api.acme.test/hangup", {"id": call.call_id}
        )
        assert response.status in (200, 404)

    def platform(self, request):
        if request.headers.get("authorization") != self.given["key"]:
            return Response(401)
        data = request.json() if request.body else {}
        call_id = data.get("id", "")
        action = request.path.rpartition("/")[2]
        if action == "place":
            leg = yield Place(
                to=data["to"],
                from_=data["from"],
                answer_url=data.get("answer_url", ""),
                status_url=data.get("status_url", ""),
                steps=read_document(json.dumps(data.get("steps", []))),
                ring_timeout=data.get("ring_timeout", 30.0),
                detect_machine=data.get("detect", False),
                tag=data.get("tag", ""),
            )
        elif action == "hangup":
            leg = yield HangUpLeg(call_id)
        elif action == "do":
            keep = data.get("keep", False)
            steps = read_document(json.dumps(data["steps"]))
            leg = yield Instruct(call_id, steps, keep_stream=keep)
        elif action == "fetch":
            leg = yield Fetch(call_id, data["url"], data.get("method", "POST"))
        elif action == "press":
            leg = yield Press(call_id, data["digits"])
        else:
            leg = yield Find(call_id)
        if leg is None:
            return Response(404)
        return Response.of_json({"id": leg.call.call_id, "state": leg.state, "tag": leg.tag})


def order(action, **data):
    """A REST request."""
    headers = {"authorization": "sesame"}
    return Request.of_json("POST", f"https://api.acme.test/v1/{action}", data, headers)


def ended(data):
    """The reason in an Ended webhook."""
    return EndReason(Why(data["reason"]["why"]), data["reason"]["who"])


class Server:
    """A server at ``https://bot.test``. ``documents`` are what each webhook path is answered with,
    a list one after the other; ``bot`` is what talks on a socket."""

    base = "https://bot.test"

    def __init__(self, *steps, bot=None, after=()):
        self.documents = {"answer": [document(*steps)], "after": [document(*after)]}
        self.bot = bot or hold
        self.carrier = Acme({"account": "AC1", "key": "sesame"})
        self.webhooks = []
        self.methods = []
        self.upgrades = []
        self.refuse = 0

    def kinds(self):
        return [data["kind"] for data in self.webhooks]

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        url = f"{scope['scheme']}://bot.test{scope['path']}"
        if query := scope["query_string"].decode():
            url += f"?{query}"
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        if scope["type"] == "http":
            request = Request(method=scope["method"], url=url, headers=headers)
            await self.webhook(request, receive, send)
        else:
            await self.media(Request(method="GET", url=url, headers=headers), receive, send)

    async def webhook(self, request, receive, send):
        request = msgspec.structs.replace(request, body=(await receive())["body"])
        status, body = 200, b""
        try:
            self.carrier.verify(request)
        except BadSignature:
            status = 401
        else:
            self.methods.append(request.method)
            self.webhooks.append(request.json() if request.body else dict(request.query))
            answers = self.documents.get(request.path.rpartition("/")[2])
            if answers:
                body = answers.pop(0) if len(answers) > 1 else answers[0]
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def media(self, request, receive, send):
        await receive()
        self.upgrades.append(request)
        try:
            self.carrier.verify(request)
        except BadSignature:
            self.refuse = 401
        if self.refuse:
            await send(
                {"type": "websocket.http.response.start", "status": self.refuse, "headers": []}
            )
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        await send({"type": "websocket.accept"})
        talk = Talk(receive, send)
        await self.bot(talk)


class Gone(Exception):
    pass


class Talk:
    """A bot's socket, in events."""

    def __init__(self, receive, send):
        self._receive, self._send = receive, send
        self.wire = End()
        self.seen = []

    async def next(self):
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise Gone(message["code"])
        (event,) = self.wire.receive(message["text"])
        self.seen.append(event)
        return event

    async def say(self, *events):
        for event in events:
            self.wire.send(event)
            for message in self.wire.outgoing():
                await self._send({"type": "websocket.send", "text": message})

    async def raw(self, text):
        await self._send({"type": "websocket.send", "text": text})

    async def close(self, code=1000):
        await self._send({"type": "websocket.close", "code": code})

    async def until_gone(self):
        try:
            while True:
                await self.next()
        except Gone as gone:
            return gone.args[0]


async def hold(talk):
    """Listen until the carrier hangs up."""
    await talk.until_gone()


async def echo(talk):
    """Send back what is heard."""
    try:
        while True:
            event = await talk.next()
            if isinstance(event, Audio):
                await talk.say(Audio(event.payload))
    except (Gone, OSError):
        return


# What most answers are made of.
STREAM = ("openstream", {"url": "wss://bot.test/media"})
AFTER = ("redirect", {"url": "https://bot.test/after"})


def tone(ms, hz=300):
    """A sound that is neither silence nor a key, 12 dB below full scale: L16 at 8 kHz."""
    count = 8 * ms
    wave = [round(8000 * math.sin(2 * math.pi * hz * n / 8000)) for n in range(count)]
    return struct.pack(f"<{count}h", *wave)


def pcm_at(record, start, ms):
    """What was heard from ``start`` seconds on."""
    low = round(start * 8000) * 2
    return record.bot[low : low + 16 * ms]


def play(server, scene, carrier=Acme, **options):
    """Run ``scene(phone)`` against ``server`` in virtual time, and leave nothing behind."""

    async def main():
        async with (
            InProcess(server) as network,
            Phone(carrier, network, base=server.base, **options) as phone,
        ):
            result = await scene(phone)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return run_virtual(main())
