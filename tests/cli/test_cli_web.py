"""`web` and `api-key`: instances of the three types, forms, links, keys; and `run --only web`."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests
from command_line import SUBSCRIBER, CommandLine

from stasis_callback.clock import wait_until
from stasis_callback.core.requests import CallbackRequest

HELP_DESK = "442079460958"
SECRET = "x" * 40


def _types(cli: CommandLine) -> None:
    cli.ok("web", "add", "help", "--type", "simple", "--set", f"second_number={HELP_DESK}")
    cli.ok("web", "add", "calls", "--type", "extended", "--set", "region=GB", "--set", "languages=en,ru")
    cli.ok("web", "add", "shop", "--type", "hosted", "--set", f"internal_account={SUBSCRIBER}")


def test_instances_are_added_listed_shown_changed_and_removed(shop: CommandLine) -> None:
    _types(shop)
    assert [row["name"] for row in shop.ok("web", "list", "--json").json] == ["calls", "help", "shop"]
    shop.ok("web", "set", "help", "--set", "limit_number=2/60", "--set", "talk_limit_s=300", "--disabled")
    shown = shop.ok("web", "show", "help", "--json").json
    assert (shown["enabled"], shown["options"]["limit_number"]) == (False, "2/60")
    assert shown["options"]["talk_limit_s"] == "300"
    assert shown["options"]["announce_balance"] == "off", "what is in force, not the default of a missed call"
    assert shown["options"]["caller_id_a"] == HELP_DESK
    shop.ok("web", "set", "help", "--set", "limit_number=", "--enabled")
    assert shop.ok("web", "show", "help", "--json").json["options"]["limit_number"] == "10/3600"
    assert "second_number" in shop.ok("web", "show", "help").out
    shop.ok("web", "remove", "help")
    assert len(shop.ok("web", "list", "--json").json) == 2
    names = {row["name"] for row in shop.ok("web", "options", "--json").json}
    assert {"type", "limit_logins", "talk_limit_s"} <= names
    assert not {"ask_password", "reject_cause"} & names


@pytest.mark.parametrize(
    ("words",                                                                      "says"),
    [
        (("add", "x", "--type", "simple"),                                         "needs a second_number"),
        (("add", "x", "--type", "hosted"),                                         "internal_account is required"),
        (("add", "x", "--type", "extended", "--set", "second_number=442079460958"),"do not set second_number"),
        (("add", "x", "--type", "extended", "--set", "internal_account=" + SUBSCRIBER), "not allowed for other"),
        (("add", "x", "--type", "huge"),                                           "write one of simple, extended"),
        (("add", "X!", "--type", "extended"),                                      "small letters"),
        (("add", "x", "--type", "hosted", "--set", "internal_account=nobody"),     "unknown account 'nobody'"),
        (("add", "x", "--type", "extended", "--set", "region=ZZ"),                 "write a two-letter country code"),
        (("add", "x", "--type", "extended", "--set", "languages=en,xx"),           "no prompts in language 'xx'"),
        (("add", "x", "--type", "extended", "--set", "authentication=pin"),        "unknown option 'authentication'"),
        (("add", "x", "--type", "extended", "--set", "limit_number=often"),        "times/seconds"),
        (("add", "x", "--type", "extended", "--set", "allowed_origins=example.com"), "allowed_origins"),
        (("add", "x", "--type", "extended", "--set", "allowed_origins=https://a.com/x"), "only scheme and host"),
        (("add", "x", "--type", "extended", "--set", "allowed_addresses=everybody"), "write, for example, 192"),
        (("add", "x", "--type", "extended", "--set", "webhook_url=file:///etc"),   "webhook_url"),
        (("add", "x", "--type", "extended", "--set", "webhook_url=http://a..b/"),  "write a URL"),
        (("add", "x", "--type", "extended", "--set", "webhook_url=http://[::1]x/"), "write a URL"),
        (("add", "x", "--type", "extended", "--set", f"webhook_url=http://{'a' * 64}.b/"), "write a URL"),
        (("add", "x", "--type", "extended", "--set", "link_lifetime_s=1"),         "60 to 2592000"),
        (("add", "x", "--type", "extended", "--set", "talk_limit_s=1"),            "10 to 86400"),
        (("show", "nobody"),                                                       "unknown web instance"),
        (("set", "nobody", "--disabled"),                                          "unknown web instance"),
        (("remove", "nobody"),                                                     "unknown web instance"),
        (("form", "nobody"),                                                       "unknown web instance"),
        (("set", "nobody"),                                                        "nothing to change"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_sentence(shop: CommandLine, words: tuple[str, ...], says: str) -> None:
    assert says in shop.refused("web", *words)


def test_an_instance_with_a_key_of_its_own_is_not_removed(shop: CommandLine) -> None:
    _types(shop)
    shop.ok("api-key", "add", "crm", "--scope", "create", "--instance", "shop")
    assert "api-key revoke crm" in shop.refused("web", "remove", "shop")
    shop.ok("api-key", "revoke", "crm")
    shop.ok("web", "remove", "shop")


def test_failed_logins_are_seen_and_forgotten(shop: CommandLine) -> None:
    from stasis_callback.core.limits import Limit

    _types(shop)
    shop.ok("api-key", "add", "crm", "--scope", "create")
    keys = ("account:6192345678", "source:2001:db8::/64", "source:crm/ann", "portal:crm")
    with shop.stores() as stores:
        for key in keys:
            stores.limits.take(f"login:web:{key}", Limit(5, 900))
    seen = [(row["kind"], row["who"]) for row in shop.ok("web", "lockouts", "--json").json]
    assert seen == [
        ("account", "6192345678"),
        ("source", "2001:db8::/64"),
        ("source", "crm/ann"),
        ("API key", "crm"),
    ]
    shop.ok("web", "unlock", "--account", "6192345678", "--address", "2001:db8::7", "--api-key", "crm")
    assert shop.ok("web", "lockouts", "--json").json == []
    assert "nothing to unlock" in shop.refused("web", "unlock")
    assert "is not an address" in shop.refused("web", "unlock", "--address", "everybody")
    assert "unknown API key" in shop.refused("web", "unlock", "--api-key", "nobody")


def test_webhooks_are_sent_again(shop: CommandLine) -> None:
    _types(shop)
    assert shop.ok("web", "resend").out == "there are none to send again\n"
    with shop.stores() as stores:
        request = CallbackRequest("k", "web", "1", "", "447400900123", "calls")
        account = stores.accounts.named(SUBSCRIBER)
        stores.requests.accept(
            request,
            account_id=account.id,
            subscriber_id=account.id,
            leg_a_number=SUBSCRIBER,
            stored_options={},
            queue_limit=10,
            request_id="00000000000000aa",
        )
        (event,) = stores.events.of("00000000000000aa")
        stores.events.close(event, "failed")
    assert shop.ok("web", "resend", "shop").out == "there are none to send again\n"
    assert shop.ok("web", "resend", "calls", "--since", "2020-01-01").out == "1 webhooks are sent again\n"
    again = ("web", "resend", "--callback", "00000000000000aa", "--delivered")
    assert shop.ok(*again).out == "there are none to send again\n", "it waits already"
    assert "everything again" in shop.refused("web", "resend", "--delivered")
    assert "unknown web instance" in shop.refused("web", "resend", "nobody")
    assert "unknown request" in shop.refused("web", "resend", "--callback", "nothing")
    assert "is not a day or time" in shop.refused("web", "resend", "--since", "lately")


def test_the_settings_of_a_key(shop: CommandLine) -> None:
    shop.ok(
        "api-key", "add", "crm", "--scope", "create", "--expires", "2998-01-31", "--addresses", "192.0.2.7"
    )
    shop.ok("api-key", "set", "crm", "--limit-logins", "5/60", "--limit-requests", "10/1")
    (key,) = shop.ok("api-key", "list", "--json").json
    assert (key["expires_at"], key["addresses"]) == ("2998-02-01T00:00:00.000Z", "192.0.2.7")
    assert (key["limit_requests"], key["limit_logins"]) == ("10/1", "5/60")
    shop.ok("api-key", "set", "crm", "--expires", "never", "--addresses", "any")
    (key,) = shop.ok("api-key", "list", "--json").json
    assert (key["expires_at"], key["addresses"]) == (None, "")
    for words, says in (
        (("set", "crm"), "nothing to change"),
        (("set", "nobody", "--expires", "never"), "unknown API key"),
        (("set", "crm", "--limit-logins", "many"), "times/seconds"),
        (("set", "crm", "--addresses", "everybody"), "write, for example, 192"),
        (("set", "crm", "--expires", "soon"), "is not a day or time"),
    ):
        assert says in shop.refused("api-key", *words)


# --- the sample form -------------------------------------------------------------------------------------------


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: list[str] = []
        self.action = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self.action = values["action"] or ""
        if tag == "input" and values.get("type") != "hidden":
            self.fields.append(values["name"] or "")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("help", ["account", "first_number"]),
        ("calls", ["account", "password", "first_number", "second_number"]),
        ("shop", ["first_number"]),
    ],
)
def test_the_sample_form_has_the_documented_fields(
    shop: CommandLine, name: str, fields: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_WEB__PUBLIC_URL", "https://callback.example.com")
    _types(shop)
    form = _Form()
    form.feed(shop.ok("web", "form", name).out)
    assert (form.fields, form.action) == (fields, f"https://callback.example.com/web/{name}")
    guide = Path(__file__).parents[2] / "docs" / "guides" / "web-callback.md"
    assert all(f"| `{field}` |" in guide.read_text() for field in fields)


def test_the_sample_form_in_a_language_of_the_instance(shop: CommandLine) -> None:
    _types(shop)
    assert "Перезвоните мне" in shop.ok("web", "form", "calls", "--language", "ru").out
    assert "use one of en, ru" in shop.refused("web", "form", "calls", "--language", "it")


# --- links and keys --------------------------------------------------------------------------------------------


def test_links_and_webhook_secrets_need_the_secret(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _types(shop)
    monkeypatch.setenv("STASIS_CALLBACK_WEB__SECRET", "short")
    assert "web.secret" in shop.refused("web", "link", "shop")
    monkeypatch.setenv("STASIS_CALLBACK_WEB__SECRET", SECRET)
    assert "/web/shop?client=" in shop.ok("web", "link", "shop", "--valid-s", "600").out
    assert "is not of type hosted" in shop.refused("web", "link", "calls")
    limited = shop.ok("web", "link", "shop", "--uses", "1", "--money", "2.50").out
    assert ".1.2500000." in limited
    assert "not more than 0" in shop.refused("web", "link", "shop", "--money", "0")
    assert "USD" in shop.refused("web", "link", "shop", "--money", "0.001")
    first, second = (shop.ok("web", "webhook-secret", name).out for name in ("calls", "shop"))
    assert first.startswith("whsec_")
    assert first != second


def test_a_payment_hook_has_a_url_and_a_secret_that_can_be_renewed(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_WEB__SECRET", SECRET)
    url, first = shop.ok("payment-hook", "add", "mpesa").out.split()
    assert url.endswith("/api/v1/payments/mpesa")
    assert shop.ok("payment-hook", "secret", "mpesa").out.split() == [url, first]
    second = shop.ok("payment-hook", "renew", "mpesa").out.split()[1]
    assert first.startswith("whsec_")
    assert first != second
    (row,) = shop.ok("payment-hook", "list", "--json").json
    assert (row["name"], row["turn"]) == ("mpesa", 2)
    assert "already exists" in shop.refused("payment-hook", "add", "mpesa")
    assert "not a name for a URL" in shop.refused("payment-hook", "add", "M Pesa")
    for verb in ("secret", "renew", "remove"):
        assert "unknown payment hook" in shop.refused("payment-hook", verb, "nobody")
    shop.ok("payment-hook", "remove", "mpesa")
    noted = shop.ok("audit", "list", "--noun", "payment-hook", "--json").json
    assert [entry["after"].get("turn") for entry in noted] == [None, 2, 1]


def test_a_key_is_shown_once_and_only_its_hash_is_kept(shop: CommandLine) -> None:
    _types(shop)
    key = shop.ok("api-key", "add", "crm", "--scope", "create", "--scope", "list").out.strip()
    assert key.startswith("sck_")
    assert key not in "".join(shop.dump())
    assert key not in shop.ok("api-key", "list").out
    (row,) = shop.ok("api-key", "list", "--json").json
    assert (row["scopes"], row["instance"], row["revoked_at"]) == (["create", "list"], "", None)
    assert shop.ok("api-key", "revoke", "crm").out == "API key crm is revoked\n"
    assert "already" in shop.ok("api-key", "revoke", "crm").out
    assert "crm" in shop.refused("api-key", "add", "crm", "--scope", "create")
    assert "one or more of create" in shop.refused("api-key", "add", "x", "--scope", "everything")
    assert "unknown web instance" in shop.refused(
        "api-key", "add", "x", "--scope", "create", "--instance", "y"
    )
    assert "unknown API key" in shop.refused("api-key", "revoke", "nobody")


# --- alone -----------------------------------------------------------------------------------------------------


def test_the_web_alone_in_a_process(shop: CommandLine) -> None:
    """Beside nodes that make the calls: what it takes is in the database when it answers."""
    _types(shop)
    with shop.stores() as stores:
        stores.accounts.change(SUBSCRIBER, password="4711")
    environment = os.environ | {
        "STASIS_CALLBACK_WEB__PORT": "0",
        "STASIS_CALLBACK_WEB__SECRET": SECRET,
        "STASIS_CALLBACK_LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "stasis_callback", "run", "--only", "web"]
    log = shop.folder / "web.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=shop.folder, env=environment, stderr=output, stdout=output)
    try:
        assert wait_until(
            lambda: "web.started" in log.read_text() or process.poll() is not None, timeout_s=20
        )
        started = next(line for line in log.read_text().splitlines() if "web.started" in line)
        base = "http://" + started.partition('"address": "')[2].partition('"')[0]
        fields = {"account": SUBSCRIBER, "password": "4711", "first_number": f"+{SUBSCRIBER}"}
        fields["second_number"] = "+420777000111"
        answer = requests.post(f"{base}/web/calls", fields, allow_redirects=False, timeout=10)
        assert answer.status_code == 303, answer.text
        assert requests.get(f"{base}/readyz", timeout=10).text == "ready\n"
    finally:
        process.terminate()
        assert process.wait(15) == 0
    (request,) = shop.ok("request", "list", "--json").json
    assert (request["state"], request["destination"]) == ("queued", "420777000111")
    assert "4711" not in log.read_text()


def test_only_the_web_can_run_alone(shop: CommandLine) -> None:
    assert "web and journal" in shop.refused("run", "--only", "mail")
