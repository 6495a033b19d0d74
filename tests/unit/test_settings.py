"""The settings of a node: file, environment, and what is said about mistakes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from stasis_callback.core.errors import InvalidInput
from stasis_callback.settings import AriSettings, DatabaseSettings, find_config, host_name, load_settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STASIS_CALLBACK_")]:
        monkeypatch.delenv(name)


def config(text: str, name: str = "stasis-callback.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def test_an_empty_file_gives_the_defaults() -> None:
    settings = load_settings(config(""))
    assert settings.node == host_name()
    assert settings.log_format == "text"
    # The fixture `nothing_installed` gives tests other defaults of these two, but not to their sections.
    assert DatabaseSettings().url == "sqlite:///stasis-callback.db"
    assert AriSettings().url == "http://127.0.0.1:8088"
    assert (settings.limits.queue, settings.limits.live_calls) == (1000, 200)


@pytest.mark.parametrize(
    ("machine", "node"),
    [
        ("pbx1", "pbx1"),
        ("pbx1.example.net", "pbx1-example-net"),
        ("čtyři_2", "ty-i_2"),
        ("x" * 64, "x" * 40),
        ("...", "node"),
    ],
)
def test_a_node_without_a_name_has_the_machines(
    monkeypatch: pytest.MonkeyPatch, machine: str, node: str
) -> None:
    """So that two installations on one database are not one node by default."""
    monkeypatch.setattr(socket, "gethostname", lambda: machine)
    assert load_settings(config("")).node == node


def test_a_file_sets_what_it_names() -> None:
    settings = load_settings(config('node = "prague"\n[ari]\npassword = "secret"\n[limits]\nqueue = 5\n'))
    assert (settings.node, settings.limits.queue, settings.limits.live_calls) == ("prague", 5, 200)
    assert settings.ari.password.get_secret_value() == "secret"
    assert settings.ari.username == "stasis-callback"


def test_the_environment_wins_over_the_file_name_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_NODE", "brno")
    monkeypatch.setenv("STASIS_CALLBACK_ARI__PASSWORD", "other")
    settings = load_settings(config('node = "prague"\n[ari]\npassword = "secret"\nusername = "me"\n'))
    assert settings.node == "brno"
    assert settings.ari.password.get_secret_value() == "other"
    assert settings.ari.username == "me"


def test_the_password_is_never_shown() -> None:
    settings = load_settings(config('[ari]\npassword = "opensesame"\n'))
    assert "opensesame" not in f"{settings!r} {settings}"


def test_the_file_in_this_folder_is_found() -> None:
    config('node = "here"')
    assert find_config() == Path("stasis-callback.toml")
    assert load_settings().node == "here"


def test_a_named_file_comes_first_then_the_one_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config('node = "here"')
    monkeypatch.setenv("STASIS_CALLBACK_CONFIG", str(config('node = "environment"', "e.toml")))
    assert load_settings().node == "environment"
    assert load_settings(config('node = "named"', "n.toml")).node == "named"


def test_a_named_file_that_is_missing_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    config('node = "here"')
    with pytest.raises(InvalidInput, match=r"settings file nowhere.toml does not exist: create one"):
        load_settings(Path("nowhere.toml"))
    monkeypatch.setenv("STASIS_CALLBACK_CONFIG", "lost.toml")
    with pytest.raises(InvalidInput, match=r"settings file lost.toml does not exist"):
        load_settings()


@pytest.mark.parametrize(
    ("text",                                    "why"),
    [
        ("node = ",                                 "cannot be read"),
        ("node = 'a'\nnode = 'b'",                  "cannot be read"),
        ("nodes = 'a'",                             "setting nodes does not exist"),
        ("[ari]\npasword = 'a'",                    "setting ari.pasword does not exist"),
        ("node = 7",                                "setting node must be text in quotes"),
        ("node = 'a b'",                            "setting node has a form that is not allowed"),
        ("log_format = 'xml'",                      "setting log_format has a form that is not allowed"),
        ("ari = 'here'",                            "setting ari must be a table"),
        ("[ari]\nurl = 'ftp://x'",                  "setting ari.url has a form that is not allowed"),
        ("[ari]\nrequest_timeout_s = 0",            "setting ari.request_timeout_s must be more than 0"),
        ("[fraud]\nalarm_mail_to = 'a@b, c@[d'",   " c@[d' is not an e-mail address of ASCII letters"),
        ("[limits]\nqueue = 0",                     "setting limits.queue must be at least 1 "),
        ("[limits]\nlive_calls = 10001",            "setting limits.live_calls must be at most 10000 "),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_file(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load_settings(config(text))
    assert why in str(refused.value)
    assert "stasis-callback.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_text_is_refused() -> None:
    Path("stasis-callback.toml").write_bytes(b"node = '\xff\xfe'")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_settings()


def test_a_mistake_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_LIMITS__QUEUE", "many")
    with pytest.raises(InvalidInput, match=r"limits\.queue"):
        load_settings(config(""))


def test_a_section_that_is_no_section_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STASIS_CALLBACK_LIMITS", "many")
    with pytest.raises(InvalidInput, match="STASIS_CALLBACK_"):
        load_settings()


def test_a_mistake_in_the_environment_is_not_blamed_on_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stasis-callback.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STASIS_CALLBACK_LIMITS__QUEUE", "none")
    with pytest.raises(InvalidInput, match=r"^STASIS_CALLBACK_LIMITS__QUEUE: setting limits\.queue"):
        load_settings()
