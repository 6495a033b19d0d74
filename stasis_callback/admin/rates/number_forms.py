"""The number form of a trunk: its options in `trunk set`, and `trunk test`, which shows what becomes of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stasis_callback.admin.context import AsJson, phone_number, printable, settings, store
from stasis_callback.admin.output import one_line, print_json
from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import WITHHELD

if TYPE_CHECKING:
    from stasis_callback.core.incoming import Invite
    from stasis_callback.core.trunk_numbers import NumberForm
    from stasis_callback.core.words import Refusal
    from stasis_callback.engine.admission.missed_calls import Examination
    from stasis_callback.store.stores import Stores

Numbers = Annotated[
    str | None,
    typer.Option(
        help="Form of the trunk's numbers in both directions: e164, +e164, or national:CC, for example national:CZ.",
        metavar="FORM",
    ),
]
CalledIn = Annotated[
    str | None,
    typer.Option(
        help="Translation rules for incoming called numbers, applied before FORM; also for a contact that is a word.",
        metavar="RULES",
    ),
]
CallerIn = Annotated[
    str | None,
    typer.Option(
        help="Translation rules for incoming callers' numbers, applied before FORM.", metavar="RULES"
    ),
]
CallerOut = Annotated[
    str | None,
    typer.Option(help="Translation rules for outgoing caller ids, applied after FORM.", metavar="RULES"),
]
Identity = Annotated[
    str | None,
    typer.Option(
        help="Header read first for the caller: pai (P-Asserted-Identity, Remote-Party-ID) or from.",
        metavar="HEADER",
    ),
]
CalledFrom = Annotated[
    str | None,
    typer.Option(
        help="Where the called number is: uri (the Request-URI, or To if it has none), or to.",
        metavar="PLACE",
    ),
]
Attestation = Annotated[
    str | None,
    typer.Option(
        help="Header of the carrier's own with the attestation of callers' numbers, believed as it is; \"\": none, "
        "only verstat counts.",
        metavar="HEADER",
    ),
]


def given(**options: str | None) -> dict[str, str]:
    """What of a number form is to be changed."""
    return {name: text for name, text in options.items() if text is not None}


def warn_of_access_numbers(form: NumberForm, stores: Stores) -> None:
    """Say which access numbers a trunk of this form does not reach, because they are not in E.164."""
    for access in stores.access_numbers.all():
        read = form.called(access.number)
        if access.enabled and read and read != access.number:
            typer.echo(
                f"warning: access number {access.number} is not in E.164: this trunk reaches {read}; add that one",
                err=True,
            )


def try_out(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Trunk name, also that of the settings.")],
    incoming: Annotated[
        str | None,
        typer.Option(help="Request-URI, for example sip:+420800123456@host.", metavar="URI"),
    ] = None,
    caller: Annotated[str, typer.Option("--from", help="From header, or a URI.", metavar="HEADER")] = "",
    pai: Annotated[
        list[str] | None,
        typer.Option(help="P-Asserted-Identity header, or a URI; can be repeated.", metavar="HEADER"),
    ] = None,
    to: Annotated[str, typer.Option(help="To header, or a URI.", metavar="HEADER")] = "",
    rpid: Annotated[str, typer.Option(help="Remote-Party-ID header.", metavar="HEADER")] = "",
    privacy: Annotated[str, typer.Option(help="Privacy header.", metavar="HEADER")] = "",
    indicator: Annotated[str, typer.Option(help="P-Attestation-Indicator header.", metavar="HEADER")] = "",
    attested: Annotated[
        str,
        typer.Option(help="Header that `trunk set --attestation` names, without the name.", metavar="HEADER"),
    ] = "",
    outgoing: Annotated[
        str | None, typer.Option(help="Number that the service calls, as E.164 digits.", metavar="DIGITS")
    ] = None,
    caller_id: Annotated[
        str, typer.Option(help=f"With --outgoing: number that is shown, or {WITHHELD}.", metavar="DIGITS")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Test what a trunk makes of the numbers of a call, stage by stage. Nothing is changed or dialled.

    The exit code is 0 if the missed call would be called back, or the number dialled, and 1 if it would be refused.
    """
    for what, text in {
        "URI": incoming or "",
        "From": caller,
        "To": to,
        "RPID": rpid,
        "Privacy": privacy,
        "P-Attestation-Indicator": indicator,
        "attestation": attested,
    }.items():
        printable(text, what)
    if (incoming is None) is (outgoing is None):
        raise InvalidInput("give the address of a call with --incoming, or a number to call with --outgoing")
    with store() as s:
        form = _form_of(name, s)
        if outgoing is not None:
            raise typer.Exit(0 if _outgoing(name, form, outgoing, caller_id, s, as_json=as_json) else 1)
        from stasis_callback.core.incoming import Invite

        headers = incoming or "", to, caller, ",".join(pai or ()), rpid, privacy
        invite = Invite(*headers, indicator=indicator, attested=attested)
        found = _incoming(form, invite, s, as_json=as_json)
    raise typer.Exit(1 if found.reason else 0)


def _form_of(name: str, stores: Stores) -> NumberForm:
    config = settings().asterisk
    form = stores.trunks.number_form(name) or (config.number_form if name == config.trunk else None)
    if form is None:
        raise InvalidInput(f"unknown trunk {name!r}: see `stasis-callback trunk list`")
    return form


def _incoming(form: NumberForm, invite: Invite, stores: Stores, *, as_json: bool) -> Examination:
    from stasis_callback.core.incoming import read
    from stasis_callback.engine.admission.missed_calls import Admission

    call = read(invite, form)
    found = Admission(stores, Clock(), queue_limit=0).examine(call.caller, call.called, call.attestation)
    notes = [*call.notes, f"so {call.caller} calls {call.called}", *found.notes]
    verdict = f"refused: {found.reason}" if found.reason else f"called back at {found.number}"
    if as_json:
        print_json(
            {
                "called": call.called,
                "caller": call.caller,
                "private": call.private,
                "attestation": call.attestation,
                "called_back": not found.reason,
                "reason": found.reason,
                "notes": notes,
            }
        )
    else:
        _say(*notes, f"the call would be {verdict}")
    return found


def _outgoing(
    name: str, form: NumberForm, number: str, caller_id: str, stores: Stores, *, as_json: bool
) -> str:
    """What is dialled for a number; "" when it is not called at all."""
    number = phone_number(number)
    caller_id = caller_id if caller_id in ("", WITHHELD) else phone_number(caller_id)
    reason, why = _never_called(number, stores)
    notes = [f"{number} is called"]
    dialled = ""
    if reason:
        notes = [f"{number} would be refused: {reason}, {why}"]
    else:
        dialled = form.dialled(number, notes)
        notes.append(
            f"dialled as PJSIP/{dialled}@{name}" if dialled else "this leaves nothing that can be dialled"
        )
    shown = ""
    if caller_id == WITHHELD:
        notes.append("no caller id is shown")
    elif caller_id:
        notes.append(f"{caller_id} is the caller id")
        shown = form.shown(caller_id, notes) or caller_id
        notes.append(f"shown as {shown}")
    if as_json:
        print_json({"dialled": dialled, "shown": shown, "reason": str(reason), "notes": notes})
    else:
        _say(*notes)
    return dialled


def _never_called(number: str, stores: Stores) -> tuple[Refusal | Literal[""], str]:
    """Why requests for a number are refused whatever a tariff sells, as `number_trouble` finds it; and in words."""
    from stasis_callback.core.numbering import is_emergency
    from stasis_callback.core.words import Refusal

    if is_emergency(number):
        return Refusal.EMERGENCY_NUMBER, "it is an emergency number, which is never called"
    if stores.access_numbers.owns(number):
        return Refusal.OWN_NUMBER, "it is an access number of this service, which is never called"
    return "", ""


def _say(*sentences: str) -> None:
    for sentence in sentences:
        typer.echo(one_line(sentence))
