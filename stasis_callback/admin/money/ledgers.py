"""`ledger`: the proof that every sum agrees."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from stasis_callback.admin.context import AsJson, operator, printable, settings, store, whole
from stasis_callback.admin.output import must_be_new, print_json, print_list, progress_bar, write_private
from stasis_callback.clock import Clock, iso
from stasis_callback.core.errors import InvalidInput, InvariantBroken

if TYPE_CHECKING:
    from stasis_callback.engine.repair import Repair
    from stasis_callback.store.audit.rows import Mark

app = typer.Typer(name="ledger", help="The books: every amount that moved.")


@app.command()
def verify(
    whole_books: Annotated[
        bool,
        typer.Option(
            "--whole", help="Prove everything at once, not only what is new and a part of the rest."
        ),
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Prove everything, and that it follows from what `ledger checkpoint` wrote into this file before.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove the books; exit code 1 when something differs.

    Every seal, balance, hold and charge. May be used while the service runs, which it keeps from nothing. It goes on
    where it proved each book last, and proves a part of the rest again, another one each time.
    """
    from stasis_callback.store.audit import verify as audit

    kept = _marks(checkpoint) if checkpoint else None
    with store() as s, progress_bar("links") as progress:
        wrong = audit(s.database, s.tariffs, whole=whole_books, kept=kept, progress=progress)
    if as_json:
        print_json({"ok": not wrong, "findings": wrong})
    else:
        for sentence in wrong or ["the ledger is in order: every sum agrees"]:
            typer.echo(sentence)
    raise typer.Exit(1 if wrong else 0)


def _marks(path: Path) -> dict[str, Mark]:
    """What a checkpoint says. Raises InvalidInput that names the file."""
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
        typer.Option(metavar="FILE", help="A new file only you can read, in place of standard output."),
    ] = None,
) -> None:
    """Print how far the books are proven, as JSON: to be kept elsewhere.

    What is new is proven first. Nothing that lies before a checkpoint can be changed any more without `ledger verify
    --checkpoint` seeing it, whoever may write to the database. Prints none when something differs, and exits with 1.
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
            metavar="ID|all", help="End the leg or callback of this id, as in the list; or all of them."
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why: kept with your name, see --done.")
    ] = None,
    done: Annotated[bool, typer.Option("--done", help="List what was mended, by whom and why.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what is left open and nobody ends any more; with --fix, end it and charge it.

    Legs with funds held whose callback is over, and callbacks of nodes that were not seen for ten minutes. A call of
    a living node is never touched. A leg that was never answered costs nothing; an answered one is charged by this
    machine's billing journal where that has it, else to when its node was last known to live (source `estimated`).
    """
    from stasis_callback.ari.cel import CelJournal
    from stasis_callback.engine.repair import Repair

    if (fix is None) != (reason is None) or (fix is not None and done):
        raise InvalidInput("to mend something, say what and why: --fix ID (or all) and --reason TEXT")
    if reason is not None and not printable(reason, "reason").strip():
        raise InvalidInput("a repair needs a reason: somebody will ask for it")
    with store() as s:
        mending = Repair(s, CelJournal(settings().asterisk.cel_path), Clock())
        if done:
            print_list(mending.history(1000), ("at", "id", "done", "operator", "reason"), as_json=as_json)
        elif fix is None:
            left = [asdict(trouble) for trouble in mending.troubles()]
            columns = ("id", "since_at", "node", "account", "held", "currency", "what")
            print_list(left, columns, as_json=as_json)
        else:
            _mend(mending, fix, str(reason))


def _mend(mending: Repair, fix: str, reason: str) -> None:
    """Mend one thing, or each; one that cannot be mended stops no other."""
    failed = ""
    for subject in [trouble.id for trouble in mending.troubles()] if fix == "all" else [fix]:
        try:
            typer.echo(mending.mend(subject, operator=operator(), reason=reason))
        except InvariantBroken as error:
            failed = f"{subject} cannot be mended: {error}; see `stasis-callback ledger verify`"
            typer.echo(failed, err=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def entries(
    account: Annotated[str, typer.Option(help="Whose: the account's id or an alias.", metavar="ID")],
    limit: Annotated[
        int, typer.Option(help="The newest so many.", metavar="N", parser=whole(1, 100_000))
    ] = 1000,
    as_json: AsJson = False,
) -> None:
    """List what moved an account's balance, with the balance after each entry."""
    with store() as s:
        rows = [asdict(line) for line in s.ledger.statement(s.accounts.named(account).book_id, limit)]
    columns = ("transfer", "created_at", "kind", "amount", "balance", "note", "operator", "reversed_by")
    print_list(rows, columns, as_json=as_json)


@app.command()
def reverse(
    transfer: Annotated[
        int, typer.Argument(metavar="TRANSFER", help="Its number.", parser=whole(1, 10**12 - 1))
    ],
    reason: Annotated[str, typer.Option(help="Why: kept with the entry.", metavar="TEXT")],
) -> None:
    """Take a posting back by its mirror image, once. The posting stays, and so does a call's xDR."""
    printable(reason, "reason")
    with store() as s:
        number = s.ledger.reverse(transfer, reason=reason, operator=operator())
    typer.echo(f"transfer {transfer} is taken back by transfer {number}")
