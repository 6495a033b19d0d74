"""The subscriber's own pages: balance, calls, numbers, speed dials, voucher, password. Behind account id and password

Logins are counted as those of forms are, and wrong voucher codes are (`engine/redeeming.py`). What a subscriber
changes is in the audit log. Everything works without scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.limits import RequestLimits
from stasis_callback.core.money import format_amount
from stasis_callback.core.numbering import read_number
from stasis_callback.core.periods import last_day, local_time, time_zone
from stasis_callback.engine.admission.checks import number_trouble
from stasis_callback.engine.admission.logins import Credentials, Logins
from stasis_callback.engine.redeeming import redeem
from stasis_callback.settings import Settings
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.calls.asked import XdrPages
from stasis_callback.store.calls.legs import XdrView
from stasis_callback.store.stores import Stores
from stasis_callback.web.brand import brand
from stasis_callback.web.pages import FORM_TYPE, Pages, parse_form, template_environment
from stasis_callback.web.paging import cursor, read_cursor
from stasis_callback.web.problems import ApiError
from stasis_callback.web.sessions import LoggedIn, SignedSessions
from stasis_callback.web.signing import Signer
from stasis_callback.web.texts import LANGUAGES, chosen_language, texts
from stasis_callback.web.visitors import source_of

log = structlog.get_logger()

PATH = "/account"
NEWEST, PAGE = 5, 25
"""Calls on the first page, and on each page of calls."""
PASSWORD_LEAST = 8
DONE = ("voucher", "voucher_repeated", "callback_number", "number_removed", "speed_dial", "password")
"""What a page may say that was done: keys of the texts."""
LIMITS = RequestLimits()

Problems = Mapping[str, str]
"""Codes of what is wrong, by field; "" for the page."""
Act = Callable[["SubscriberPages", AccountView, Mapping[str, str]], "str | Problems"]
"""Does what a form asks: the key of what was done, or what is wrong."""

Changed = tuple[dict[str, Any], dict[str, object]]
"""New values of an account, and what was there before."""


class SubscriberPages:
    """The pages of one subscriber at a time."""

    def __init__(
        self, settings: Settings, stores: Stores, signer: Signer, clock: Clock, pages: Pages
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._pages = pages
        self._zone = time_zone(settings.time_zone)
        self._xdrs = XdrPages(stores.database)
        self._logins = Logins(stores, clock)
        self._sessions = SignedSessions(signer, clock, settings.web.origin, kind="account", path=PATH)
        self._templates = template_environment()

    def routes(self) -> list[Route]:
        """The routes; none unless the pages are switched on."""
        if not self._settings.web.account_pages:
            return []
        return [
            Route(PATH, self._in_thread(self._show), methods=["GET"], name="account"),
            Route(f"{PATH}/calls", self._in_thread(self._show_calls), methods=["GET"], name="account calls"),
            Route(f"{PATH}/login", self._post(self._log_in), methods=["POST"], name="account login"),
            Route(f"{PATH}/logout", self._post(self._log_out), methods=["POST"], name="account logout"),
            *(
                Route(f"{PATH}/{name}", self._post(self._form(act)), methods=["POST"], name=f"account {name}")
                for name, act in ACTS.items()
            ),
        ]

    # --- requests -----------------------------------------------------------------------------------------------

    @staticmethod
    def _in_thread(show: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(show, request)

        return endpoint

    def _post(self, take: Callable[[Request, Mapping[str, str]], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            return await run_in_threadpool(self._take, request, body, take)

        return endpoint

    def _take(
        self, request: Request, body: bytes, take: Callable[[Request, Mapping[str, str]], Response]
    ) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
            return self._pages.message(request, "trouble", 415)
        values = parse_form(body)
        if values is None:
            return self._pages.message(request, "trouble", 400)
        if not self._sessions.is_from_us(request):
            return self._pages.message(request, "wrong_site", 403)
        return take(request, values)

    def _form(self, act: Act) -> Callable[[Request, Mapping[str, str]], Response]:
        """Takes a form of somebody who has logged in."""

        def take(request: Request, values: Mapping[str, str]) -> Response:
            session = self._session(request)
            if session is None:
                return self._login_form(request, {}, 403, "session_over")
            account = self._stores.accounts.named(session.who)
            if not self._sessions.is_own_form(request, session, values):
                return self._overview(request, session, account, {"": "form_expired"}, values, 403)
            done = act(self, account, values)
            if not isinstance(done, str):
                return self._overview(request, session, account, done, values, 422)
            response = RedirectResponse(f"{PATH}?done={done}", 303)
            if done == "password":  # all sessions of this account are over; this browser's goes on
                proof = self._stores.accounts.get(account.id).password_hash
                self._sessions.begin(response, account.number, proof)
            return response

        return take

    def _session(self, request: Request) -> LoggedIn | None:
        return self._sessions.of(request, self._proof_of)

    def _proof_of(self, number: str) -> str | None:
        account = self._stores.accounts.find(number)
        usable = account is not None and account.number == number and account.status != "closed"
        return account.password_hash if account is not None and usable else None

    # --- logging in and out ---------------------------------------------------------------------------------------

    def _log_in(self, request: Request, values: Mapping[str, str]) -> Response:
        known = self._logins.check(
            Credentials(
                "web",
                values.get("account", "").strip()[:64],
                values.get("password", "")[:64],
                source=source_of(request),
                limits=LIMITS,
            )
        )
        account = known.account
        if account is None or account.status == "closed":
            log.info("account.login_failed", reason=known.reason or "closed")
            code = known.reason or "wrong_login"
            status = 429 if known.retry_after_s else 403
            return self._login_form(request, values, status, code, known.retry_after_s)
        response = RedirectResponse(PATH, 303)
        self._sessions.begin(response, account.number, account.password_hash)
        return response

    def _log_out(self, request: Request, values: Mapping[str, str]) -> Response:
        session = self._session(request)
        response: Response = RedirectResponse(PATH, 303)
        if session is not None and self._sessions.is_own_form(request, session, values):
            self._sessions.end(response)
        return response

    def _login_form(
        self,
        request: Request,
        values: Mapping[str, str],
        status: int = 200,
        problem: str = "",
        retry_after_s: int = 0,
    ) -> Response:
        language = self._language(request, "")
        words = texts(language)
        html = self._templates.get_template("account_login.html").render(
            t=words,
            problem=words.problem(problem, retry_after_s=retry_after_s) if problem else "",
            number=values.get("account", "")[:64],
            languages=[(one, texts(one)["language"]) for one in LANGUAGES],
            **brand(self._settings.web, "account", language),
        )
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
        return HTMLResponse(html, status, headers=headers)

    @staticmethod
    def _language(request: Request, of_account: str) -> str:
        wanted = request.query_params.get("lang", "")
        if wanted not in LANGUAGES:
            wanted = of_account
        return chosen_language(LANGUAGES, wanted, request.headers.get("accept-language", ""))

    # --- the pages ------------------------------------------------------------------------------------------------

    def _show(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return self._login_form(request, {})
        return self._overview(request, session, self._stores.accounts.named(session.who), {}, {}, 200)

    def _overview(
        self,
        request: Request,
        session: LoggedIn,
        account: AccountView,
        problems: Problems,
        values: Mapping[str, str],
        status: int,
    ) -> Response:
        stores, account = self._stores, self._stores.accounts.get(account.id)
        done = request.query_params.get("done", "")
        page = self._usual(request, session, account)
        words = page["t"]
        newest = self._xdrs.page(account=account.number, limit=NEWEST)
        html = self._templates.get_template("account.html").render(
            **page,
            facts=self._facts(account),
            done=words["account"][f"done_{done}"] if done in DONE else "",
            problems={name: words.problem(code) for name, code in problems.items()},
            values={
                name: text for name, text in values.items() if name in ("callback_number", "key", "number")
            },
            calls=[self._call(xdr) for _, xdr in newest],
            callback_number=account.callback_number,
            aliases=stores.accounts.aliases(account.id),
            speed_dials=sorted(stores.accounts.speed_dials(account.id).items()),
            password_least=PASSWORD_LEAST,
        )
        return self._kept(HTMLResponse(html, status), session, account)

    def _show_calls(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return self._login_form(request, {})
        account = self._stores.accounts.named(session.who)
        try:
            place = read_cursor(request.query_params.get("after", "")[:128] or None)
        except ApiError:
            return self._pages.message(request, "not_found", 404)
        found = self._xdrs.page(account=account.number, before=place[0] if place else None, limit=PAGE + 1)
        html = self._templates.get_template("account_calls.html").render(
            **self._usual(request, session, account),
            calls=[self._call(xdr) for _, xdr in found[:PAGE]],
            older=cursor(found[PAGE - 1][0]) if len(found) > PAGE else "",
            paged=place is not None,
        )
        return self._kept(HTMLResponse(html), session, account)

    def _usual(self, request: Request, session: LoggedIn, account: AccountView) -> dict[str, Any]:
        """What every page of somebody who has logged in needs."""
        language = self._language(request, account.language)
        return {
            "t": texts(language),
            "number": account.number,
            "form_token": session.token,
            **brand(self._settings.web, "account", language),
        }

    def _kept(self, response: Response, session: LoggedIn, account: AccountView) -> Response:
        self._sessions.renew(response, session, account.password_hash)
        return response

    def _facts(self, account: AccountView) -> list[tuple[str, str]]:
        """The account as its owner sees it: keys of the texts, and values."""
        shown = [("balance", format_amount(account.balance_micros, account.currency))]
        if account.held_micros:
            shown.append(("held", format_amount(account.held_micros, account.currency)))
        if account.credit_limit_micros:
            shown.append(("credit_limit", format_amount(account.credit_limit_micros, account.currency)))
        available_micros = account.spendable_micros(self._clock.now_us())
        if available_micros != account.balance_micros:
            shown.append(("available", format_amount(available_micros, account.currency)))
        if account.expires_at_us is not None:
            shown.append(("expires", last_day(account.expires_at_us, self._zone)))
        return shown

    def _call(self, xdr: XdrView) -> dict[str, object]:
        whole_s = xdr.duration_us // US_PER_S
        return {
            "at": local_time(xdr.answered_at_us or xdr.dialed_at_us, self._zone)[:16],
            "number": xdr.number,
            "side": xdr.side,
            "answered": xdr.answered_at_us is not None,
            "duration": f"{whole_s // 60}:{whole_s % 60:02d}",
            "amount": format_amount(xdr.amount_micros - xdr.overrun_micros, xdr.currency),
        }

    # --- what the forms do --------------------------------------------------------------------------------------

    def _redeem(self, account: AccountView, values: Mapping[str, str]) -> str | Problems:
        code = values.get("code", "")
        if not code.strip():
            return {"code": "required"}
        done = redeem(self._stores, account, code, LIMITS.limit_logins)
        if done.reason:
            return {"code": done.reason}
        return "voucher_repeated" if done.repeated else "voucher"

    def _set_callback_number(self, account: AccountView, values: Mapping[str, str]) -> str | Problems:
        text = values.get("callback_number", "").strip()
        number = self._number(text) if text else ""
        if number is None:
            return {"callback_number": "bad_number"}
        if number:
            trouble, _ = number_trouble(self._stores, account, number, "")
            if trouble:
                return {"callback_number": trouble}

        def changed(now: AccountView) -> Changed:
            return {"callback_number": number}, {"callback_number": now.callback_number}

        self._change(account, changed)
        return "callback_number"

    def _remove_number(self, account: AccountView, values: Mapping[str, str]) -> str | Problems:
        """Forget one of the numbers that the account is known by. New ones are known by calling from them."""

        def changed(now: AccountView) -> Changed | None:
            aliases = self._stores.accounts.aliases(now.id)
            left = [alias for alias in aliases if alias != values.get("alias", "")]
            return ({"aliases": left}, {"aliases": aliases}) if len(left) != len(aliases) else None

        self._change(account, changed)
        return "number_removed"

    def _set_speed_dial(self, account: AccountView, values: Mapping[str, str]) -> str | Problems:
        """Store a number behind a key; without a number, the key is free again."""
        key, text = values.get("key", "").strip(), values.get("number", "").strip()
        if not (key.isascii() and key.isdigit() and len(key) <= 2):
            return {"key": "bad_key"}
        number = self._number(text) if text else ""
        if number is None:
            return {"number": "bad_number"}

        def changed(now: AccountView) -> Changed:
            before = self._stores.accounts.speed_dials(now.id)
            others = {other: dialed for other, dialed in before.items() if other != key}
            return {"speed_dials": others | ({key: number} if number else {})}, {"speed_dials": before}

        try:
            self._change(account, changed)
        except InvalidInput:  # an emergency number
            return {"number": "emergency_number"}
        return "speed_dial"

    def _set_password(self, account: AccountView, values: Mapping[str, str]) -> str | Problems:
        new = values.get("new_password", "")
        if not PASSWORD_LEAST <= len(new) <= 64 or not (new.isascii() and new.isprintable()):
            return {"new_password": "bad_password"}
        # Counted as a login: who finds an open page cannot guess on it.
        shown = Credentials("web", account.number, values.get("password", "")[:64], limits=LIMITS)
        known = self._logins.check(shown)
        if known.account is None:
            return {"password": "wrong_password" if known.reason == "wrong_login" else known.reason}
        self._change(account, lambda _now: ({"password": new}, {}), {"service password": "changed"})
        return "password"

    def _number(self, text: str) -> str | None:
        return read_number(text, self._settings.web.account_region) if len(text) <= 64 else None

    def _change(
        self,
        account: AccountView,
        changed: Callable[[AccountView], Changed | None],
        noted: dict[str, object] | None = None,
    ) -> None:
        """Change the account, and note in the audit log that its subscriber did. Raises InvalidInput.

        `changed` makes the new values of the account as it is then, while nobody else can change it: what came in
        between stays. `noted` is said in place of them.
        """

        def once() -> None:
            self._stores.trail.one_by_one()
            self._stores.database.lock("accounts")  # a call may give it another number
            made = changed(self._stores.accounts.get(account.id))
            if made is None:
                return
            values, before = made
            self._stores.accounts.change(account.number, **values)
            after = values if noted is None else noted
            self._stores.trail.note("subscriber", "account", account.number, before, after)

        self._stores.database.unit(once)


ACTS: Mapping[str, Act] = {
    "voucher": SubscriberPages._redeem,
    "callback-number": SubscriberPages._set_callback_number,
    "remove-number": SubscriberPages._remove_number,
    "speed-dial": SubscriberPages._set_speed_dial,
    "password": SubscriberPages._set_password,
}
"""The forms of the overview, by the last part of their address."""
