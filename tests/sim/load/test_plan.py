"""What can be asked of a load test, and what is answered to what cannot."""

import pytest

from trunkline import carriers
from trunkline.cli import main
from trunkline.errors import ConfigError
from trunkline.events import Digit
from trunkline.sim.load.plan import planned

BARE = next(kind for kind in carriers.all_carriers() if Digit in kind.hears)
KEYLESS = next(
    kind
    for kind in carriers.all_carriers()
    if Digit not in kind.hears and not kind.digits_by_webhook
)
ONE = next(kind for kind in carriers.all_carriers() if kind.one_format and len(kind.outbound) > 1)


def ask(url="http://127.0.0.1:1", carrier=BARE.name, scenario="echo", **given):
    options = {
        "socket": False,
        "calls": 10,
        "cps": 4.0,
        "duration": 1.0,
        "inbound": "",
        "outbound": "",
        "hold_ms": 40.0,
        "key": "",
        "parameters": (),
        "via": "",
        "rest_port": 8099,
        "processes": 1,
    }
    return planned(carrier, url, scenario, **{**options, **given})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"url": "127.0.0.1:80"}, "write http://HOST:PORT"),
        ({"scenario": "sing"}, "echo, talk, bargein, short"),
        ({"calls": 0}, "--calls must be more than 0"),
        ({"cps": -1.0}, "--cps"),
        ({"processes": 11}, "at most one for each call"),
        ({"hold_ms": 1000.0}, "--hold"),
        ({"key": "12"}, "--key is one of"),
        ({"key": "1", "carrier": KEYLESS.name}, "leave --key out"),
        ({"parameters": ["token"]}, "NAME=VALUE"),
        ({"outbound": "MP3/8000"}, "not an audio format"),
        ({"outbound": "PCMU/7999"}, "takes"),
        ({"inbound": "PCMU/7999"}, "sends the caller's audio as"),
        ({"carrier": "nobody"}, "no carrier is called"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(given, why):
    with pytest.raises(ConfigError, match=why):
        ask(**given)


def test_the_command_tells_it(capsys):
    with pytest.raises(SystemExit) as failed:
        main(["load", "--url", "nowhere"])
    assert failed.value.code == 1
    assert "ws://HOST:PORT/PATH" in " ".join(capsys.readouterr().err.split())


def test_a_websockets_url_needs_no_flag():
    assert ask("ws://h/p").direct
    assert ask("https://h/p", socket=True).url == "wss://h/p"
    assert not ask("http://h/").direct
    assert ask("http://h/").url == "http://h"
    assert ask(parameters=["a=b=c"]).parameters == {"a": "b=c"}


def test_one_encoding_for_both_ways_where_the_carrier_has_one():
    spoken = str(ONE.outbound[1])
    assert ask(carrier=ONE.name, outbound=spoken).inbound == spoken


def test_calls_are_dealt_out_to_processes():
    shares = ask(processes=3).share(3)
    assert [share.calls for share in shares] == [4, 3, 3]
    assert sum(share.cps for share in shares) == pytest.approx(4.0)
    assert ask().share(1) == [ask()]
