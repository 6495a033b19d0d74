"""Money is an integer number of micros: millionths of a currency's main unit (1.50 USD = 1_500_000)."""

from __future__ import annotations

import re
from decimal import Decimal

from stasis_callback.core.errors import InvalidInput

MICROS = 1_000_000
AMOUNT_LIMIT_MICROS = 10**9 * MICROS
"""Maximum of a single amount: a thousand million units. Larger ones are most likely typing errors."""

_AMOUNT = re.compile(r"[+-]?[0-9]{1,10}(\.[0-9]{1,6})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


def parse_amount(text: str) -> int:
    """Parse an amount like `12.5` or `-0.000001` to micros. At most six decimals, at most a thousand million.

    Raises InvalidInput for anything else: a comma, an exponent, a currency sign.
    """
    text = text.strip()
    if not _AMOUNT.fullmatch(text):
        raise InvalidInput(
            f"{text!r} is not an amount: write, for example, 12.50 (decimal point, at most six decimals)"
        )
    micros = int(Decimal(text) * MICROS)
    if abs(micros) > AMOUNT_LIMIT_MICROS:
        raise InvalidInput(f"{text} is too large: the limit is {format_amount(AMOUNT_LIMIT_MICROS)}")
    return micros


def format_amount(micros: int, currency: str = "") -> str:
    """Format micros: `1_500_000` as `1.50`, `123` as `0.000123`. At least two decimals, without trailing zeros."""
    sign, size = ("-" if micros < 0 else ""), abs(micros)
    fraction = f"{size % MICROS:06d}"
    fraction = fraction[:2] + fraction[2:].rstrip("0")
    amount = f"{sign}{size // MICROS}.{fraction}"
    return f"{amount} {currency}" if currency else amount


def parse_currency(text: str) -> str:
    """An ISO 4217 code in capitals. Raises InvalidInput if it is not three letters."""
    code = text.strip().upper()
    if not _CURRENCY.fullmatch(code):
        raise InvalidInput(f"{text!r} is not a currency code: write three letters, like USD or EUR")
    return code


def divide_up(amount: int, by: int) -> int:
    """Integer division rounded up: a started micro is charged."""
    return -(-amount // by)
