"""MagnusBilling 7 in our words: users, caller ids, plans with their rates. Table and column names are its own."""

from __future__ import annotations

from pathlib import Path

from stasis_callback.admin.elsewhere.business import Business, Person, end_of_day_us, grouped, named, whole
from stasis_callback.admin.elsewhere.dumps import Row, rows, small_tables
from stasis_callback.core.errors import InvalidInput

SMALL = ("pkg_user", "pkg_callerid", "pkg_plan", "pkg_prefix", "pkg_group_user", "pkg_speeddial")
RATES = "pkg_rate"
UNSAID = {
    "disconnectcharge": "disconnect charges of single rates: see `tariff set --disconnect-fee`",
    "minimal_time_charge": "shortest charged times of single rates: see `tariff set`",
}
CLIENTS = "3"
"""`id_user_type` of who calls; 1 are administrators, 2 agents."""


def read(source: Path, currency: str, region: str, _now_us: int) -> Business:
    """Its business. Raises InvalidInput when the dump cannot be read, has no users, or no currency is given."""
    tables = small_tables(source, SMALL, "pkg_user")
    if not currency:
        raise InvalidInput("MagnusBilling does not name the currency of its amounts: give it with --currency")
    found = Business("magnusbilling", currency)
    plans = {row["id"]: row["name"] for row in tables["pkg_plan"]}
    _people(found, tables, plans, region)
    _rates(found, source, {row["id"]: row["prefix"] for row in tables["pkg_prefix"]}, plans)
    return found


def _people(found: Business, tables: dict[str, list[Row]], plans: dict[str, str], region: str) -> None:
    callers = grouped(tables["pkg_callerid"], "id_user", lambda row: row.get("activated", "t") in ("t", "1"))
    dials = grouped(tables["pkg_speeddial"], "id_user", lambda row: bool(row.get("phone")))
    groups = {row["id"] for row in tables["pkg_group_user"] if row["id_user_type"] == CLIENTS} or {CLIENTS}
    for user in tables["pkg_user"]:
        if user["id_group"] not in groups:
            continue
        if user["id_plan"] not in plans:
            found.left["users without a plan"] += 1
            continue
        with found.leaving_out("pkg_user", user):
            person = _person(found, user, plans[user["id_plan"]])
            person.callers[:0] = [
                n for row in callers.get(user["id"], ()) if (n := found.caller(row["cid"], region))
            ]
            person.speed_dials = found.dials(dials.get(user["id"], ()), region)
            found.debt(person)
            found.people.append(person)


def _person(found: Business, user: Row, tariff: str) -> Person:
    limit, pin = whole(user["calllimit"] or "1"), user.get("callingcard_pin", "")
    return Person(
        key=f"magnusbilling:{user['id']}",
        number=user["username"],
        name=named(user, user["username"]),
        tariff=tariff,
        balance_micros=found.amount(user["credit"]),
        credit_limit_micros=found.amount(user["creditlimit"]) if user["typepaid"] == "1" else 0,
        callers=[pin] if pin not in ("", "0", user["username"]) else [],
        language=user["language"][:2],
        blocked=user["active"] != "1",
        expires_at_us=end_of_day_us(user["expirationdate"]) if user["enableexpire"] == "1" else None,
        simultaneous_calls=min(limit, 1000) if limit > 0 else 10,
    )


def _rates(found: Business, source: Path, prefixes: dict[str, str], plans: dict[str, str]) -> None:
    sold = {person.tariff for person in found.people}
    for _, row in rows(source, (RATES,)):
        plan = plans.get(row["id_plan"], "")
        prefix = prefixes.get(row["id_prefix"]) or row.get("dialprefix", "")
        if plan not in sold or row["status"] != "1":
            continue
        with found.leaving_out(RATES, row):
            rate = found.rate(prefix, row, UNSAID)
            if rate is not None:
                found.tariffs.setdefault(plan, {})[prefix] = rate
