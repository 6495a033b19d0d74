"""The pages of the console that are not of one command: signing in, overview, finding, reports, second operators."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import suppress

import anyio.to_thread
import structlog
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from stasis_callback.admin.commands import Done, run
from stasis_callback.admin.days import local_time, operators_zone
from stasis_callback.console import coming_back, finding, reports
from stasis_callback.console.command_pages import CommandPages
from stasis_callback.console.overview import FRESH_S, Overview
from stasis_callback.console.rendering import Renderer
from stasis_callback.console.second import SecondOperator
from stasis_callback.console.visits import Caller, Visits
from stasis_callback.core.errors import InvalidInput, StoreUnavailable
from stasis_callback.store.operators.operators import Role
from stasis_callback.store.stores import Stores
from stasis_callback.web.visitors import source_of

log = structlog.get_logger()

STREAMS_LIMIT = 50
_ID = re.compile("[0-9]{1,15}", re.ASCII)
"""Numbers of rows: a database takes no longer ones."""


class ConsolePages:
    """Answers requests whose visitor is known. Plain functions: each runs in a thread."""

    def __init__(
        self, stores: Stores, renderer: Renderer, visits: Visits, overview: Overview, commands: CommandPages,
        second: SecondOperator,
    ) -> None:  # fmt: skip
        self._stores = stores
        self._renderer = renderer
        self._visits = visits
        self._overview = overview
        self._commands = commands
        self._second = second
        self._streams = 0

    # --- signing in and out ------------------------------------------------------------------------------------

    def sign_in_form(self, visit: Caller, problem: str = "", status: int = 200) -> Response:
        """The form to sign in."""
        visit = self._visits.stranger(visit)
        action = coming_back.form_of(visit.query)
        response = self._renderer.page("sign_in.html", visit, status, problem=problem, action=action)
        self._visits.keep(response, visit)
        return response

    def sign_in(self, request: Request, visit: Caller, form: FormData) -> Response:
        """Sign in: always with a new token, whatever the browser had."""
        name, password, code = (str(form.get(field, "")) for field in ("name", "password", "code"))
        token = self._visits.sign_in(request, name.strip(), password, code)
        if not token:
            log.warning("console.sign_in_refused", source=source_of(request), locked=token is None)
            return self.sign_in_form(
                visit, "locked" if token is None else "wrong", 429 if token is None else 403
            )
        log.info("console.signed_in", operator=name.strip(), source=source_of(request))
        self._stores.sessions.close(visit.token)
        response = RedirectResponse(coming_back.wanted_by(request), 303)
        self._visits.keep(response, Caller(token, None, visit.language))
        return response

    def sign_out(self, visit: Caller) -> Response:
        """Sign out."""
        self._stores.sessions.close(visit.token)
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(self._visits.cookie)
        return response

    def me(self, visit: Caller) -> Response:
        """The operator's own page."""
        return self._renderer.page("me.html", visit, problem="", said="")

    def change_password(self, request: Request, visit: Caller, form: FormData) -> Response:
        """Change the operator's own password; all their sessions end."""
        old, code, new = (str(form.get(field, "")) for field in ("password", "code", "new"))
        recognised = self._visits.recognise(request, visit.name, old, code)
        if not recognised:
            problem = "wrong" if recognised is False else "locked"
            return self._renderer.page("me.html", visit, 403, problem=problem, said="")
        done = run(["console", "user", "set", "--password", "--", visit.name], visit.name, self._stores, new)
        if done.code:
            return self._renderer.page("me.html", visit, 400, problem="", said=done.complaint)
        return RedirectResponse("/sign-in", 303)

    # --- reading -----------------------------------------------------------------------------------------------

    def home(self, visit: Caller) -> Response:
        """What is going on."""
        return self._renderer.page("home.html", visit, panels=self._overview.panels())

    async def live(self, request: Request, visit: Caller) -> Response:
        """The panels as a stream of events, each time that they have changed."""
        if self._streams >= STREAMS_LIMIT:
            return Response(status_code=503, headers={"Retry-After": "60"})
        return StreamingResponse(self._events(request, visit), media_type="text/event-stream")

    async def _events(self, request: Request, visit: Caller) -> AsyncIterator[str]:
        self._streams += 1
        try:
            told = ""
            while True:
                html = told
                # No browser comes again to a stream that is answered with 503.
                with suppress(StoreUnavailable):
                    asks = await anyio.to_thread.run_sync(lambda: self._visits.of(request, waits=True))
                    if asks.session is None:
                        return
                    panels = await anyio.to_thread.run_sync(self._overview.panels)
                    html = self._renderer.part("_panels.html", visit.language, panels=panels)
                # A comment keeps proxies from closing, and tells us when nobody listens any more.
                yield ":\n\n" if html == told else _event(html)
                told = html
                await anyio.sleep(FRESH_S)
        finally:
            self._streams -= 1

    def find(self, request: Request, visit: Caller) -> Response:
        """Whatever is meant by a few characters: its page, or a choice where that may be several."""
        text = request.query_params.get("q", "").strip()[:100]
        found = finding.meant_by(text, self._stores)
        if len(found) == 1:
            return RedirectResponse(found[0].address, 303)
        return self._renderer.page("find.html", visit, text=text, found=found)

    def report(self, request: Request, visit: Caller) -> Response:
        """The plots."""
        made = reports.made(request.query_params, visit, self._stores)
        status = 400 if made.done.code == 2 else 200
        return self._renderer.page("reports.html", visit, status, report=made, groups=reports.GROUPS)

    # --- a second operator -------------------------------------------------------------------------------------

    def second(
        self, visit: Caller, done: Done | None = None, problem: str = "", status: int = 200
    ) -> Response:
        """Changes that wait for a second operator, and what became of others."""
        zone = operators_zone()
        proposals = self._stores.proposals.newest()
        times = {at_us: local_time(at_us, zone) for one in proposals for at_us in one.times_us}
        return self._renderer.page(
            "second.html", visit, status,
            proposals=proposals, times=times, done=done, problem=problem,
            decides=visit.role.includes(Role.MANAGER), proof=not self._visits.has_proved(visit),
        )  # fmt: skip

    def decide(self, request: Request, visit: Caller, proposal: str, form: FormData) -> Response:
        """Agree to a change, which is then carried out in both names, or decline it."""
        if not visit.role.includes(Role.MANAGER):
            return self._commands.message(visit, "forbidden", 403)
        decision = form.get("decision")
        if decision not in ("agree", "decline"):
            return self.second(visit, problem="undecided", status=400)
        password, code = (str(form.get(f"proof.{word}", "")) for word in ("password", "code"))
        problem = self._visits.proof_problem(request, visit, password, code)
        if problem:
            return self.second(visit, problem=problem, status=403)
        agreed, proposals = decision == "agree", self._stores.proposals
        try:
            with proposals.alone(_id(proposal)):
                decided = proposals.decide(_id(proposal), visit.name, agreed=agreed)
                log.info("console.decided", operator=visit.name, proposer=decided.proposer, agreed=agreed)
                if not agreed:
                    return RedirectResponse("/second", 303)
                outcome = self._second.carry_out(decided, visit.name)
        except InvalidInput as error:
            return self.second(visit, problem=str(error), status=409)
        if outcome.file_name:
            return self._commands.download(outcome.file_name, outcome.content)
        return self.second(visit, done=outcome.done, status=400 if outcome.done.code else 200)


def _id(text: str) -> int:
    """The id of a proposal as an address has it; 0, which none has, for anything else."""
    return int(text) if _ID.fullmatch(text) else 0


def _event(html: str) -> str:
    lines = "".join(f"data: {line}\n" for line in html.splitlines())
    return f"event: panels\n{lines}\n"
