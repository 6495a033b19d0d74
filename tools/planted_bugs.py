"""Plants known bugs about money into copies of the code, one in each, and runs the tests that must find them.

    .venv/bin/python tools/planted_bugs.py            all of them; exit code 1 when one is not found
    .venv/bin/python tools/planted_bugs.py swap       those with this word in their name

A test suite that stays green whatever the code does proves nothing: this shows that it does not.
Violations of the layers are planted by tests/unit/test_walls.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("stasis_callback", "tests", "pyproject.toml")
READ_ONLY = ("asterisk-conf", "sounds")
"""What is a link to this tree in a copy."""
AT_ONCE = 4
"""More than there are processors: tests that make calls mostly wait for phones."""


@dataclass(frozen=True)
class Bug:
    """What is written in place of what, and the tests of which each must fail then."""

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
        (
            "tests/unit/test_calls.py::test_a_leg_is_charged_once_however_often_its_end_is_reported",
            "tests/unit/test_ledger.py::test_settling_again_changes_nothing_and_says_the_same",
        ),
    ),
    Bug(
        "a call record is in the totals of reports, and read beside them",
        (("store/calls/sums.py", 'new = "x.id > ?" if self._few', 'new = "x.id >= ?" if self._few'),),
        ("tests/unit/test_totals.py::test_a_report_is_the_same_with_totals_and_without",),
    ),
    Bug(
        "a batch of accounts is opened once more under its name",
        (("store/accounts/opening.py", "if there - set(numbers):", "if False:"),),
        ("tests/unit/test_opening_batches.py::test_the_name_of_a_batch_is_used_once",),
    ),
    Bug(
        "the timer is moved before the next slice is held",
        (
            (
                "engine/slices.py",
                "                    self._hold()\n        except",
                "                    self.b.funded_s += self.options.hold_slice_s\n"
                "                    self.b.try_arm()\n"
                "                    self.b.funded_s -= self.options.hold_slice_s\n"
                "                    self._hold()\n        except",
            ),
        ),
        ("tests/calls/test_slices.py::test_a_talk_goes_on_slice_by_slice[fake]",),
    ),
    Bug(
        "the hold of a leg that was not answered is not given back",
        (("store/calls/legs.py", "self._ledger.give_back(leg.hold, record)", "record(0)"),),
        ("tests/unit/test_calls.py::test_an_unanswered_leg_has_its_xdr_too_once",),
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
        ("tests/calls/test_leg_b.py::test_after_a_busy_number_another_one_can_be_called[fake]",),
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
        ("tests/calls/test_pin.py::test_a_pin_opens_the_conversation_and_each_leg_has_its_payer[fake]",),
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
        ("tests/property/test_ledger_concurrency.py::test_thirty_calls_at_once_on_credit_for_one",),
    ),
    Bug(
        "the last micro of the funds cannot be held",
        (("store/money/ledger.py", "+ credit_limit_micros >= ?", "+ credit_limit_micros > ?"),),
        ("tests/unit/test_ledger.py::test_parallel_legs_share_the_funds_and_cannot_take_more",),
    ),
    Bug(
        "the daily cap forgets what is held",
        (
            (
                "store/money/ledger.py",
                "OR held_micros + ? + CASE WHEN spent_day",
                "OR ? + CASE WHEN spent_day",
            ),
        ),
        ("tests/property/test_ledger_concurrency.py::test_a_daily_cap_is_not_passed_by_calls_at_once",),
    ),
    Bug(
        "what was spent yesterday counts today",
        (
            (
                "store/money/ledger.py",
                "WHEN spent_day - ? IN (0, 1) THEN spent_micros ELSE 0 END + ?",
                "WHEN spent_day - ? IN (-1, 0, 1) THEN spent_micros ELSE 0 END + ?",
            ),
        ),
        ("tests/unit/test_account_rules.py::test_no_more_is_spent_in_a_day_than_the_cap",),
    ),
    Bug(
        "a closed hold is changed again",
        (
            (
                "store/money/ledger.py",
                'require(state == HoldState.OPEN, f"the hold of leg {leg_id} is closed and cannot be changed")',
                "pass",
            ),
        ),
        ("tests/unit/test_ledger.py::test_what_would_break_the_books_stops_and_changes_nothing",),
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
        ("tests/unit/test_trunks.py::test_a_trunk_carries_no_more_calls_than_its_limit",),
    ),
    Bug(
        "calls are sold below cost",
        (("core/routing.py", "cost * 100 > earned * (", "cost * 100 > 2 * earned * ("),),
        ("tests/unit/test_trunks.py::test_every_offer_is_ranked_and_no_call_is_sold_at_a_loss",),
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
        ("tests/unit/test_rating.py::test_a_started_second_is_a_whole_one",),
    ),
    Bug(
        "a call costs more than its maximum",
        (("core/rating.py", "return min(cost, terms.maximum_micros or cost)", "return cost"),),
        ("tests/unit/test_rating.py::test_the_terms_of_a_tariff",),
    ),
    Bug(
        "a call costs throughout what it costs at its second interval",
        (
            (
                "core/rating.py",
                "_off_peak_starts(off_peak, start_us, 1, 1, ",
                "_off_peak_starts(off_peak, start_us + US_PER_S, 1, 1, ",
            ),
        ),
        ("tests/unit/test_rating.py::test_a_call_may_cost_throughout_what_it_costs_at_its_answer",),
    ),
    Bug(
        "off-peak limits in the hour that summer time skips come an hour late",
        (
            (
                "core/periods.py",
                "return [(begin_us, change_us, before_us), (change_us, end_us, after_us)]",
                "return [(begin_us, end_us, before_us)]",
            ),
        ),
        ("tests/unit/test_rating.py::test_off_peak_is_what_the_clock_shows_in_the_nights_it_is_changed",),
    ),
    Bug(
        "minutes of live calls do not count in the budget of a number",
        (("store/calls/legs.py", "        self._fraud.reserve(ahead)\n", ""),),
        (
            "tests/unit/test_fraud.py::test_minutes_are_not_exceeded_by_long_calls_at_the_same_time",
            "tests/property/test_budgets_ahead.py::test_what_is_counted_is_what_was_used_and_what_is_held",
        ),
    ),
    Bug(
        "what a call has left of its minutes is never free again",
        (
            (
                "store/calls/legs.py",
                "Spent(0, leg.reserved_s or 0, leg.reserved_micros)",
                "Spent(0, 0, leg.reserved_micros)",
            ),
        ),
        (
            "tests/unit/test_fraud.py::test_minutes_are_not_exceeded_by_long_calls_at_the_same_time",
            "tests/calls/test_fraud_in_calls.py::test_a_talk_counts_the_minutes_it_may_still_use_until_it_ends",
        ),
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


def copy_tree(folder: Path) -> None:
    """Put what tests need into `folder`: copies of what may be changed there."""
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    for name in READ_ONLY:
        (folder / name).symlink_to(ROOT / name)


def environment(folder: Path) -> dict[str, str]:
    """The environment in which tests run with the code of a copy."""
    return os.environ | {"PYTHONPATH": str(folder)}


def failing(bug: Bug) -> set[str]:
    """Those of a bug's tests that fail with it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_tree(folder)
        plant(bug, folder)
        # A failure is enough, however large: to reduce one example took longer than all other bugs together.
        options = ["-q", "-rfE", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
        command = [sys.executable, "-m", "pytest", *options, *bug.tests]
        done = subprocess.run(
            command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
        )
    told = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if not told and done.returncode:  # not even collected
        sys.exit(f"{bug.name}: the tests do not run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    print(bug.name, *(f"  {line[:110]}" for line in told), sep="\n", flush=True)
    names = {line.split()[1].partition("[")[0] for line in told}
    return {test for test in bug.tests if test.partition("[")[0] in names}


def main(words: list[str]) -> int:
    """Every bug whose name has one of `words`; the exit code."""
    bugs = [bug for bug in BUGS if not words or any(word in bug.name for word in words)]
    sound = Bug("nothing planted", (), tuple(dict.fromkeys(test for bug in bugs for test in bug.tests)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failing_anyway = pool.submit(failing, sound)
        found = pool.map(failing, bugs)
        missed = [
            f"{bug.name}: not found by {test}"
            for bug, failed in zip(bugs, found, strict=True)
            for test in bug.tests
            if test not in failed
        ]
        missed += [f"{test} fails with nothing planted" for test in failing_anyway.result()]
    print("\n".join(missed) if missed else f"every bug was found ({len(bugs)})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
