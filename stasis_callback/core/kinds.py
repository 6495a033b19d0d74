"""The kinds of telephone numbers that matter for who may call them, and at which price. See `numbering`."""

from __future__ import annotations

from enum import StrEnum

from stasis_callback.core.errors import InvalidInput


class Kind(StrEnum):
    """What kind of number it is, as far as it matters for who may call it at which price."""

    ORDINARY = "ordinary"
    EMERGENCY = "emergency"
    IMPOSSIBLE = "impossible"
    UNASSIGNED = "unassigned"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    SATELLITE = "satellite"
    PERSONAL = "personal"
    OTHER_COUNTRY = "other_country"

    @property
    def meaning(self) -> str:
        """In words, for operators: `18765551234 is …`."""
        return _MEANINGS[self]


_MEANINGS = {
    Kind.ORDINARY: "an ordinary number",
    Kind.EMERGENCY: "an emergency number",
    Kind.IMPOSSIBLE: "not a valid phone number",
    Kind.UNASSIGNED: "in a range that is not assigned",
    Kind.PREMIUM: "a premium rate number",
    Kind.SHARED_COST: "a shared cost number",
    Kind.SATELLITE: "in a satellite or other network that belongs to no country",
    Kind.PERSONAL: "a personal or pager number",
    Kind.OTHER_COUNTRY: "in another country that shares the calling code",
}
OPENABLE = tuple(kind for kind in Kind if kind not in (Kind.ORDINARY, Kind.EMERGENCY))
"""The kinds that a tariff can be opened for."""


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """Kinds that a tariff is opened for, separated by commas. Raises InvalidInput."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = next((word for word in words if word not in OPENABLE), None)
    if unknown is not None:
        raise InvalidInput(
            f"{unknown!r} cannot be opened: use one or more of {', '.join(OPENABLE)}, separated by commas"
        )
    return tuple(kind for kind in OPENABLE if kind in words)
