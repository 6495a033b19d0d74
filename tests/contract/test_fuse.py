"""`TIMEOUT(absolute)`, the money fuse: Asterisk itself ends a leg, whatever became of the application."""

import time

from contract.wire import FUSE, Wire
from stasis_callback.clock import wait_until


def test_ends_a_ringing_originated_leg(asterisk: Wire) -> None:
    number = asterisk.number()
    asterisk.network.phone(number)

    assert asterisk.gone(asterisk.originate(number, FUSE="0.7")) == (19, 480)


def test_ends_a_ringing_dialled_leg(asterisk: Wire) -> None:
    number = asterisk.number()
    asterisk.network.phone(number)

    assert asterisk.gone(asterisk.create(number, FUSE="0.7")) == (16, None)


def test_ends_a_leg_that_was_never_dialled(asterisk: Wire) -> None:
    assert asterisk.gone(asterisk.create(asterisk.number(), dial_timeout_s=None, FUSE="0.7")) == (21, 603)


def test_ends_an_answered_leg_with_cause_0(asterisk: Wire) -> None:
    assert asterisk.gone(asterisk.answered(FUSE="0.7")) == (0, None)


def test_ends_one_bridged_leg_alone_and_on_time(asterisk: Wire) -> None:
    a, b, bridge = asterisk.talking()
    set_s = time.monotonic()

    asterisk.fuse(b, 0.8)

    assert asterisk.gone(b) == (16, None)
    assert 0.75 <= time.monotonic() - set_s < 1.5
    assert asterisk.get("channels", a).body["state"] == "Up"
    assert asterisk.get("bridges", bridge).body["channels"] == [a]


def test_counts_from_when_it_was_last_set(asterisk: Wire) -> None:
    a = asterisk.answered(FUSE="0.6")
    asterisk.fuse(a, 1.2)
    set_s = time.monotonic()

    asterisk.gone(a)

    assert 1.15 <= time.monotonic() - set_s < 2


def test_can_be_read_back_and_taken_away(asterisk: Wire) -> None:
    a = asterisk.answered()
    assert asterisk.get("channels", a, "variable", variable=FUSE).body == {"value": "0"}

    asterisk.fuse(a, 30)
    assert 29 < float(asterisk.get("channels", a, "variable", variable=FUSE).body["value"]) <= 30

    asterisk.fuse(a, 0)
    assert asterisk.get("channels", a, "variable", variable=FUSE).body == {"value": "0"}


def test_trap_a_function_that_asterisk_does_not_know_is_set_as_well(asterisk: Wire) -> None:
    a = asterisk.answered()
    assert asterisk.post("channels", a, "variable", variable="NO_SUCH_FUNCTION(x)", value="1").status == 204


def test_is_set_before_asterisk_answers(asterisk: Wire) -> None:
    a = asterisk.answered()
    for seconds in range(30, 40):
        asterisk.fuse(a, seconds)
        read = asterisk.get("channels", a, "variable", variable=FUSE).body["value"]
        assert seconds - 1 < float(read) <= seconds


def test_ends_both_legs_after_the_application_died(asterisk: Wire) -> None:
    a, b, _ = asterisk.talking()
    asterisk.fuse(a, 1.5)
    asterisk.fuse(b, 1)

    asterisk.events.close()

    asterisk.wait_gone(b)
    asterisk.wait_gone(a)
    assert wait_until(lambda: (asterisk.cel_cause(b), asterisk.cel_cause(a)) == (16, 16), timeout_s=5)
    answer, end = (float(row[1]) for row in asterisk.cel(b) if row[0] in ("ANSWER", "HANGUP"))
    assert 1.0 <= end - answer < 1.6


def test_during_a_playback_it_cuts_in(asterisk: Wire) -> None:
    a = asterisk.answered(FUSE="0.7")
    asterisk.post("channels", a, "play", "cut", media="tone:ring")

    assert asterisk.gone(a) == (0, None)
