"""The pages of commands: each is made of what the command says about itself, and runs it."""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from stasis_callback.admin.commands import Command, Done, Parameter, Takes, described, groups, run
from stasis_callback.admin.listing import MORE
from stasis_callback.console import forms, policy, rendering
from stasis_callback.console.policy import Access
from stasis_callback.console.rendering import Renderer, address
from stasis_callback.console.second import SecondOperator, without_folder
from stasis_callback.console.visits import Caller, Visits
from stasis_callback.store.stores import Stores

log = structlog.get_logger()

RUN = "run"
"""The field that has a command run which could also be asked for nothing."""
_FORMATS = {"--json": ("application/json", "json"), "--csv": ("text/csv; charset=utf-8", "csv")}
_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
Given = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Work:
    """A command that an operator asked for: who, what, and the fields of the form."""

    visit: Caller
    access: Access
    given: Given

    @property
    def command(self) -> Command:
        """The command."""
        return self.access.command

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters that this operator may give."""
        return list(self.access.fields_for(self.visit.role))


class CommandPages:
    """Shows the forms of commands and runs them."""

    def __init__(self, second: SecondOperator, stores: Stores, renderer: Renderer, visits: Visits) -> None:
        self._second = second
        self._stores = stores
        self._renderer = renderer
        self._visits = visits

    def get(self, request: Request, visit: Caller, name: str) -> Response:
        """The page of a command; what it reads is shown at once when nothing is missing."""
        access = policy.access(name)
        if access is None:
            return self.message(visit, "not_found", 404)
        if not access.open_to(visit.role):
            return self.message(visit, "forbidden", 403)
        query = request.query_params
        work = Work(visit, access, {key: query.getlist(key) for key in query})
        asked = RUN in query or any(p.name in query for p in work.parameters)
        if access.reads and (asked or not any(p.required for p in access.command.parameters)):
            return self._read(work)
        return self._form(work)

    def noun(self, visit: Caller, noun: str) -> Response:
        """What there is to do about a noun, and its list where it has one that needs no parameters."""
        commands = policy.of_noun(noun, visit.role)
        if not commands:
            return self.message(visit, "not_found", 404)
        names = (f"{noun} {word}" for word in ("list", "live", "user list", "status"))
        found = (command for name in names if (command := described().get(name)))
        listing = next((one for one in found if not any(p.required for p in one.parameters)), None)
        done = self._run(listing.words({}), visit) if listing else None
        work = Work(visit, access_, {}) if listing and (access_ := policy.access(listing.name)) else None
        return self._renderer.page(
            "noun.html", visit, noun=noun, help=groups()[noun], commands=commands, command=listing, done=done,
            more=_next_page(work, done) if work else "", formats=_format_links(work, done) if work else [],
        )  # fmt: skip

    def post(self, request: Request, visit: Caller, name: str, form: FormData) -> Response:
        """Carry out a command that changes something, once for each form."""
        access = policy.access(name)
        if access is None:
            return self.message(visit, "not_found", 404)
        if access.reads or not access.open_to(visit.role):
            return self.message(visit, "forbidden", 403)
        work = Work(visit, access, forms.typed(form))
        if access.withheld(visit.role, work.given):
            return self.message(visit, "forbidden", 403)
        with tempfile.TemporaryDirectory(prefix="console-") as folder:
            values = forms.parameters_of(work.parameters, work.given, reads=False)
            values |= forms.save_files(form, work.parameters, Path(folder))
            if not access.allows(visit.role, values):
                return self._form(work, problem="too_wide", status=403)
            problem = self._proof_problem(request, work, values)
            if problem:
                return self._form(work, problem=problem, status=403)
            key = work.given.get("key.form", [""])[0][:64]
            if not key or not self._stores.sessions.take_form(key):
                return self.message(visit, "already_sent", 409)
            return self._carry_out(work, values, key, Path(folder))

    # --- reading -----------------------------------------------------------------------------------------------

    def _read(self, work: Work) -> Response:
        values = forms.parameters_of(work.parameters, work.given, reads=True)
        wanted = work.given.get("format", [""])[0]
        with tempfile.TemporaryDirectory(prefix="console-") as folder:
            written = self._outputs(work, values, Path(folder))
            extra = [wanted] if wanted in work.command.formats else []
            shown = values if extra else _of_a_page(work, values)
            done = self._run(work.command.words(shown, *extra), work.visit)
            if done.code < 2 and written and written.exists():
                return _download(written.name, written.read_bytes())
        name = "-".join(work.command.path)
        if extra and done.code < 2:
            media_type, ending = _FORMATS[wanted]
            return _download(f"{name}.{ending}", done.text.encode(), media_type)
        if done.file and done.code < 2 and wanted == "--csv":
            return _download(f"{name}.csv", done.file, "text/csv")
        cut = shown != values and MORE in done.complaint
        return self._form(work, done=done, status=400 if done.code == 2 else 200, cut=cut)

    # --- changing ----------------------------------------------------------------------------------------------

    def _carry_out(self, work: Work, values: dict[str, list[str]], key: str, folder: Path) -> Response:
        command = work.command
        written = self._outputs(work, values, folder)
        own_key = command.parameter("key")
        if own_key and own_key.name not in values:
            values[own_key.name] = [f"console-{key}"]
        words = command.words(values)
        if self._second.needed(command, values):
            refused = self._second.propose(command, values, key, work.visit.name, folder)
            if refused is None:
                return RedirectResponse("/second", 303)
            return self._form(work, done=refused, status=400)
        secret = work.given.get("secret", [""])[0] or None
        done = without_folder(self._run(words, work.visit, secret), folder)
        log.info("console.command", operator=work.visit.name, command=command.name, code=done.code)
        if done.code < 2 and written and written.exists():
            return _download(written.name, written.read_bytes())
        return self._form(work, done=done, status=400 if done.code == 2 else 200)

    def _proof_problem(self, request: Request, work: Work, values: Given) -> str:
        """Why a command is not carried out: nobody proved who they are; "" if somebody did."""
        if not work.access.needs_proof(values):
            return ""
        password, code = (work.given.get(f"proof.{word}", [""])[0] for word in ("password", "code"))
        return self._visits.proof_problem(request, work.visit, password, code)

    # --- common ------------------------------------------------------------------------------------------------

    def message(self, visit: Caller, code: str, status: int) -> HTMLResponse:
        """A page that says one sentence."""
        return self._renderer.page("message.html", visit, status, code=code)

    def download(self, name: str, content: bytes) -> Response:
        """A file that a command wrote."""
        return _download(name, content)

    def _run(self, words: Sequence[str], visit: Caller, secret: str | None = None) -> Done:
        return run(words, visit.name, self._stores, secret)

    def _outputs(self, work: Work, values: dict[str, list[str]], folder: Path) -> Path | None:
        """Have the file that a command writes, if one is wanted, written into a folder."""
        for parameter in work.parameters:
            if parameter.kind is Takes.OUTPUT and (parameter.required or work.given.get(parameter.name)):
                path = forms.output_path(parameter, work.given, work.command.noun, folder)
                values[parameter.name] = [str(path)]
                return path
            values.pop(parameter.name, None) if parameter.kind is Takes.OUTPUT else None
        return None

    def _form(
        self, work: Work, *, done: Done | None = None, problem: str = "", status: int = 200, cut: bool = False
    ) -> HTMLResponse:
        """The page: what came out, the form, and what else there is to do about the same thing. `cut`: it has fewer
        rows than were asked for.
        """
        command, visit = work.command, work.visit
        reads = work.access.reads
        finished = done is not None and done.code < 2 and not reads
        current = None if reads else self._current(work)
        given = {} if finished else work.given
        table = next(
            (t for t in (current.tables if current else ()) if t.headers == forms.OPTION_HEADERS), None
        )
        asks_proof = not reads and not self._visits.has_proved(visit) and problem != "too_wide"
        return self._renderer.page(
            "command.html", visit, status,
            command=command, reads=reads, done=done, problem=problem, finished=finished,
            fields=forms.fields(work.parameters, given, reads=reads),
            options=forms.grouped(
                forms.option_fields(table, given) if table else self._option_defaults(work, given)
            ),
            trial=_trial(work),
            current=current if current and not table else None,
            form_key=secrets.token_urlsafe(16),
            proof=asks_proof and (problem or work.access.needs_proof({p.name: [] for p in work.parameters})),
            wanted=done.wanted if done else "", cut=cut,
            more=_next_page(work, done), formats=_format_links(work, done), also=self._also(work),
        )  # fmt: skip

    def _current(self, work: Work) -> Done | None:
        """What `show` says of the thing that a form is about, so that one sees what one changes."""
        shows, name = _shows(work.command), _thing(work)
        if shows is None or not name:
            return None
        done = self._run(shows.words({shows.parameters[0].name: [name]}), work.visit)
        return done if done.code == 0 else None

    def _option_defaults(self, work: Work, given: Given) -> list[forms.OptionField]:
        """All options with their defaults, for a command that takes them for a new thing."""
        listing = described().get(f"{work.command.noun} options")
        if (
            listing is None
            or not any(map(forms.takes_options, work.parameters))
            or work.command.path[-1] != "add"
        ):
            return []
        return forms.option_fields(self._run(listing.words({}), work.visit).tables[0], given)

    def _also(self, work: Work) -> list[tuple[Command, str]]:
        """Other commands about the same thing, or of the same noun, with the addresses of their pages."""
        command, name = work.command, _thing(work)
        found: list[tuple[Command, str]] = []
        for access in policy.of_noun(command.noun, work.visit.role) if command.noun else ():
            other = access.command
            first = other.parameters[0] if other.parameters else None
            same = bool(first and name and not first.option and first.metavar == _metavar(command))
            found.append((other, address(other.name, **({first.name: name} if same and first else {}))))
        if name:
            parameter = command.noun.replace("-", "_")
            for other_name, other in described().items():
                access_ = policy.access(other_name)
                about = other.parameter(parameter)
                if (
                    access_
                    and access_.reads
                    and access_.open_to(work.visit.role)
                    and about
                    and other.noun != command.noun
                ):
                    found.append((other, address(other_name, **{parameter: name})))
        return found


@dataclass(frozen=True, slots=True)
class Trial:
    """A question beside a thing: a command that reads, the parameter for the thing, and the one that is asked for."""

    command: Command
    about: str
    asks: str
    thing: str


def _trial(work: Work) -> Trial | None:
    found, name = policy.TRIALS.get(work.command.noun), _thing(work)
    return Trial(described()[found[0]], found[1], found[2], name) if found and name else None


def _shows(command: Command) -> Command | None:
    """The `show` that tells of the thing that a command is about."""
    shows = described().get(" ".join((*command.path[:-1], "show"))) if command.noun else None
    return shows if shows and _metavar(command) and _metavar(shows) == _metavar(command) else None


def _metavar(command: Command) -> str:
    """What the first argument of a command is; "" if it has none."""
    first = command.parameters[0] if command.parameters else None
    return first.metavar if first and not first.option else ""


def _thing(work: Work) -> str:
    """The thing that a page is about."""
    first = work.command.parameters[0] if _metavar(work.command) else None
    return work.given.get(first.name, [""])[0].strip() if first and work.command.path[-1] != "add" else ""


def _next_page(work: Work, done: Done | None) -> str:
    """The address of the next page of a listing; "" if this is the last one."""
    _, found, key = (done.complaint if done else "").partition(MORE)
    return _again(work, after=key.strip()) if found else ""


def _of_a_page(work: Work, values: dict[str, list[str]]) -> dict[str, list[str]]:
    """The parameters, of a list that has pages with no more rows than one has. What is too much even for a file, or
    no number, the command refuses.
    """
    limit = work.command.parameter("limit")
    if limit is None or limit.most is None or work.command.parameter("after") is None:
        return values
    text = values.get("limit", [""])[0]
    if not _NUMBER.fullmatch(text) or not rendering.LINES_LIMIT < int(text) <= limit.most:
        return values
    return values | {"limit": [str(rendering.LINES_LIMIT)]}


def _format_links(work: Work, done: Done | None) -> list[tuple[str, str]]:
    if done is None or (done.code == 2 and not done.is_long):
        return []
    if done.file:
        return [("CSV", _again(work, format="--csv"))]
    formats, pages = work.command.formats, work.command.parameter("limit")
    more = {}
    if pages and pages.default and "--csv" in formats and not any(work.given.get("limit", ())):
        # A file has no next page: it is of the whole list, unless somebody asked for so many rows.
        more = {"limit": str(pages.most), "after": ""}
    return [(name.removeprefix("--").upper(), _again(work, format=name, **more)) for name in formats]


def _again(work: Work, **changed: str) -> str:
    """The address of the same page with something else."""
    given = {name: values[0] for name, values in work.given.items() if values and values[0]}
    return address(work.command.name, **({RUN: "1"} | given | changed))


def _download(name: str, content: bytes, media_type: str = "application/octet-stream") -> Response:
    return Response(
        content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
