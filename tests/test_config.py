"""Settings and credentials from an environment."""

import pytest
from pydantic import ValidationError

from trunkline import carriers
from trunkline.config import Settings, dial_rate, load_carriers, outbound_audio, variable
from trunkline.errors import ConfigError
from trunkline.limits import Limits


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch):
    """A developer's own variables say nothing here."""
    import os

    for name in list(os.environ):
        if name.startswith("TRUNKLINE_") or name == "PUBLIC_URL":
            monkeypatch.delenv(name)


def test_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", "https://bot.example/voice/")
    monkeypatch.setenv("TRUNKLINE_SECRET", "new, old,")
    monkeypatch.setenv("TRUNKLINE_MAX_CALLS", "7")
    settings = Settings()
    assert settings.public_url == "https://bot.example/voice"
    assert settings.secrets == ("new", "old")
    assert settings.max_calls == 7
    assert settings.limits == Limits()


def test_the_more_exact_name_wins(monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", "https://a.example")
    monkeypatch.setenv("TRUNKLINE_PUBLIC_URL", "https://b.example")
    assert Settings().public_url == "https://b.example"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "wss://a.example/voice/acme/media"),
        ({"media_port": 8443}, "wss://a.example:8443/acme/media"),
        (
            {"media_url": "wss://media.a.example", "media_port": 1},
            "wss://media.a.example/acme/media",
        ),
        ({"public_url": "http://[::1]:8080", "media_port": 8443}, "ws://[::1]:8443/acme/media"),
    ],
)
def test_media_sockets_are_opened_where_the_settings_say(given, url):
    settings = Settings(**{"public_url": "https://a.example/voice", **given})
    assert settings.stream_url("acme") == url


def test_a_secret_is_made_up_once_where_none_is_set():
    settings = Settings()
    assert settings.secrets == settings.secrets
    assert len(settings.secrets[0]) >= 32
    assert settings.secrets != Settings().secrets


def test_a_public_url_without_a_scheme_is_refused():
    with pytest.raises(ValidationError, match="https://"):
        Settings(public_url="bot.example")


@pytest.mark.parametrize(
    ("public", "media", "stream"),
    [
        ("https://bot.example", "", "wss://bot.example/acme/media"),
        ("http://127.0.0.1:8000", "", "ws://127.0.0.1:8000/acme/media"),
        ("https://bot.example/v", "https://m.example:9", "wss://m.example:9/acme/media"),
        ("https://bot.example", "wss://m.example/x", "wss://m.example/x/acme/media"),
    ],
)
def test_the_media_url_follows_the_public_one_unless_set(public, media, stream):
    assert Settings(public_url=public, media_url=media).stream_url("acme") == stream


def example_environment(kind):
    return {c.env: c.example for c in kind.credentials}


@pytest.mark.parametrize("kind", carriers.all_carriers(), ids=lambda kind: kind.name)
def test_a_carrier_is_switched_on_by_its_credentials(kind):
    environ = example_environment(kind)
    assert list(load_carriers(Settings(), environ)) == [kind.name]
    for credential in kind.credentials:
        if credential.required:
            without = {k: v for k, v in environ.items() if k != credential.env}
            with pytest.raises(ConfigError, match=credential.env):
                load_carriers(Settings(), without)


def test_with_a_simulator_all_are_on_and_what_is_set_is_kept():
    kind = carriers.all_carriers()[0]
    first = kind.credentials[0]
    settings = Settings(simulator_url="http://127.0.0.1:1")
    found = load_carriers(settings, {first.env: "mine"})
    assert sorted(found) == carriers.names()
    assert found[kind.name].given[first.name] == "mine"


@pytest.mark.parametrize("kind", carriers.all_carriers(), ids=lambda kind: kind.name)
def test_the_encoding_of_our_audio_can_be_chosen_among_the_carriers(kind):
    variable = f"{kind.name.upper()}_AUDIO"
    assert outbound_audio(kind, {}) == kind.outbound[0]
    for audio in kind.outbound:
        assert outbound_audio(kind, {variable: str(audio)}) == audio
    for wrong in ("L16/11025", "nonsense"):
        with pytest.raises(ConfigError, match=variable):
            outbound_audio(kind, {variable: wrong})


def test_how_fast_a_carrier_is_dialled():
    (kind, *_) = carriers.all_carriers()
    variable = f"{kind.name.upper()}_DIAL_RATE"
    assert dial_rate(kind, {}) == kind.dial_rate
    assert dial_rate(kind, {variable: "0.5"}) == 0.5
    for text in ("0", "-1", "fast", "nan", "inf"):
        with pytest.raises(ConfigError, match=variable):
            dial_rate(kind, {variable: text})


def test_keys_and_prefixes_of_the_http_api(monkeypatch):
    monkeypatch.setenv("TRUNKLINE_API_KEYS", "0123456789abcdef, fedcba9876543210")
    monkeypatch.setenv("TRUNKLINE_DIAL_PREFIXES", "+1,+44")
    settings = Settings()
    assert settings.api_keys == ("0123456789abcdef", "fedcba9876543210")
    assert settings.dial_prefixes == ("+1", "+44")
    with pytest.raises(ValidationError, match="16 characters"):
        Settings(api_keys="short")
    for prefix in ("1", "+", "+x", "00"):
        with pytest.raises(ValidationError, match=r"\+ and digits"):
            Settings(dial_prefixes=prefix)


def test_a_variable_that_is_empty_is_not_set(monkeypatch):
    assert variable("KEY", environ={"KEY": "k"}) == "k"
    assert variable("KEY", environ={"KEY": ""}) == ""
    assert variable("KEY", "default", {"KEY": ""}) == "default"
    monkeypatch.setenv("TRUNKLINE_TEST_KEY", "of the environment")
    assert variable("TRUNKLINE_TEST_KEY") == "of the environment"
