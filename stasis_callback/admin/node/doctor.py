"""`doctor`: checks an installation and gives advice on each problem found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stasis_callback.admin.context import AsJson, settings
from stasis_callback.admin.files import must_be_new
from stasis_callback.admin.node.findings import Finding
from stasis_callback.admin.node.findings.of_asterisk import asterisk_findings
from stasis_callback.admin.node.findings.of_database import database_findings
from stasis_callback.admin.node.findings.of_machine import (
    conf_findings,
    journal_findings,
    look_findings,
    prompts_findings,
    settings_finding,
)
from stasis_callback.admin.node.findings.of_service import service_findings
from stasis_callback.admin.output import one_line, print_json
from stasis_callback.core.errors import CallbackError


def doctor(
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing; only set the exit code.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            help="Also write a support archive into this new file, without secrets.",
            metavar="FILE",
            writable=True,
        ),
    ] = None,
) -> None:
    """Run health checks on this installation, with advice on each problem found.

    Checks the settings, database, ledger, CEL journal, prompts, service and Asterisk. The exit code is 1 if there is
    a problem; warnings do not affect it. A support archive has the findings, settings, versions, numbers of rows and
    the latest lines of the logs; passwords are left out, phone numbers and e-mail addresses masked.
    """
    if bundle:
        must_be_new(bundle)
    findings = list(examine())
    problems = [f for f in findings if f.level == "problem"]
    if as_json and not quiet:
        print_json({"ok": not problems, "findings": [asdict(f) for f in findings]})
    elif not quiet:
        for finding in findings:
            typer.echo(one_line(f"{finding.level:<8} {finding.what}"))
            if finding.advice:
                typer.echo(one_line(f"{'':8} -> {finding.advice}"))
    if bundle:
        from stasis_callback.admin.node.bundle import write_bundle

        names = write_bundle(bundle, findings)
        typer.echo(f"{bundle} written ({', '.join(names)}): look through it before you hand it on", err=True)
    raise typer.Exit(1 if problems else 0)


def examine() -> Iterator[Finding]:
    """All findings, in the order in which they should be fixed."""
    try:
        config = settings()
    except CallbackError as error:
        yield Finding("problem", str(error), "correct the setting, then run `stasis-callback config check`")
        return
    yield settings_finding(config)
    yield from conf_findings()
    known = yield from database_findings(config)
    yield from asterisk_findings(config, known.trunks, checks_answers=known.checks_answers, runs=known.runs)
    yield from service_findings(config, known.runs)
    yield from journal_findings(config, known.last_answered)
    yield from look_findings(config)
    yield from prompts_findings(config, known.languages, known.brands)
