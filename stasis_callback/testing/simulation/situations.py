"""What must come together before anything can go wrong, and hardly ever does by chance.

Each was the cause of a failure once. They are drawn on their own, so that the rest of each plan is what it was before
there were these.
"""

from __future__ import annotations

from random import Random

from .plan import Fault, Moment

NONE, ONE, TWO = 1, 5, 4
"""In how many plans of ten there are so many."""


def make_situation(seed: int) -> tuple[Fault, ...]:
    """The faults of one or two situations, in most plans."""
    random = Random(f"situation {seed}")
    weights = {
        _request_fails_beside_a_talk: 8,
        _look_fails: 3,
        _link_lost_again: 4,
        _call_unheard: 3,
        _link_away: 1,
        _both_die: 4,
        _digits_twice: 3,
        _nobody_is_called: 2,
    }
    (count,) = random.choices((0, 1, 2), (NONE, ONE, TWO))
    drawn = random.choices([*weights], [*weights.values()], k=count)
    return tuple(fault for draw in drawn for fault in draw(random))


def make_deaf(seed: int) -> tuple[Fault, ...]:
    """In one plan of ten the link is lost, and what is accepted after it hears nothing, once or twice."""
    random = Random(f"deaf {seed}")
    if random.random() >= 0.1:
        return ()
    when: Moment = random.choice(("incoming", "A called", "A keyed", "B called", "B answered", "B ended"))
    after_s, count = random.choice((0.0, 0.3, 2.0)), random.choice((1, 1, 2))
    return (Fault(after_s, "websocket deaf", count=count, when=when, turn=random.choice((1, 1, 2))),)


def _request_fails_beside_a_talk(random: Random) -> tuple[Fault, ...]:
    """What is asked when leg B is paid for, is called, or talks is answered by 503."""
    choices: tuple[tuple[Moment, float, str], ...] = (
        ("B held", 0.0, "/variable$"),
        ("B held", 0.0, "/variable$"),
        ("A keyed", 0.0, ""),
        ("B called", 0.0, ""),
        ("B answered", 0.3, "/play|/rtp_statistics$"),
        ("B answered", 0.3, "/play|/rtp_statistics$"),
    )
    when, after_s, path = random.choice(choices)
    count, turn = random.choice((1, 1, 2, 10)), random.choice((1, 1, 1, 2))
    return (Fault(after_s, "ari 503", count=count, path=path, when=when, turn=turn),)


def _look_fails(random: Random) -> tuple[Fault, ...]:
    """The link is lost in a call, and what became of its legs cannot be asked when it is back."""
    when: Moment = random.choice(("A keyed", "B called", "B answered", "B answered", "B answered"))
    path, count = r"^/channels/[^/]+-[ab]\d+$", random.choice((1, 1, 2, 10))
    return (
        Fault(random.choice((0.3, 1.0, 3.0)), "websocket dropped", when=when),
        Fault(0.0, "ari 503", count=count, path=path, when="linked", turn=2),
    )


def _link_away(random: Random) -> tuple[Fault, ...]:
    """Requests are answered, and there are no events: longer than anybody takes to notice."""
    when: Moment = random.choice(("incoming", "A called", "A ended", "B answered", "B ended", "committed"))
    turn = random.choice((1, 1, 2))
    return (
        Fault(random.choice((0.0, 0.3, 2.0)), "websocket refused", _away_s(random), when=when, turn=turn),
    )


def _link_lost_again(random: Random) -> tuple[Fault, ...]:
    """The link that is back goes while the calls are compared with Asterisk's."""
    when: Moment = random.choice(("incoming", "A called", "A ended", "B answered", "B ended"))
    after_s = random.choice((0.001, 0.002, 0.005, 0.01, 0.02))
    return (
        Fault(0.0, "websocket dropped", when=when, turn=random.choice((1, 1, 2))),
        Fault(after_s, "websocket refused", _away_s(random), when="linked", turn=2),
    )


def _call_unheard(random: Random) -> tuple[Fault, ...]:
    """A call comes in and waits in the application, whose link is half open."""
    after_s = random.choice((0.0, 0.0, 0.0, 0.002))
    return (Fault(after_s, "websocket half open", 15.0, when="incoming", turn=random.choice((1, 1, 2))),)


def _both_die(random: Random) -> tuple[Fault, ...]:
    """Asterisk dies in a call, and the service: before it, so that it is back while Asterisk is still away, or while
    it waits for Asterisk.
    """
    when: Moment = random.choice(("A answered", "B answered"))
    after_s, down_s = random.choice((1.0, 3.0)), random.choice((0.5, 20.0))
    if random.random() < 0.5:
        later_s = random.choice((3.4, 3.8, 4.2, 4.6))
        service = Fault(after_s, "service killed", down_s, when=when)
        return service, Fault(after_s, "asterisk crashed", down_s + later_s, when=when)
    service = Fault(after_s + random.choice((6.0, 11.0, 16.0)), "service killed", down_s, when=when)
    return service, Fault(after_s, "asterisk crashed", 30.0, when=when)


def _digits_twice(random: Random) -> tuple[Fault, ...]:
    """One or two of the digits of a number are reported twice: with more it would be no number any more."""
    return (Fault(0.0, "events twice", 20.0, count=10, when="A answered", turn=random.choice((1, 1, 2))),)


def _nobody_is_called(random: Random) -> tuple[Fault, ...]:
    """Asterisk takes too long to call leg A, does not say whether it does, and then does not."""
    turn, path = random.choice((1, 1, 2)), r"^/channels/[^/]+-a\d+$"
    return (
        Fault(0.0, "ari slow", 12.0, 1, path, when="incoming", turn=turn),
        Fault(4.5, "ari 503", 10.0, -1, path, when="incoming", turn=turn),
    )


def _away_s(random: Random) -> float:
    return random.choice((2.0, 8.0, 15.0, 30.0))
