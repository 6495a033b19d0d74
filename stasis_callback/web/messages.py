"""Messages from gateways (SMS, WhatsApp, Telegram, USSD): what is written in one is a command, as in a mail.

A gateway proves itself by its signature, and then says from which number a message came. Only a number that is an
account's id or alias is listened to, and only for its account; a stranger is told nothing. The gateway's id of the
message is the key of its callback, so that one handed over twice makes one. The reply goes back in the answer.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.mail_command import Unreadable, VoucherCommand, find_command
from stasis_callback.core.numbering import read_stated
from stasis_callback.core.words import Dropped
from stasis_callback.crashpoint import crashpoint
from stasis_callback.engine.admission.orders import Orders
from stasis_callback.settings import WebSettings
from stasis_callback.store.intake.message_instances import MessageInstanceView
from stasis_callback.store.stores import Stores
from stasis_callback.web import twilio
from stasis_callback.web.api import NAME_PATTERN, PREFIX
from stasis_callback.web.bodies import AnyEvent, Body, described, invalid, not_genuine
from stasis_callback.web.problems import BODY, ApiError, errors
from stasis_callback.web.signing import Signer, is_signed
from stasis_callback.web.strict_json import NamedTwice, require_names_once
from stasis_callback.written.desk import Verdict, Written, WrittenDesk
from stasis_callback.written.words import reply_text

log = structlog.get_logger()

RECEIVED = "message.received"

Result = Literal["accepted", "redeemed", "refused", "ignored"]


class Message(BaseModel):
    """A message that somebody has sent. What else the gateway says of it is ignored."""

    model_config = ConfigDict(extra="ignore")
    id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=255,
            description="The gateway's id of the message: the same one makes one callback.",
            examples=["msg_4711"],
        ),
    ]
    sender: Annotated[
        str,
        Field(
            alias="from",
            min_length=1,
            max_length=64,
            description="The sender's number with its country code.",
            examples=["+420212345678"],
        ),
    ]
    text: Annotated[
        str,
        Field(
            max_length=4096,
            description="What was written.",
            examples=["P 6192345678 1ak45 SN 6581433653 DN 420212345678"],
        ),
    ]


class MessageEvent(BaseModel):
    """What a gateway tells. Events of other types are answered with `ignored`."""

    model_config = ConfigDict(extra="ignore")
    type: Annotated[str, Field(description=f"`{RECEIVED}`.")]
    data: Message


class MessageAnswer(BaseModel):
    """What became of a message. `ignored`: of a stranger, or an event of another type."""

    result: Result
    reply: Annotated[str | None, Field(description="Text for the sender; null: send none.")] = None


Name = Annotated[str, Path(pattern=NAME_PATTERN, description="Message instance.")]


class Messages:
    """The endpoint for gateways of messages."""

    def __init__(
        self, stores: Stores, orders: Orders, settings: WebSettings, signer: Signer, clock: Clock
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._signer = signer
        self._clock = clock
        self._desk = WrittenDesk(stores, orders, clock)

    def router(self) -> APIRouter:
        """The router with the endpoint."""
        router = APIRouter(prefix=PREFIX)
        router.add_api_route(
            "/messages/{instance}",
            self._receive,
            methods=["POST"],
            tags=["callbacks"],
            response_model=MessageAnswer,
            operation_id="receiveMessage",
            summary="Hand over a message, signed by Standard Webhooks",
            responses=errors(*BODY, 401, 422, 503) | {200: {"content": {twilio.MEDIA_TYPE: {}}}},
            openapi_extra=described(MessageEvent),
        )
        return router

    def _receive(
        self,
        instance: Name,
        body: Body,
        request: Request,
        webhook_id: Annotated[str, Header(description="Id of the delivery.")] = "",
        webhook_timestamp: Annotated[str, Header(description="Seconds since the epoch, now.")] = "",
        webhook_signature: Annotated[str, Header(description="`v1,` and Base64; several by spaces.")] = "",
        x_twilio_signature: Annotated[str, Header(description="With format=twilio, instead.")] = "",
    ) -> MessageAnswer | Response:
        view = self._stores.message_instances.find(instance)
        known = view if view is not None and view.enabled else None
        of_twilio = known is not None and known.configuration.settings.format == "twilio"
        fields = twilio.fields_of(body) if of_twilio else ()
        if of_twilio:
            token = self._settings.twilio_auth_token.get_secret_value()
            genuine = twilio.is_signed(token, self._url(request), fields, x_twilio_signature)
        else:
            # One that is not there is looked at like one that is: names are not to be found out.
            number = known.configuration.settings.secret_number if known else 0
            secret = self._signer.message_secret(instance, number)
            now_s = self._clock.now_us() // US_PER_S
            genuine = is_signed(secret, webhook_id, webhook_timestamp, webhook_signature, body, now_s)
        if known is None or not genuine:
            log.warning("message.not_genuine", instance=instance)
            raise not_genuine()
        try:
            message = Message.model_validate(twilio.message_of(fields)) if of_twilio else _message(body)
        except NamedTwice as error:
            raise ApiError(400, "bad_json", error.msg) from None
        except ValidationError as error:
            return invalid(error)
        answer = MessageAnswer(result="ignored") if message is None else self._decide(known, message)
        if of_twilio:
            return Response(twilio.answer_of(answer.reply), media_type=twilio.MEDIA_TYPE)
        return answer

    def _url(self, request: Request) -> str:
        """The URL as its sender knows it, whatever stands in between."""
        query = request.url.query
        return f"{self._settings.origin}{request.url.path}" + (f"?{query}" if query else "")

    def _decide(self, instance: MessageInstanceView, message: Message) -> MessageAnswer:
        configuration = instance.configuration
        sender = read_stated(message.sender, configuration.region)
        account = self._stores.accounts.find(sender) if sender else None
        if sender is None or account is None:
            self._dropped(instance, Dropped.UNKNOWN_SENDER)
            return MessageAnswer(result="ignored")
        try:
            command = find_command(message.text, configuration.region)
        except Unreadable as unreadable:
            self._dropped(instance, unreadable.reason)
            text = reply_text(configuration.language, configuration.settings, None, unreadable.reason, None)
            return MessageAnswer(result="refused", reply=self._reply(instance, sender, text))
        written = Written(
            "message",
            instance.name,
            configuration,
            command,
            sender,
            belongs=command.account == account.number,
            key=f"message:{instance.name}:{hashlib.sha256(message.id.encode()).hexdigest()[:40]}",
        )
        verdict = self._desk.decide(written)
        crashpoint("message-decided")
        if verdict.repeated:
            log.info("message.repeated", instance=instance.name, call=verdict.request_id)
        elif isinstance(command, VoucherCommand) or isinstance(verdict.reason, Dropped):
            self._dropped(instance, verdict.reason)
        language = self._desk.language(written, verdict)
        text = reply_text(language, configuration.settings, command, verdict.reason, verdict.at_us)
        return MessageAnswer(result=_result(written, verdict), reply=self._reply(instance, sender, text))

    def _reply(self, instance: MessageInstanceView, sender: str, text: str) -> str | None:
        """The reply, where the instance gives one and its sender had not too many."""
        settings = instance.configuration.settings
        if not settings.reply:
            return None
        return (
            text
            if self._stores.limits.take(f"reply:{instance.name}:{sender}", settings.reply_limit)
            else None
        )

    @staticmethod
    def _dropped(instance: MessageInstanceView, reason: str) -> None:
        if reason:
            log.info("message.dropped", instance=instance.name, reason=reason)


def _message(body: bytes) -> Message | None:
    """A message in our own format; None for an event of another type. Raises NamedTwice, ValidationError."""
    require_names_once(body)
    event = AnyEvent.model_validate_json(body)
    return MessageEvent.model_validate_json(body).data if event.type == RECEIVED else None


def _result(written: Written, verdict: Verdict) -> Result:
    if verdict.reason:
        return "refused"
    return "redeemed" if isinstance(written.command, VoucherCommand) else "accepted"
