"""What must come together before anything can go wrong, and hardly ever does by chance.

Each was the cause of a failure once. They are drawn on their own, so that the rest of each plan is what it was before
there were these.
"""

from __future__ import annotations

from random import Random

from .plan import Fault, Moment

SHARE = 0.75
"""In how many plans there is one."""


def make_situation(seed: int) -> tuple[Fault, ...]:
    """The faults of a situation, in most plans."""
    random = Random(f"situation {seed}")
    kinds = _request_fails_beside_a_talk, _look_fails, _link_lost_again, _call_unheard, _link_away
    (draw,) = random.choices(kinds, (8, 3, 3, 3, 1))
    return draw(random) if random.random() < SHARE else ()


def _request_fails_beside_a_talk(random: Random) -> tuple[Fault, ...]:
    """What is asked when leg B is paid for, is called, or talks is answered by 503."""
    choices: tuple[tuple[Moment, float, str], ...] = (
        ("A keyed", 0.0, "/variable$"),
        ("A keyed", 0.0, "/variable$"),
        ("A answered", 0.0, "/variable$"),
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


def _away_s(random: Random) -> float:
    return random.choice((2.0, 8.0, 15.0, 30.0))
