"""What the process asks of the kernel for its many waiting threads."""

from __future__ import annotations

import subprocess
import sys

ASKED = """
import ctypes
from stasis_callback import process
GET_SLOTS = 2
places = lambda: ctypes.CDLL(None).prctl(process.PR_FUTEX_HASH, GET_SLOTS, 0, 0, 0)
before = places()
process._have_places_to_wait()
print(before, places(), process.WAITING_PLACES)
"""


def test_the_kernel_has_places_for_thousands_of_waiting_threads() -> None:
    """A kernel that cannot be told (before Linux 6.17) answers -1, has enough of its own, and nothing happens."""
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    before, after, asked_for = (int(word) for word in done.stdout.split())
    assert after == (asked_for if before >= 0 else -1)
