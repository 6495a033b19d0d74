"""`ledger`: entries, verification and repair of the books."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from stasis_callback.admin.context import AsJson, operator, printable, settings, store, whole
from stasis_callback.admin.files import must_be_new, write_private
from stasis_callback.admin.listing import USUAL_ROWS, Page, listed
from stasis_callback.admin.output import (
    Record,
    print_json,
    print_list,
    progress_bar,
)
from stasis_callback.clock import Clock, iso
from stasis_callback.core.errors import InvalidInput, InvariantBroken

if TYPE_CHECKING:
    from stasis_callback.engine.repair import Mending
    from stasis_callback.store.audit.rows import Mark
    from stasis_callback.store.money.views import EntryLine
    from stasis_callback.store.stores import Stores

ENTRY_KINDS = ("topup", "voucher", "adjustment", "settle", "reversal")

app = typer.Typer(name="ledger", help="The ledger: its entries, verification and repair.")


@app.command()
def verify(
    whole_books: Annotated[
        bool,
        typer.Option(
            "--whole", help="Verify everything now, not only new entries and a part of the older ones."
        ),
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Verify everything, and that it continues from this file, written earlier by `ledger checkpoint`.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify the ledger; exit code 1 if there is a discrepancy.

    Checks every seal, balance, hold and charge. It can run while the service is running and does not block it. By
    default it verifies the entries since the last run, and each time re-verifies a different part of the older ones.
    """
    from stasis_callback.store.audit import verify as audit

    kept = _marks(checkpoint) if checkpoint else None
    not_noted: list[str] = []
    with store() as s, progress_bar("links") as progress:
        wrong = audit(
            s.database,
            s.tariffs,
            whole=whole_books,
            kept=kept,
            progress=progress,
            not_noted=not_noted.append,
        )
    if as_json:
        print_json({"ok": not wrong, "findings": wrong})
    else:
        for sentence in wrong or ["the ledger is consistent: no discrepancies"]:
            typer.echo(sentence)
    for reason in not_noted:
        said = f"how far the books are verified could not be noted, so the next run verifies the same again: {reason}"
        typer.echo(said, err=True)
    raise typer.Exit(1 if wrong else 0)


def _marks(path: Path) -> dict[str, Mark]:
    """The marks in a checkpoint file. Raises InvalidInput, which names the file."""
    from stasis_callback.store.audit.proofs import marks_of

    try:
        return marks_of(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from None


@app.command()
def checkpoint(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            writable=True,
            help="Write to this new file, readable only by you, instead of standard output.",
        ),
    ] = None,
) -> None:
    """Print a checkpoint of the verified ledger as JSON, to be stored on another system.

    New entries are verified first. Any later change to entries before the checkpoint is detected by `ledger verify
    --checkpoint`, even one made directly in the database. If there is a discrepancy, no checkpoint is printed and the
    exit code is 1.
    """
    from stasis_callback.store.audit import verify as audit
    from stasis_callback.store.audit.proofs import checkpoint as made

    if out:
        must_be_new(out)
    with store() as s:
        wrong = audit(s.database, s.tariffs)
        kept = made(s.database, iso(Clock().now_us()))
    for sentence in wrong:
        typer.echo(sentence, err=True)
    if wrong:
        raise typer.Exit(1)
    if out is None:
        print_json(kept)
        return
    write_private(out, json.dumps(kept, indent=1) + "\n")
    typer.echo(
        f"{out}: {kept['links']} links of {len(cast(list[object], kept['books']))} books, {kept['digest']}"
    )


@app.command()
def repair(
    fix: Annotated[
        str | None,
        typer.Option(
            metavar="ID|all", help="Repair the leg or callback with this id (see the list), or all of them."
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Reason, stored with your user name; see --done.")
    ] = None,
    done: Annotated[bool, typer.Option("--done", help="List past repairs with operator and reason.")] = False,
    as_json: AsJson = False,
) -> None:
    """List legs and callbacks that were left open; with --fix, end and charge them.

    These are legs with funds held although their callback is over, funds held for legs that do not exist, and
    callbacks of nodes not seen for ten minutes.
    Calls of a live node are never touched. An unanswered leg costs nothing. An answered leg is charged according to
    this machine's CEL journal if the leg is in it, otherwise up to the time its node was last seen (source
    `estimated`).
    """
    from stasis_callback.ari.cel import CelJournal
    from stasis_callback.engine.repair import Mending

    if (fix is None) != (reason is None) or (fix is not None and done):
        raise InvalidInput(
            "a repair needs both --fix ID (or all) and --reason TEXT, and does not go with --done"
        )
    if reason is not None and not printable(reason, "reason").strip():
        raise InvalidInput("the reason is empty: write why this repair is made")
    with store() as s:
        mending = Mending(s, CelJournal(settings().asterisk.cel_path), Clock())
        if done:
            print_list(mending.history(1000), ("at", "id", "done", "operator", "reason"), as_json=as_json)
        elif fix is None:
            left = [asdict(trouble) for trouble in mending.troubles()]
            columns = ("id", "since_at", "node", "account", "held", "currency", "what")
            print_list(left, columns, as_json=as_json)
        else:
            _mend(mending, fix, str(reason))


def _mend(mending: Mending, fix: str, reason: str) -> None:
    """Repair one item or all of them. A failed repair does not stop the others."""
    failed = ""
    for subject in [trouble.id for trouble in mending.troubles()] if fix == "all" else [fix]:
        try:
            typer.echo(mending.mend(subject, operator=operator(), reason=reason))
        except InvariantBroken as error:
            failed = f"{subject} cannot be repaired: {error}; see `stasis-callback ledger verify`"
            typer.echo(failed, err=True)
    if failed:
        raise typer.Exit(1)


ENTRY_COLUMNS = ("transfer", "created_at", "account", "kind", "amount", "balance", "note")
MORE_COLUMNS = ("currency", "operator", "key", "reversed_by")


@listed(app, ENTRY_COLUMNS, MORE_COLUMNS, name="entries", rows=USUAL_ROWS, key="transfer", dated=True)
def entries(
    page: Page,
    account: Annotated[
        str, typer.Option(help="Only the book of this account (id or alias).", metavar="ID")
    ] = "",
    customer: Annotated[
        str, typer.Option(help="Only the books of this customer and the accounts.", metavar="NAME")
    ] = "",
    kind: Annotated[str, typer.Option(help="Only entries of this kind.", metavar="|".join(ENTRY_KINDS))] = "",
) -> list[Record]:
    """List ledger entries of accounts and customers, newest first, with the balance after each entry."""
    if kind and kind not in ENTRY_KINDS:
        raise InvalidInput(f"{kind!r} is not a kind of entry: use one of {', '.join(ENTRY_KINDS)}")
    with store() as s:
        if account and customer:
            raise InvalidInput("--account and --customer cannot be used together")
        number = ""
        if account:
            found = s.accounts.named(account)
            number = found.number
        lines = s.search.entries(
            account=number,
            customer=customer,
            kind=kind or None,
            since_us=page.since_us,
            until_us=page.until_us,
            limit=page.fetched,
            after=page.after,
        )
        return entry_records(s, lines)


def entry_records(s: Stores, lines: Sequence[EntryLine]) -> list[Record]:
    """The fields that commands show for entries. `account` is a customer's name for a shared book."""
    owners = s.search.owners({line.book_id for line in lines})
    return [
        {"account": owners.get(line.book_id, ""), "currency": line.currency} | asdict(line.line)
        for line in lines
    ]


@app.command()
def reverse(
    transfer: Annotated[
        int,
        typer.Argument(
            metavar="TRANSFER", help="Transfer number, as in `ledger entries`.", parser=whole(1, 10**12 - 1)
        ),
    ],
    reason: Annotated[str, typer.Option(help="Reason, stored with the entry.", metavar="TEXT")],
) -> None:
    """Reverse a transfer with an opposite one. The original transfer, and the xDR of a call, are kept."""
    printable(reason, "reason")
    with store() as s, s.database.transaction():
        number = s.ledger.reverse(transfer, reason=reason, operator=operator())
        said = {"reversed_by": number, "reason": reason}
        s.trail.note(operator(), "transfer", str(transfer), {"reversed_by": None}, said)
    typer.echo(f"transfer {transfer} is reversed by transfer {number}")
