"""A2Billing 1.4 to 2.2 in our words: cards, caller ids, speed dials, ratecards. Table and column names are its own.

A card is a customer with one account, its call plan (a group of ratecards) a tariff. Of several ratecards in a plan
that price one prefix, A2Billing takes the one that it buys cheapest, unless `lcrtype` is 1: then the one that sells
cheapest.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from stasis_callback.admin.elsewhere.business import Business, Person, end_of_day_us, grouped, named
from stasis_callback.admin.elsewhere.dumps import Row, rows, small_tables
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rating import Rate

SMALL = ("cc_card", "cc_callerid", "cc_speeddial", "cc_tariffgroup", "cc_tariffgroup_plan", "cc_config")
RATES = "cc_ratecard"
ACTIVE = "1"
ALWAYS = {"starttime": "0", "endtime": "10079"}
"""Minutes of the week: from Monday 00:00 to Sunday 23:59."""
UNSAID = {
    "disconnectcharge": "disconnect charges of single rates: see `tariff set --disconnect-fee`",
    "chargea": "further price steps (chargea)",
    "minimal_cost": "minimum costs of single rates: see `tariff set`",
}


def read(source: Path, currency: str, region: str, now_us: int) -> Business:
    """Its business. Raises InvalidInput when the dump cannot be read, or has no cards."""
    tables = small_tables(source, SMALL, "cc_card")
    if not currency:
        currency = _base_currency(tables["cc_config"])
    found = Business("a2billing", currency)
    plans = {row["id"]: row for row in tables["cc_tariffgroup"]}
    names = {key: f"{row['tariffgroupname']}" for key, row in plans.items()}
    _people(found, tables, names, region)
    _rates(found, source, tables, plans, now_us)
    return found


def _base_currency(config: list[Row]) -> str:
    for row in config:
        if row.get("config_key") == "base_currency" and row["config_value"]:
            return row["config_value"].upper()
    raise InvalidInput("the dump does not name the currency of its amounts: give it with --currency")


def _people(found: Business, tables: dict[str, list[Row]], plans: dict[str, str], region: str) -> None:
    callers = grouped(
        tables["cc_callerid"], "id_cc_card", lambda row: row.get("activated", "t") in ("t", "1")
    )
    dials = grouped(tables["cc_speeddial"], "id_cc_card", lambda row: bool(row["phone"]))
    for card in tables["cc_card"]:
        if card["tariff"] not in plans:
            found.left["cards without a call plan"] += 1
            continue
        with found.leaving_out("cc_card", card):
            person = _person(found, card, plans[card["tariff"]])
            person.callers = [
                n for row in callers.get(card["id"], ()) if (n := found.caller(row["cid"], region))
            ]
            person.speed_dials = found.dials(dials.get(card["id"], ()), region)
            found.debt(person)
            found.people.append(person)


def _person(found: Business, card: Row, tariff: str) -> Person:
    postpaid = card["typepaid"] == "1"
    return Person(
        key=f"a2billing:{card['id']}",
        number=card["username"],
        name=named(card, card["username"], card.get("company_name", "")),
        tariff=tariff,
        balance_micros=found.amount(card["credit"]),
        credit_limit_micros=found.amount(card["creditlimit"]) if postpaid else 0,
        language=card["language"][:2],
        blocked=card["status"] != ACTIVE,
        expires_at_us=end_of_day_us(card["expirationdate"]) if card["enableexpire"] == "1" else None,
        simultaneous_calls=10 if card["simultaccess"] == "1" else 1,
    )


def _rates(
    found: Business, source: Path, tables: dict[str, list[Row]], plans: dict[str, Row], now_us: int
) -> None:
    sold = {person.tariff for person in found.people}
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in tables["cc_tariffgroup_plan"]:
        plan = plans.get(row["idtariffgroup"])
        if plan and plan["tariffgroupname"] in sold:
            groups[row["idtariffplan"]].append(plan)
    best: dict[tuple[str, str], int] = {}
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    for _, row in rows(source, (RATES,)):
        in_plans = groups.get(row["idtariffplan"], ())
        if not in_plans:
            continue
        with found.leaving_out(RATES, row):
            prices = {plan["id"]: _compared(found, row, plan) for plan in in_plans}
            rate = _rate(found, row, now)
            if rate is None:
                continue
            for plan in in_plans:
                place = (plan["tariffgroupname"], row["dialprefix"])
                if place not in best or prices[plan["id"]] < best[place]:
                    best[place] = prices[plan["id"]]
                    found.tariffs.setdefault(place[0], {})[place[1]] = rate


def _compared(found: Business, row: Row, plan: Row) -> int:
    """The price, in micros, by which a plan chooses among its ratecards."""
    return found.amount(row["rateinitial" if plan["lcrtype"] == "1" else "buyrate"])


def _rate(found: Business, row: Row, now: str) -> Rate | None:
    stops = row["stopdate"]
    if not stops.startswith("0000") and stops and stops < now:
        found.left["rates that have ended"] += 1
        return None
    if any(row[name] != value for name, value in ALWAYS.items()):
        found.left["rates for some hours of the week only: see `tariff set --off-peak`"] += 1
        return None
    return found.rate(row["dialprefix"], row, UNSAID)
