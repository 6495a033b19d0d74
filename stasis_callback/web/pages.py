"""The form of each instance, and its submission."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stasis_callback.core.numbering import calling_codes, example, international_example
from stasis_callback.core.requests import Link
from stasis_callback.core.web import WebConfiguration
from stasis_callback.core.words import Refusal
from stasis_callback.settings import WebSettings
from stasis_callback.store.intake.web_instances import WebInstanceView
from stasis_callback.web import proof
from stasis_callback.web.brand import brand
from stasis_callback.web.desk import FIELD_LIMIT, FIELDS, FORM_VERSION, Asked, Desk, asks_time, wanted_fields
from stasis_callback.web.idempotency import StoredReply, once
from stasis_callback.web.problems import answer, problem
from stasis_callback.web.security import allow_frames, allow_origin, comes_from_browser, origin_of
from stasis_callback.web.texts import LANGUAGES, Texts, chosen_language, texts
from stasis_callback.web.visitors import api_key_of, asker_of, may_use

log = structlog.get_logger()

COOKIE = "callback_form"
FIELDS_LIMIT = 20
FORM_TYPE = "application/x-www-form-urlencoded"


def template_environment() -> Environment:
    """The templates of this folder; everything put into one is escaped."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(frozen=True, slots=True)
class Visit:
    """The context of one instance for one visitor."""

    instance: WebInstanceView
    language: str
    cookie: str
    client: str
    """The token of a signed link, which goes along with the form."""
    link: Link | None
    """The link itself, while it is good."""

    @property
    def configuration(self) -> WebConfiguration:
        """What is set on the instance."""
        return self.instance.configuration


class Pages:
    """The form pages."""

    def __init__(self, desk: Desk, settings: WebSettings) -> None:
        self._desk = desk
        self._settings = settings
        self._templates = template_environment()

    def routes(self) -> list[Route]:
        """The routes of the form pages."""
        return [
            Route("/web/{name}", self._get, methods=["GET"], name="form"),
            Route("/web/{name}", self._post, methods=["POST"], name="submit"),
            Route("/web/{name}/challenge", self._get_challenge, methods=["GET"], name="challenge"),
        ]

    # --- showing the form --------------------------------------------------------------------------------------

    async def _get(self, request: Request) -> Response:
        return await run_in_threadpool(self._show, request)

    def _show(self, request: Request) -> Response:
        visit = self._page(
            request, request.query_params.get("lang", ""), request.query_params.get("client", "")
        )
        if visit is None:
            return self.message(request, "not_found", 404)
        allow_origin(request, visit.configuration.settings.origins)
        allow_frames(request, visit.configuration.settings.framing)
        if not self._may_use(visit, request):
            return self.message(request, "forbidden", 403, visit.language)
        return self._described(visit) if _wants_json(request) else self._form(visit, {}, Asked(), 200)

    def _described(self, visit: Visit) -> Response:
        """What a script on another site needs to show the form."""
        words, region = texts(visit.language), visit.configuration.region
        return JSONResponse(
            {
                "language": visit.language,
                "title": visit.configuration.settings.title or words["form"]["title"],
                "submit": words["form"]["submit"],
                "cancel": words["status"]["cancel"],
                "trouble": words["pages"]["trouble"],
                "fields": self.fields(visit.instance, words, visit.language),
                "country": region,
                "country_label": words["form"]["country"],
                "countries": dict(calling_codes()),
                "proof_of_work": visit.configuration.settings.proof_of_work,
            }
        )

    async def _get_challenge(self, request: Request) -> Response:
        visit = await run_in_threadpool(self._page, request, "", "")
        if visit is None or not visit.configuration.settings.proof_of_work:
            return self.message(request, "not_found", 404)
        allow_origin(request, visit.configuration.settings.origins)
        return JSONResponse(proof.challenge(self._desk.signer, self._desk.clock.now_us()))

    def _page(self, request: Request, language: str, client: str) -> Visit | None:
        instance = self._desk.find(request.path_params["name"])
        if instance is None:
            return None
        offered = [one for one in instance.configuration.languages if one in LANGUAGES] or ["en"]
        language = chosen_language(offered, language, request.headers.get("accept-language", ""))
        cookie = request.cookies.get(COOKIE, "")
        good = len(cookie) == 43 and cookie.isascii()
        link = self._desk.signer.read_client(instance.name, client, self._desk.clock.now_us())
        return Visit(instance, language, cookie if good else secrets.token_urlsafe(32), client, link)

    def _may_use(self, visit: Visit, request: Request) -> bool:
        return may_use(visit.instance, request, visit.link, self._desk.stores)

    def _form(self, visit: Visit, values: Mapping[str, str], asked: Asked, status: int) -> Response:
        words = texts(visit.language)
        settings = visit.configuration.settings
        number = example_number(visit.configuration.region, visit.language)
        problems = {
            name: words.problem(code, retry_after_s=asked.retry_after_s, example=number, opens=asked.opens)
            for name, code in asked.problems.items()
        }
        # What was right is kept, a password too: who has mistyped a number should not have to look it up again. Not
        # that of a form that may have come from elsewhere.
        wrong_login = {"account", "password"} & asked.problems.keys()
        told = {Refusal.LOCKED_OUT, "form_expired"} & set(asked.problems.values())
        lost = {"password"} if wrong_login or told else set()
        html = self._templates.get_template("form.html").render(
            t=words,
            **self._brand(visit.instance, visit.language),
            settings=settings,
            instance=visit.instance.name,
            fields=self.fields(visit.instance, words, visit.language),
            field_limit=FIELD_LIMIT,
            values={name: text for name, text in values.items() if name not in lost},
            problems=problems,
            languages=[
                (one, texts(one)["language"]) for one in visit.configuration.languages if one in LANGUAGES
            ],
            client=visit.client,
            version=FORM_VERSION,
            form_key=secrets.token_urlsafe(16),
            form_token=self._desk.signer.form_token(visit.instance.name, visit.cookie),
        )
        response = HTMLResponse(html, status)
        # Lax: a link from another site brings it along, a form from another site does not.
        response.set_cookie(
            COOKIE, visit.cookie, path="/web/", httponly=True, samesite="lax",
            secure=self._settings.origin.startswith("https:"),
        )  # fmt: skip
        return _hurry(response, asked)

    @classmethod
    def fields(cls, instance: WebInstanceView, words: Texts, language: str) -> list[dict[str, object]]:
        """The fields of a form, in their order."""
        configuration = instance.configuration
        names = [*wanted_fields(instance), *(["call_at"] if asks_time(instance) else ())]
        number = example_number(configuration.region, language)
        return [
            cls._field(name, words, number, configuration.region, configuration.settings.time_zone)
            for name in names
        ]

    @staticmethod
    def _field(name: str, words: Texts, number: str, region: str, zone: str) -> dict[str, object]:
        """One field of a form for the templates."""
        kinds = {
            "account": ("text", "username", ""),
            "password": ("password", "current-password", ""),
            "first_number": ("tel", "tel", "hint_national" if region else "hint_international"),
            "second_number": ("tel", "off", "hint_national" if region else "hint_international"),
            "call_at": ("time", "off", "hint_call_at"),
        }
        kind, autocomplete, hint = kinds[name]
        return {
            "name": name,
            "label": words["form"][name],
            "type": kind,
            "autocomplete": autocomplete,
            "hint": words["form"][hint].format(example=number, zone=zone) if hint else "",
            "required": name != "call_at",
        }

    def _brand(self, instance: WebInstanceView | None, language: str) -> dict[str, Any]:
        """The operator's own look, from the files that are there."""
        return brand(self._settings, instance.name if instance else "", language)

    # --- taking it ---------------------------------------------------------------------------------------------

    async def _post(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._receive, request, body)

    def _receive(self, request: Request, body: bytes) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
            return self.message(request, "trouble", 415)
        values = parse_form(body)
        if values is None:
            return self.message(request, "trouble", 400)
        visit = self._page(request, values.get("language", ""), values.get("client", ""))
        if visit is None:
            return self.message(request, "not_found", 404)
        allow_origin(request, visit.configuration.settings.origins)
        allow_frames(request, visit.configuration.settings.framing)
        refusal = self._wrong_site(visit, request, values)
        if refusal is not None:
            return refusal
        if not self._may_use(visit, request):
            return self.message(request, "forbidden", 403, visit.language)
        return self._answer(visit, request, values)

    def _wrong_site(self, visit: Visit, request: Request, values: Mapping[str, str]) -> Response | None:
        """An answer to a browser that was made to send a form from elsewhere. Programs say no origin, and have no
        cookie that somebody else could use: what they may they prove by what they send.
        """
        if not comes_from_browser(request.headers):
            return None
        origin = origin_of(request.headers)
        if origin in visit.configuration.settings.origins:
            return None
        if origin != self._settings.origin:
            log.info("web.wrong_origin", instance=visit.instance.name)
            return self.message(request, "wrong_site", 403, visit.language)
        if visit.configuration.settings.framing:
            return None  # browsers send no cookie from a frame; that the page is ours the origin says
        sent = request.cookies.get(COOKIE, "")
        if not self._desk.signer.is_form_token(visit.instance.name, sent, values.get("form_token", "")):
            return self._form(visit, values, Asked(problems={"": "form_expired"}), 403)
        return None

    def _answer(self, visit: Visit, request: Request, values: Mapping[str, str]) -> Response:
        desk, name = self._desk, visit.instance.name
        found: list[Asked] = []

        end_user = values.get("end_user", "")[:FIELD_LIMIT]
        asker = asker_of(desk.stores, name, request, end_user)

        def carry_out(key: str) -> StoredReply:
            if not self._is_worth_it(visit, request, values, key):
                found.append(Asked(problems={"": "no_proof"}))
                return StoredReply(422, {})
            asked = desk.ask(
                visit.instance, values, language=visit.language, asker=asker, key=key, link=visit.link
            )
            found.append(asked)
            return StoredReply(asked.status, {"id": asked.request_id, "status_token": asked.status_token})

        form_key = values.get("form_key", "")
        key = f"form:{name}:{form_key}" if form_key else ""
        content = "\n".join(f"{field}={values.get(field, '')}" for field in FIELDS)
        fingerprint = desk.signer.fingerprint(content)
        reply = once(desk.stores.idempotency, desk.clock, key, fingerprint, carry_out, keep_problems=False)
        if reply.status == 201:
            return self._accepted(request, reply)
        asked = found[0] if found else Asked(problems={"": "form_expired"})
        if _wants_json(request):
            return _hurry(answer(asked.status, problem_body(asked, visit.language)), asked)
        return self._form(visit, values, asked, reply.status)

    def _is_worth_it(self, visit: Visit, request: Request, values: Mapping[str, str], key: str) -> bool:
        """Whether the browser has worked for it, where it has to. A program shows its key instead.

        Work is used up by the key of what is asked for: the same form, sent again after a failure, brings no other.
        """
        desk = self._desk
        if not visit.configuration.settings.proof_of_work or api_key_of(desk.stores, request):
            return True
        salt = proof.salt_of(values.get(proof.FIELD, ""), desk.signer, desk.clock.now_us())
        if not salt:
            return False
        user = key or secrets.token_urlsafe(16)
        used = desk.stores.idempotency.begin(f"proof:{salt}", user)
        return used is None or used.input_hash == user

    def _accepted(self, request: Request, reply: StoredReply) -> Response:
        path = f"/status/{reply.body['status_token']}"
        if _wants_json(request):
            body = {"id": reply.body["id"], "status_url": self._settings.origin + path}
            return JSONResponse(body, 201, headers={"Location": path})
        return RedirectResponse(path, 303)

    def message(self, request: Request, what: str, status: int, language: str = "") -> Response:
        """A page that says one thing, or for a program an error that does."""
        if _wants_json(request):
            return answer(status, problem(status, what, texts("en")["pages"][what]))
        language = language or chosen_language(LANGUAGES, "", request.headers.get("accept-language", ""))
        template = self._templates.get_template("message.html")
        html = template.render(t=texts(language), what=what, **self._brand(None, language))
        return HTMLResponse(html, status)


COUNTRY_OF = {"en": "GB", "es": "ES", "fr": "FR", "it": "IT", "ru": "RU"}
"""Whose numbers people who read a language know."""


def example_number(region: str, language: str) -> str:
    """A number as one would write it here, in one line: in the country of the form, or of the page's language."""
    text = example(region) if region else international_example(COUNTRY_OF[language])
    return text.replace(" ", "\u00a0").replace("-", "\u2011")


def problem_body(asked: Asked, language: str = "en") -> dict[str, object]:
    """Problems as programs get them."""
    code = next(iter(asked.problems.values()))
    words = texts(language)
    several = len(asked.problems) > 1 and "" not in asked.problems
    return problem(
        asked.status,
        "invalid_fields" if several else code,
        words.problem(
            code, retry_after_s=asked.retry_after_s, example=example_number("", language), opens=asked.opens
        ),
        {name: wrong for name, wrong in asked.problems.items() if name},
    )


def _hurry(response: Response, asked: Asked) -> Response:
    if asked.retry_after_s:
        response.headers["Retry-After"] = str(asked.retry_after_s)
    return response


def _wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def parse_form(body: bytes) -> dict[str, str] | None:
    """The fields of a form; None if it is not a form, or has a field twice."""
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body), errors="strict",
            max_num_fields=FIELDS_LIMIT,
        )  # fmt: skip
    except ValueError:
        return None
    values = dict(pairs)
    return values if len(values) == len(pairs) and "\x00" not in "".join(values.values()) else None
