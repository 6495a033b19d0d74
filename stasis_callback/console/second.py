"""What a second operator has to agree to: which commands, trying one when it is proposed, carrying it out."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from stasis_callback.admin.commands import Command, Done, Takes, described, run
from stasis_callback.admin.taking import TakenText
from stasis_callback.console import policy
from stasis_callback.console.policy import Credit, Values
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import MICROS, parse_amount
from stasis_callback.settings import ConsoleSettings
from stasis_callback.store.operators.proposals import ProposalView
from stasis_callback.store.stores import Stores

log = structlog.get_logger()

_COUNT = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_NO_SECRETS = "error: what a second operator agrees to cannot have a secret with it: change that by itself\n"


class _Tried(Exception):
    """Ends a transaction in which a command was only tried."""


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What came out of a command that was carried out: what it printed, and the file that it wrote, if it did."""

    done: Done
    file_name: str = ""
    content: bytes = b""


class SecondOperator:
    """Proposes what needs a second operator, and carries it out when somebody has agreed."""

    def __init__(self, settings: ConsoleSettings, stores: Stores) -> None:
        self._limit_micros = round(settings.second_operator_above * MICROS)
        self._stores = stores

    def needed(self, command: Command, values: Values) -> bool:
        """Whether these values give more credit than one operator may give alone."""
        rule = policy.SECOND_OPERATOR.get(command.name)
        if not self._limit_micros or rule is None:
            return False
        try:
            return self._credit_micros(rule, values) > self._limit_micros
        except InvalidInput:
            return True  # nobody can tell how much it is; the command refuses it when it is proposed

    def propose(self, command: Command, values: Values, key: str, operator: str, folder: Path) -> Done | None:
        """Propose a command; what it says where it would be refused, which is then not proposed."""
        refused = self._tried(command, values, operator)
        if refused is not None:
            log.info("console.not_proposed", operator=operator, command=command.name, code=refused.code)
            return without_folder(refused, folder)
        words = [word.replace(f"{folder}/", "") for word in command.words(values)]
        self._stores.proposals.add(key, words, operator)
        log.info("console.proposed", operator=operator, command=command.name)
        return None

    def carry_out(self, proposal: ProposalView, decider: str) -> CarriedOut:
        """Carry out what was agreed to, in both names, and note what came out."""
        command = _command_of(proposal.command)
        with tempfile.TemporaryDirectory(prefix="console-") as name:
            folder = Path(name)
            words, written = _with_folder(command, proposal.command, folder)
            done = run(words, f"{proposal.proposer}, agreed by {decider}", self._stores)
            done = without_folder(done, folder)
            content = written.read_bytes() if written and not done.code and written.exists() else b""
        said = " ".join((done.complaint if done.code else done.text).removeprefix("error: ").split())
        self._stores.proposals.finish(proposal.id, decider, done=not done.code, said=said)
        log.info("console.carried_out", operator=decider, command=command.name, code=done.code)
        return CarriedOut(done, written.name if written and content else "", content)

    def _credit_micros(self, rule: Credit, values: Values) -> int:
        if rule.transfer:
            number = values.get(rule.transfer, [""])[0]
            return self._stores.ledger.moved_micros(int(number)) if _COUNT.fullmatch(number) else 0
        amounts = (values[name][0] for name in rule.amounts if values.get(name))
        return sum(abs(parse_amount(text)) for text in amounts) * _times(rule, values)

    def _tried(self, command: Command, values: Values, operator: str) -> Done | None:
        """What a command says that would be refused; None for one that would be carried out. Nothing is changed: its
        transaction is rolled back, with all that it wrote.
        """
        words = command.words(_one_of_many(command, values))
        try:
            with self._stores.database.transaction():
                done = run(words, operator, self._stores)
                raise _Tried
        except _Tried:
            pass
        for name in (p.name for p in command.parameters if p.kind is Takes.OUTPUT):
            for written in values.get(name, ()):
                Path(written).unlink(missing_ok=True)
        if done.wanted:
            return Done(2, (TakenText(_NO_SECRETS, True),), "", False)
        return done if done.code else None


def without_folder(done: Done, folder: Path) -> Done:
    """What was printed, without the place of files on this machine."""
    blocks = tuple(
        TakenText(block.text.replace(f"{folder}/", ""), block.is_error)
        if isinstance(block, TakenText)
        else block
        for block in done.blocks
    )
    return replace(done, blocks=blocks)


def _times(rule: Credit, values: Values) -> int:
    """How often the amounts are given. Raises InvalidInput for what is no number."""
    count = values.get(rule.times, ["1"])[0]
    if not _COUNT.fullmatch(count):
        raise InvalidInput(f"{count[:40]!r} is not a number")
    return int(count)


def _one_of_many(command: Command, values: Values) -> Values:
    """The same for one thing only: a batch of a hundred thousand is not written to see whether it is refused, while
    calls wait for the database. A count that is refused stays.
    """
    rule = policy.SECOND_OPERATOR[command.name]
    counted = command.parameter(rule.times) if rule.times else None
    if counted is None:
        return values
    count = values.get(counted.name, [""])[0]
    is_good = _COUNT.fullmatch(count) and (counted.most is None or int(count) <= counted.most)
    return {**values, counted.name: ["1"]} if is_good else values


def _command_of(words: Sequence[str]) -> Command:
    """The command that words begin with."""
    known = described()
    return next(known[name] for n in (3, 2, 1) if (name := " ".join(words[:n])) in known)


def _with_folder(command: Command, words: Sequence[str], folder: Path) -> tuple[list[str], Path | None]:
    """The words with the file that they write in a folder, and its path, if they write one."""
    option = next((p.option for p in command.parameters if p.kind is Takes.OUTPUT and p.option), "")
    begins, end = f"{option}=", words.index("--") if "--" in words else len(words)
    place = next((n for n in range(end) if option and words[n].startswith(begins)), None)
    if place is None:
        return list(words), None
    written = folder / Path(words[place].removeprefix(begins)).name
    return [*words[:place], f"{begins}{written}", *words[place + 1 :]], written
