"""Forms for everybody: opening hours, a chosen time, proof of work, frames, and what is kept on an error."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from web_site import FIRST, PASSWORD, SECOND_E164, Site, hidden

from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.words import Ending
from stasis_callback.store.calls.requests import Requests
from stasis_callback.store.intake.idempotency import IdempotencyKeys

JSON = {"Accept": "application/json"}
FRIDAY_NOON = int(datetime(2027, 1, 29, 12, tzinfo=UTC).timestamp()) * US_PER_S
OFFICE = "mon-fri 09:00-17:00"


def problem(answer: Any) -> tuple[int, str, dict[str, str]]:
    body = answer.json()
    return answer.status_code, body.get("code", ""), body.get("fields", {})


def test_the_password_is_kept_when_something_else_is_wrong(site: Site) -> None:
    site.usual()
    page = site.send(first_number="12").text
    assert f'value="{PASSWORD}"' in page
    wrong = site.send(password="guess-4711").text
    assert "guess-4711" not in wrong
    unknown = site.send(account="nobody").text
    assert PASSWORD not in unknown


def test_who_asks_again_too_soon_is_told_when_to(site: Site) -> None:
    site.usual(dedupe_window_s="600")
    site.stores.accounts.change("6192345678", simultaneous_calls=2)
    request_id = site.send(headers=JSON).json()["id"]
    site.stores.requests.claim(1)
    site.stores.requests.finish(request_id, Ending.COMPLETED)
    site.shop.clock.passes(120)
    again = site.send(headers=JSON)
    assert problem(again)[:2] == (409, "repeated")
    assert again.headers["Retry-After"] == "480"
    assert "try again in 8\u00a0min" in again.json()["detail"] or "8 min" in again.json()["detail"]


def test_an_example_is_of_the_country_of_the_page_and_stays_in_one_line(site: Site) -> None:
    site.usual(languages="en,ru")
    assert "+7\u00a0301\u00a0123\u201145\u201167" in site.get("/web/calls?lang=ru").text
    assert "+44\u00a0" in site.get("/web/calls?lang=en").text
    site.stores.web_instances.change("calls", {"region": "CZ"})
    assert "212\u00a0345\u00a0678" in site.get("/web/calls?lang=ru").text


def test_numbers_are_read_as_in_the_country_that_was_picked(site: Site) -> None:
    site.usual()
    about = site.get("/web/calls", headers=JSON).json()
    assert about["countries"]["CZ"] == "420"
    assert site.send(country="GB", second_number="07400 900123").status_code == 303
    (row,) = site.callbacks()
    assert row["destination"] == SECOND_E164
    assert site.send(country="no such", second_number="07400 900123").status_code == 422


def test_calls_are_made_in_the_opening_hours(site: Site) -> None:
    site.shop.clock.at_us = FRIDAY_NOON
    site.usual(opening_hours=OFFICE, time_zone="Asia/Tokyo")
    closed = site.send(headers=JSON)
    assert problem(closed) == (503, "closed", {})
    assert "from 2027-02-01 09:00 (Asia/Tokyo)" in closed.json()["detail"]
    assert int(closed.headers["Retry-After"]) == 60 * 3600
    assert "from 2027-02-01 09:00 (Asia/Tokyo)" in site.send().text
    site.stores.web_instances.change("calls", {"time_zone": "Europe/London"})
    assert site.send(headers=JSON).status_code == 201


def test_a_time_is_chosen_by_the_clock_of_the_instance(site: Site) -> None:
    site.shop.clock.at_us = FRIDAY_NOON
    site.usual(call_me_at="on", opening_hours=OFFICE, time_zone="Europe/Prague")
    assert "Europe/Prague" in site.get("/web/calls").text
    assert problem(site.send(headers=JSON, call_at="18:30")) == (422, "closed", {"call_at": "closed"})
    assert problem(site.send(headers=JSON, call_at="soon")) == (422, "bad_time", {"call_at": "bad_time"})
    page = site.send(call_at="16:30")
    assert page.status_code == 303
    (row,) = site.callbacks()
    assert row["due_at_us"] == FRIDAY_NOON + int(3.5 * 3600) * US_PER_S
    assert "2027-01-29 16:30 (Europe/Prague)" in site.get(page.headers["Location"]).text
    key = site.key()
    shown = site.api("GET", f"/callbacks/{row['id']}", key).json()
    assert shown["call_at"] == "2027-01-29T15:30:00.000Z"
    assert site.stores.requests.claim(1) == []
    site.shop.clock.passes(int(3.5 * 3600))
    assert [request.id for request in site.stores.requests.claim(1)] == [row["id"]]


def test_a_program_chooses_a_time_where_the_instance_takes_one(site: Site) -> None:
    site.shop.clock.at_us = FRIDAY_NOON
    site.usual(time_zone="Europe/Prague")
    key = site.key()

    def asks(call_at: str) -> Any:
        body = {
            "instance": "calls", "account": "6192345678", "password": PASSWORD, "first_number": FIRST,
            "second_number": "+" + SECOND_E164, "call_at": call_at,
        }  # fmt: skip
        return site.api("POST", "/callbacks", key, json=body)

    assert problem(asks("16:30")) == (422, "no_times", {"call_at": "no_times"})
    assert problem(site.send(headers=JSON, call_at="16:30")) == (422, "no_times", {"call_at": "no_times"})
    site.stores.web_instances.change("calls", {"call_me_at": "on"})
    for late in ("2027-01-29T11:59:00+00:00", "2027-01-30T12:01:00+00:00", "29:00", "16:30 PM"):
        assert problem(asks(late)) == (422, "bad_time", {"call_at": "bad_time"})
    assert site.callbacks() == []
    made = asks("2027-01-29T16:30:00+01:00")
    assert (made.status_code, made.json()["call_at"]) == (201, "2027-01-29T15:30:00.000Z")


def solved(site: Site) -> str:
    """What a browser computes."""
    asked = site.get("/web/calls/challenge", headers=JSON).json()
    number = next(
        n
        for n in range(asked["maxnumber"] + 1)
        if hashlib.sha256(f"{asked['salt']}{n}".encode()).hexdigest() == asked["challenge"]
    )
    return base64.b64encode(json.dumps(asked | {"number": number}).encode()).decode()


def test_a_form_is_worth_some_work_once(site: Site) -> None:
    site.usual(proof_of_work="on")
    assert problem(site.send(headers=JSON))[:2] == (422, "no_proof")
    proof = solved(site)
    other = json.loads(base64.b64decode(proof)) | {"salt": "0" * 24 + "?expires=99999999999&"}
    forged = base64.b64encode(json.dumps(other).encode()).decode()
    for bad in (forged, "e30=", "!!", "A" * 2000, base64.b64encode(b"[1]").decode()):
        assert problem(site.send(headers=JSON, altcha=bad))[:2] == (422, "no_proof")
    assert site.send(headers=JSON, altcha=proof, form_key="k").status_code == 201
    assert site.send(headers=JSON, altcha=proof, form_key="k").status_code == 201, "the same form again"
    assert problem(site.send(headers=JSON, altcha=proof))[:2] == (422, "no_proof"), "used"
    late = solved(site)
    site.shop.clock.passes(1200)
    assert problem(site.send(headers=JSON, altcha=late))[:2] == (422, "no_proof")
    bearer = {"Authorization": f"Bearer {site.key('create')}"} | JSON
    assert problem(site.send(headers=bearer))[1] != "no_proof", "a program shows its key"


@pytest.mark.parametrize(("where", "what"), [(Requests, "accept"), (IdempotencyKeys, "answer")])
def test_a_form_whose_answer_failed_is_sent_again_with_the_same_work(
    site: Site, monkeypatch: pytest.MonkeyPatch, where: type, what: str
) -> None:
    """Before its callback was there, and after."""
    site.usual(proof_of_work="on")
    proof = solved(site)
    real = getattr(where, what)

    def once(*words: Any, **more: Any) -> None:
        monkeypatch.setattr(where, what, real)
        raise StoreUnavailable("the database is unavailable")

    monkeypatch.setattr(where, what, once)
    failed = site.send(headers=JSON, altcha=proof, form_key="k")
    assert failed.status_code == 503
    site.shop.clock.passes(11)
    assert site.send(headers=JSON, altcha=proof, form_key="k").status_code == 201
    assert len(site.callbacks()) == 1
    for fields in ({"form_key": "other"}, {"form_key": "k", "first_number": "+447400900124"}, {}):
        assert site.send(headers=JSON, altcha=proof, **fields).status_code == 422, "work is for one callback"
    assert len(site.callbacks()) == 1


def test_a_form_is_framed_by_the_sites_that_are_named(site: Site) -> None:
    site.usual()
    answer = site.get("/web/calls")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    site.stores.web_instances.change(
        "calls", {"frame_origins": "https://shop.example, https://other.example"}
    )
    answer = site.get("/web/calls")
    assert (
        "frame-ancestors https://shop.example https://other.example"
        in (answer.headers["Content-Security-Policy"])
    )
    assert "X-Frame-Options" not in answer.headers
    site.http.cookies.clear()  # browsers send none from a frame
    own = {"Origin": site.settings.web.origin}
    sent = site.send(headers=own, form_key=hidden(answer.text, "form_key"))
    assert sent.status_code == 303
    assert "https://shop.example" in site.get(sent.headers["Location"]).headers["Content-Security-Policy"]
    assert site.send(headers={"Origin": "https://shop.example"}, first_number=FIRST).status_code == 403


def test_failure_looks_like_failure(site: Site) -> None:
    site.usual()
    link = site.send().headers["Location"]
    (row,) = site.callbacks()
    site.stores.requests.claim(1)
    site.stores.requests.finish(row["id"], Ending.BUSY)
    page = site.get(link).text
    assert '<li class="failed">The call has ended</li>' in page
    assert 'class="now over failed"' in page
