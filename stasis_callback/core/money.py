"""Money is an integer number of micros: millionths of a currency's main unit (1.50 USD = 1_500_000)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from stasis_callback.core.errors import InvalidInput

MICROS = 1_000_000
AMOUNT_LIMIT_MICROS = 10**9 * MICROS
"""Maximum of a single amount: a thousand million units. Larger ones are most likely typing errors."""
AMOUNT_LIMIT_TEXT = str(AMOUNT_LIMIT_MICROS // MICROS)
"""The same for a message that may be of any currency."""

_AMOUNT = re.compile(r"[+-]?[0-9]{1,10}(\.[0-9]{1,6})?", re.ASCII)
_PRICE = re.compile(r"(?:[0-9]{1,10}(?:\.[0-9]+)?|\.[0-9]+)", re.ASCII)
_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
    CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
    GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW
    KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD
    NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE
    SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYI UYU UYW UZS VED VES
    VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL
"""
_CURRENCIES = frozenset(_CODES.split())
"""Money in ISO 4217, also what was withdrawn in the last years; no metals, units of the IMF, or codes for tests."""
_CODES_BY_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS = {code: decimals for decimals, codes in _CODES_BY_DECIMALS.items() for code in codes.split()}


def decimals_of(currency: str) -> int:
    """The decimals of a currency's minor unit (ISO 4217); 2 for a code that is not listed."""
    return _DECIMALS.get(currency, 2)


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
        raise InvalidInput(f"{text} is too large: the limit is {AMOUNT_LIMIT_TEXT}")
    return micros


PRICE_DECIMALS = 12
"""The most decimals of a price per minute."""


def parse_price(text: str) -> Decimal:
    """A price per minute like `0.03111356`: at most twelve decimals, zeros at the end not counted.

    Raises InvalidInput for anything else, and for negative prices.
    """
    text = text.strip()
    if not _PRICE.fullmatch(text) or len(text.partition(".")[2].rstrip("0")) > PRICE_DECIMALS:
        raise InvalidInput(
            f"{text[:40]!r} is not an amount: write, for example, 0.12 (decimal point, at most {PRICE_DECIMALS} "
            "decimals)"
        )
    price = Decimal(text)
    if price * MICROS > AMOUNT_LIMIT_MICROS:
        raise InvalidInput(f"{text} is too large: the limit is {AMOUNT_LIMIT_TEXT}")
    return price


def in_micros(prices: Sequence[Decimal | None]) -> tuple[int, list[int | None]]:
    """Exact prices per minute as whole micros, and for how many minutes these are: 1, or 10, 100, ... where more than
    six decimals need it. Raises InvalidInput for more than twelve.
    """
    finest = max((-_exponent(price) for price in prices if price), default=0)
    if finest > PRICE_DECIMALS:
        raise InvalidInput(f"a price per minute has {finest} decimals: at most {PRICE_DECIMALS} can be kept")
    minutes: int = 10 ** max(finest - 6, 0)
    return minutes, [None if price is None else int(price * MICROS * minutes) for price in prices]


def _exponent(price: Decimal) -> int:
    exponent = price.normalize().as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def format_price(micros: int, minutes: int = 1) -> str:
    """A price per minute of `micros` for this number of minutes (1, or a divisor of a power of ten), exactly: like
    `format_amount`, with up to twelve decimals.
    """
    if minutes == 1:
        return format_amount(micros)
    whole, _, decimals = f"{Decimal(micros) / (MICROS * minutes):.{PRICE_DECIMALS}f}".partition(".")
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def require_payable(currency: str, *amounts_micros: int | None) -> None:
    """Raises InvalidInput for an amount that nobody can pay: with more decimals than the currency has.

    For what people pay or may owe. Prices, and what calls cost, may have more decimals.
    """
    decimals = decimals_of(currency)
    for micros in amounts_micros:
        if micros is not None and micros % 10 ** (6 - decimals):
            has = f"{decimals} decimals" if decimals else "no decimals"
            raise InvalidInput(
                f"{format_number(micros, currency)} cannot be an amount of {currency}, which has {has}: "
                "write a whole number of its smallest units"
            )


def format_amount(micros: int, currency: str = "") -> str:
    """Format micros: `1_500_000` as `1.50`, `123` as `0.000123`; with the currency, as `1.50 USD` or `1500 JPY`.

    At least as many decimals as the currency has (two without one), and no trailing zeros after them.
    """
    amount = format_number(micros, currency)
    return f"{amount} {currency}" if currency else amount


def format_number(micros: int, currency: str) -> str:
    """The same without the code of the currency, which stands elsewhere: `1.50` in USD, `1500` in JPY."""
    sign, size = ("-" if micros < 0 else ""), abs(micros)
    least, fraction = decimals_of(currency), f"{size % MICROS:06d}"
    fraction = fraction[:least] + fraction[least:].rstrip("0")
    return f"{sign}{size // MICROS}.{fraction}".rstrip(".")


def format_percent(bp: int) -> str:
    """Basis points in percent: 1250 is `12.5`."""
    return f"{bp / 100:g}"


def parse_currency(text: str) -> str:
    """An ISO 4217 code in capitals. Raises InvalidInput if it is none."""
    code = text.strip().upper()
    if code not in _CURRENCIES:
        raise InvalidInput(f"{text!r} is not a currency code of ISO 4217: write one like USD or EUR")
    return code


def divide_up(amount: int, by: int) -> int:
    """Integer division rounded up: a started micro is charged."""
    return -(-amount // by)
