"""Plants known bugs into a copy of the code, one at a time, and counts in how many simulations each is found.

    .venv/bin/python tools/planted_in_simulation.py              all, 100 seeds each; 1 when one is not found
    .venv/bin/python tools/planted_in_simulation.py --seeds 500  a longer look
    .venv/bin/python tools/planted_in_simulation.py fee          those with this word in their name

Some are those of tools/planted_bugs.py; the others put the cause of a failure back that happened once.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from planted_bugs import BUGS, ROOT, Bug, plant

COPIED = ("stasis_callback", "asterisk-conf", "sounds")
FROM_TESTS = (
    "a leg is charged twice when its end is reported twice",
    "the timer is moved before the next slice is held",
    "the hold of a leg that was not answered is not given back",
    "the ringing is charged",
    "leg B is charged to the account that pays for leg A",
    "a trunk carries one call more than it may",
    "a started second is free",
)

PUT_BACK = (
    Bug(
        "a hold is committed before its leg is known, and a request that fails loses it (row 1)",
        (
            (
                "engine/funding.py",
                "            a.funded_s = held_s\n            a.try_arm()",
                "            a.funded_s = held_s\n            a.arm()",
            ),
            # Five defences: a request that was not done is sent again; the leg stays in the call; its end compares
            # the call with the database; and that ends no request with an open leg, in either way it does so.
            ("ari/rest.py", "again = error.untouched or (", "again = False and ("),
            (
                "engine/conversation.py",
                "        except (TrunkFull, NotAllowed):\n            self._call.drop(leg)\n            raise\n",
                "        except Exception:\n            self._call.drop(leg)\n            raise\n",
            ),
            (
                "store/calls/requests.py",
                "    AND NOT EXISTS (SELECT 1 FROM leg"
                " WHERE leg.request_id = request.id AND leg.state <> 'settled')\n",
                "",
            ),
            ("engine/closing.py", "            _compare(tools, call, request)\n", ""),
            (
                "store/calls/requests.py",
                'require(not open_legs.exists(), f"request {request_id} has a leg that is not settled")',
                "pass",
            ),
        ),
        (),
    ),
    Bug(
        "a leg that cannot be settled keeps the others from being hung up (row 2)",
        (
            (
                "engine/closing.py",
                "        _hang_up_all(call)\n        for leg in call.legs:\n            if leg.requested:\n"
                "                await_end(tools, call, leg)\n",
                "        for leg in reversed(call.legs):\n            if leg.requested:\n"
                "                await_end(tools, call, leg)\n"
                "            if not _settled(tools, call, leg):\n                return False\n",
            ),
        ),
        (),
    ),
    Bug(
        "recovery takes calls that somebody works on (row 5)",
        (
            (
                "engine/dialer.py",
                "for request in self._tools.stores.requests.left_open(self.works_on):",
                "for request in self._tools.stores.requests.left_open():",
            ),
        ),
        (),
    ),
    Bug(
        "what fails beside a talk ends it (row 9)",
        (
            (
                "engine/connection.py",
                "        except AriError as error:\n"
                "            log.warning(event, leg=self.a.leg.id, error=str(error))",
                "        except AriError:\n            raise",
            ),
            # Three defences: a request that was not done is sent again; who looks whether both are heard, or what
            # became of the legs, looks again. (Row 9 was the beep, and a look after the link was lost.)
            ("ari/rest.py", "again = error.untouched or (", "again = False and ("),
            (
                "engine/connection.py",
                "            except AriError:\n                heard = None\n",
                "            except AriError:\n                raise\n",
            ),
            (
                "ivr/call.py",
                '        except AriError as error:\n            log.warning("leg.unclear"',
                '        except ZeroDivisionError as error:\n            log.warning("leg.unclear"',
            ),
        ),
        (),
    ),
    Bug(
        "calls are made while the link is down (row 12)",
        (
            (
                "service.py",
                "return self._reconciled_connection == self.link.connection != 0",
                "return self._reconciled_connection != 0",
            ),
            # The cause was that a link that was lost again while the calls were compared counted as compared. Two
            # defences: which connection that was, and a look at the link when Asterisk is asked to call.
            (
                "service.py",
                "        self._reconciled_connection = connection\n",
                "        self._reconciled_connection = connection or -1\n",
            ),
            ("engine/session.py", "            heard=lambda: self._tools.watcher.connected,\n", ""),
        ),
        (),
    ),
    Bug(
        "a callback that failed through our fault is not tried again (row 8)",
        (
            (
                "engine/session.py",
                "        if not self._call.talked:\n            self._again = self._once_more()\n",
                "",
            ),
        ),
        (),
    ),
    Bug(
        "missed calls of the time without a link are left ringing (row 11)",
        (
            (
                "service.py",
                "if channel.app == self.client.app and channel.app_args[:1] == (INCOMING,):",
                "if False:",
            ),
        ),
        (),
    ),
    Bug(
        "a call that is being recovered counts as alive (row 23)",
        (
            (
                "engine/session.py",
                "return not self.recovering and self._call.sees_its_legs",
                "return self._call.sees_its_legs",
            ),
            # A defence: when it last lived is what was known when it was found, not what is while it is recovered.
            (
                "engine/legs.py",
                "    seen_us = last_seen_us(",
                "    request = tools.stores.requests.get(request.id)\n    seen_us = last_seen_us(",
            ),
        ),
        (),
    ),
    Bug(
        "a call whose Asterisk is away counts as alive",
        (
            (
                "engine/session.py",
                "return not self.recovering and self._call.sees_its_legs",
                "return not self.recovering",
            ),
            # Another defence: a lease says when Asterisk was last heard of, not when it is renewed.
            (
                "service.py",
                "self.dialer.renew_leases(self.link.heard_ago_s)",
                "self.dialer.renew_leases(0.0)",
            ),
        ),
        (),
    ),
    Bug(
        "a digit that is reported twice counts twice (row 20)",
        (
            (
                "ivr/call.py",
                "if key not in self._keyed or not event.at_us:",
                "if True:",
            ),
        ),
        (),
    ),
)


def found_in(bug: Bug, folder: Path, seeds: int) -> int:
    """In how many of `seeds` simulations something is broken with the bug in the code."""
    command = [sys.executable, "-m", "stasis_callback.testing.simulation", "--seeds", str(seeds)]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    told = re.search(r"(\d+) broken:", done.stdout)
    if told is None:
        sys.exit(f"{bug.name}: the simulation does not run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    first = next((line for line in done.stdout.splitlines() if line.startswith("  ")), "")
    print(f"  {first.strip()[:150]}")
    return int(told[1])


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only bugs with one of these in their name")
    parser.add_argument("--seeds", type=int, default=100, help="simulations for each (100)")
    asked = parser.parse_args(arguments)
    missed = []
    for bug in (*(bug for bug in BUGS if bug.name in FROM_TESTS), *PUT_BACK):
        if asked.words and not any(word in bug.name for word in asked.words):
            continue
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name in COPIED:
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            plant(bug, folder)
            count = found_in(bug, folder, asked.seeds)
        print(f"{bug.name}: found in {count} of {asked.seeds}", flush=True)
        if not count:
            missed.append(bug.name)
    print(f"{len(missed)} not found: {', '.join(missed)}" if missed else "every bug was found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
