"""Plants known bugs about money into a copy of the code, one at a time, and runs the tests that must find them.

    .venv/bin/python tools/planted_bugs.py            all of them; exit code 1 when one is not found
    .venv/bin/python tools/planted_bugs.py swap       those with this word in their name

A test suite that stays green whatever the code does proves nothing: this shows that it does not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("stasis_callback", "tests", "asterisk-conf", "sounds", "pyproject.toml")


@dataclass(frozen=True)
class Bug:
    """What is written in place of what, and the tests that must not pass then."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]


BUGS = (
    Bug(
        "a leg is charged twice when its end is reported twice",
        (
            (
                "store/money/ledger.py",
                'key, now_us = f"settle:{leg_id}",',
                'key, now_us = f"settle:{leg_id}:{self._clock.monotonic_s()}",',
            ),
            ("store/money/ledger.py", "if hold.state == HoldState.POSTED:", "if False:"),
            (
                "store/money/ledger.py",
                'require(hold.state == HoldState.OPEN, f"the hold of leg {leg_id} was already closed")',
                "pass",
            ),
            ("store/calls/legs.py", "if leg.state == LegState.SETTLED:", "if False:"),
        ),
        ("tests/unit/test_calls.py", "tests/unit/test_ledger.py", "tests/property/test_ledger_machine.py"),
    ),
    Bug(
        "the timer is moved before the next slice is held",
        (
            (
                "engine/slices.py",
                "                self._hold()\n        except",
                "                self.b.funded_s += self.options.hold_slice_s\n"
                "                self.b.try_arm()\n"
                "                self.b.funded_s -= self.options.hold_slice_s\n"
                "                self._hold()\n        except",
            ),
        ),
        ("tests/calls/test_slices.py",),
    ),
    Bug(
        "the hold of a leg that was not answered is not given back",
        (("store/calls/legs.py", "self._ledger.void(leg_id, record)", "record(0)"),),
        ("tests/unit/test_calls.py", "tests/calls/test_leg_b.py"),
    ),
    Bug(
        "the ringing is charged",
        (
            (
                "store/calls/legs.py",
                "charged_seconds(end.duration_us) if",
                "charged_seconds(end.ended_at_us - leg.dialed_at_us) if",
            ),
        ),
        ("tests/calls/test_leg_b.py", "tests/calls/test_money_end.py"),
    ),
    Bug(
        "leg B is charged to the account that pays for leg A",
        (
            (
                "engine/funding.py",
                'request.id, "b", fare, hold_b',
                'request.id, "b", replace(fare, account=self._stores.accounts.get(request.account_id)), hold_b',
            ),
            (
                "engine/funding.py",
                "from dataclasses import dataclass",
                "from dataclasses import dataclass, replace",
            ),
        ),
        ("tests/calls/test_pin.py",),
    ),
    Bug(
        "balances are read, then written",
        (
            (
                "store/money/ledger.py",
                "return changed(_RESERVE, amount_micros, book_id, amount_micros, amount_micros, self._today())",
                # Within one transaction SQLite would notice it, and the unit be repeated: so what was read is older.
                "seen = self.__dict__.setdefault('seen', {}).setdefault(book_id, self.available_micros(book_id));"
                " return seen >= amount_micros and bool(run(_GIVE_BACK, amount_micros, book_id))",
            ),
        ),
        ("tests/property/test_ledger_concurrency.py",),
    ),
    Bug(
        "a trunk carries one call more than it may",
        (
            (
                "store/rates/trunks.py",
                "[0] >= trunk.calls_limit",
                "[0] > trunk.calls_limit",
            ),
        ),
        ("tests/unit/test_trunks.py",),
    ),
    Bug(
        "calls are sold below cost",
        (("core/routing.py", "cost * 100 > earned * (", "cost * 100 > 2 * earned * ("),),
        ("tests/unit/test_trunks.py",),
    ),
    Bug(
        "a started second is free",
        (
            (
                "core/rating.py",
                "return divide_up(max(duration_us, 0), US_PER_S)",
                "return max(duration_us, 0) // US_PER_S",
            ),
        ),
        ("tests/property/test_core_properties.py", "tests/unit/test_rating.py"),
    ),
)


def plant(bug: Bug, folder: Path) -> None:
    """Change the copy; a place that is not there any more is an error: the bug must be planted anew."""
    for file, old, new in bug.changes:
        path = folder / "stasis_callback" / file
        text = path.read_text()
        if text.count(old) != 1:
            sys.exit(
                f"{bug.name}: {file} does not have {old!r} exactly once: bring tools/planted_bugs.py up to date"
            )
        path.write_text(text.replace(old, new))


def found(bug: Bug, folder: Path) -> bool:
    """Whether the tests fail (exit code 1) with the bug in the code."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-m",
        "not real",
        *bug.tests,
    ]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    print(f"  {failed[0][:110] if failed else done.stdout.strip()[-200:]}")
    return done.returncode == 1


def main(words: list[str]) -> int:
    """Every bug whose name has one of `words`; the exit code."""
    missed = []
    for bug in BUGS:
        if words and not any(word in bug.name for word in words):
            continue
        print(bug.name)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name in COPIED:
                source = ROOT / name
                (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
            plant(bug, folder)
            if not found(bug, folder):
                missed.append(bug.name)
    print(f"{len(missed)} not found: {', '.join(missed)}" if missed else "every bug was found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
