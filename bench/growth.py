"""`python -m bench.growth`: what costs the same in a large database as in a small one; what waits beside an import.

1. The statements that run again and again, with 3,000 and with 300,000 requests (each with two legs, holds and xDRs
   over, and four steps told) and as many aliases: the processor time of each, and the ratio.
2. A top-up after the other in this process while another one imports 500,000 rates, takes them back, and makes
   20,000 vouchers, and beside nothing: the longest wait.
3. A price list of a million rates: how long it takes to read, how long the longest look-up takes while it is read
   anew beside them, and the memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.rates import prefixes
from bench.work import work_folder
from stasis_callback import logs
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.rating import Rate
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.store.accounts.codes import READABLE
from stasis_callback.store.accounts.tables import Alias
from stasis_callback.store.calls.tables import LegRow, Request, RequestEvent, Xdr
from stasis_callback.store.database.statements import insert_rows
from stasis_callback.store.money.tables import Hold
from stasis_callback.store.rates.tariffs import NewRate, Tariffs
from stasis_callback.store.stores import Stores, open_stores

SMALL, LARGE = 3_000, 300_000
ROUNDS, REPEATS = 9, 20
BATCH = 5_000
NODE = "bench"


def opened(folder: Path, name: str) -> Stores:
    stores = open_stores(f"sqlite:///{folder}/{name}.db", NODE, Clock())
    stores.database.migrate()
    stores.nodes.enter()
    stores.tariffs.add("standard", "USD")
    stores.tariffs.put_rates("standard", [NewRate(Rate("44", first_price_micros=60_000))])
    stores.accounts.add_product("callback", "standard")
    stores.accounts.add_customer("people", "USD")
    for number in ("caller", "others"):
        stores.accounts.add(number, customer="people", product="callback")
    stores.accounts.change("caller", simultaneous_calls=1000)
    stores.ledger.top_up(stores.accounts.named("caller").book_id, 10**12, key="first")
    return stores


# --- 1. growth ----------------------------------------------------------------------------------------------------


def fill(stores: Stores, count: int) -> None:
    """Insert this number of ended callbacks of other subscribers, with all their rows."""
    other, now_us = stores.accounts.named("others"), Clock().now_us()
    rate = stores.tariffs.match(other.tariff_id, "442")
    assert rate is not None
    for start in range(0, count, BATCH):
        ids = [f"{n:016x}" for n in range(start, min(start + BATCH, count))]
        at = {one: now_us - 86_400 * US_PER_S - n for n, one in enumerate(ids, start)}
        with stores.database.transaction():
            _fill_requests(ids, at, other.id)
            _fill_legs(ids, at, other.id, other.book_id, rate.id, rate.terms_id)
            insert_rows(Alias, ("number", "account_id"), [(f"alias{one}", other.id) for one in ids])


def _fill_requests(ids: Sequence[str], at: dict[str, int], account: int) -> None:
    columns = (
        "id", "key", "triggered_by", "ani", "dnis", "account_id", "subscriber_id", "leg_a_number", "options",
        "state", "outcome", "attempts", "created_at_us", "due_at_us", "claimed_by", "lease_until_us",
        "finished_at_us", "destination", "instance",
    )  # fmt: skip
    rows = (
        (i, i, "web", "a", "800", account, account, f"44{int(i, 16) % 5000}", "{}", "done", "completed", 1,
         at[i], at[i], NODE, 0, at[i], "", "shop")
        for i in ids
    )  # fmt: skip
    insert_rows(Request, columns, rows)
    steps = ("queued", "calling_first", "first_answered", "ended")
    events = ("request_id", "step", "at_us", "delivery", "attempts", "due_at_us", "instance")
    insert_rows(RequestEvent, events, ((i, s, at[i], "sent", 1, at[i], "shop") for i in ids for s in steps))


def _fill_legs(
    ids: Sequence[str], at: dict[str, int], account: int, book: int, rate: int, terms: int
) -> None:
    legs = [(i, f"{i}-{side}1", side) for i in ids for side in "ab"]
    leg = ("id", "request_id", "side", "number", "account_id", "rate_id", "state", "dialed_at_us", "terms_id")
    insert_rows(
        LegRow, leg, ((one, i, side, "442", account, rate, "settled", at[i], terms) for i, one, side in legs)
    )
    hold = ("leg_id", "book_id", "amount_micros", "state", "created_at_us", "closed_at_us")
    insert_rows(Hold, hold, ((one, book, 1, "voided", at[i], at[i]) for i, one, _ in legs))
    xdr = (
        "leg_id", "request_id", "side", "account_id", "number", "prefix", "dialed_at_us", "ended_at_us",
        "duration_us", "charged_s", "amount_micros", "overrun_micros", "currency", "outcome", "cause", "source",
        "created_at_us",
    )  # fmt: skip
    insert_rows(
        Xdr,
        xdr,
        (
            (one, i, side, account, "442", "44", at[i], at[i], 0, 0, 0, 0, "USD", "busy", 17, "events", at[i])
            for i, one, side in legs
        ),
    )


def often(stores: Stores) -> dict[str, Callable[[], object]]:
    """What is done again and again, or for each callback."""
    account = stores.accounts.named("caller")

    def accept() -> str:
        key = secrets.token_hex(8)
        request = CallbackRequest(key, "ani", "x", "800")
        return stores.requests.accept(
            request, account_id=account.id, subscriber_id=account.id, leg_a_number=key,
            stored_options={"callback_delay_s": "3600"}, queue_limit=10**6,
        )  # fmt: skip

    return {
        "left_open": stores.requests.left_open,
        "claim": lambda: stores.requests.claim(10),
        "next_due": stores.requests.next_due_us,
        "accept": accept,
        "account": lambda: stores.accounts.get(account.id),
        "last_destination": lambda: stores.calls.last_destination(account.id),
        "talks_paid_from": lambda: stores.calls.talks_paid_from(account.book_id),
        "open_legs": stores.calls.open_legs,
        "webhooks, what waits": stores.events.waiting,
        "webhooks, claim": lambda: stores.events.claim("shop", 4),
        "counts for /metrics": lambda: [stores.requests.count(s) for s in ("queued", "dialing", "talking")],
    }


def measured(stores: Stores) -> dict[str, float]:
    """Microseconds of processor time of each: another load of the machine counts less."""
    found = {}
    for name, work in often(stores).items():
        work()
        start_s = time.thread_time()
        for _ in range(REPEATS):
            work()
        found[name] = (time.thread_time() - start_s) / REPEATS * 1e6
    return found


def growth(folder: Path, large: int) -> None:
    """Print the least of each; the two databases take turns."""
    least: dict[int, dict[str, float]] = {SMALL: {}, large: {}}
    for count in least:
        stores = opened(folder, f"of{count}")
        fill(stores, count)
        stores.database.close()
    for turn in range(ROUNDS):
        for count in least if turn % 2 == 0 else reversed(least):
            stores = open_stores(f"sqlite:///{folder}/of{count}.db", NODE, Clock())
            stores.nodes.enter()
            for name, took_us in measured(stores).items():
                least[count][name] = min(took_us, least[count].get(name, took_us))
            stores.nodes.leave()
            stores.database.close()
    print(f"{'':24}{SMALL:>10,}  {large:>10,} requests   ratio")
    for name, small_us in least[SMALL].items():
        large_us = least[large][name]
        print(f"{name:24}{small_us:>8.0f} us {large_us:>8.0f} us {large_us / small_us:>14.2f}")


# --- 2. beside an import ------------------------------------------------------------------------------------------


def import_rates(url: str, count: int, price: int) -> None:
    stores = open_stores(url, "import", Clock())
    rates = [NewRate(Rate(prefix, first_price_micros=price)) for prefix in prefixes(count)]
    stores.tariffs.put_rates("standard", rates)
    stores.database.close()


def take_back(url: str) -> None:
    stores = open_stores(url, "import", Clock())
    stores.tariffs.roll_back("standard", 1)
    stores.database.close()


def make_vouchers(url: str, count: int) -> None:
    stores = open_stores(url, "import", Clock())
    stores.vouchers.generate("spring", count, 5_000_000, "USD", length=14, alphabet=READABLE)
    stores.database.close()


def beside(folder: Path, rates: int, vouchers: int) -> None:
    stores = opened(folder, "beside")
    url, book_id = stores.database.url, stores.accounts.named("caller").book_id
    tasks: tuple[tuple[str, Callable[..., None], tuple[object, ...]], ...] = (
        (f"import of {rates:,} rates", import_rates, (url, rates, 60_000)),
        ("the same with other prices", import_rates, (url, rates, 70_000)),
        ("roll back of both", take_back, (url,)),
        (f"{vouchers:,} vouchers", make_vouchers, (url, vouchers)),
    )
    payments = iter(range(10**9))
    spawn = multiprocessing.get_context("spawn")
    for name, work, words in (("nothing", time.sleep, (5.0,)), *tasks):
        process = spawn.Process(target=work, args=words)
        start_s = time.perf_counter()
        process.start()
        waits = []
        while process.is_alive():
            before_s = time.perf_counter()
            stores.ledger.top_up(book_id, 1, key=f"beside{next(payments)}")
            waits.append(time.perf_counter() - before_s)
            time.sleep(0.002)
        process.join()
        took_s = time.perf_counter() - start_s
        waits.sort()
        median, most, longest = (waits[(len(waits) - 1) * n // 100] * 1e3 for n in (50, 99, 100))
        print(f"{name}: {took_s:.1f} s, {len(waits):,} top-ups beside it, median {median:.1f} ms, ", end="")
        print(f"99 % under {most:.1f} ms, longest {longest:.1f} ms")
        assert process.exitcode == 0
    stores.database.close()


# --- 3. a price list of a million ---------------------------------------------------------------------------------


@contextmanager
def kept_fresh(tariffs: Tariffs) -> Iterator[None]:
    worker = tariffs.worker()
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def price_list(folder: Path, count: int) -> None:
    stores = opened(folder, "list")
    import_rates_of(stores, count, 60_000)
    tariffs, tariff_id = (
        Tariffs(stores.database, Clock(), stores.accounts.tariffs_sold),
        stores.accounts.named("caller").tariff_id,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start_s = time.perf_counter()
    tariffs.warm()
    took_s = time.perf_counter() - start_s
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{count:,} rates are read in {took_s:.1f} s before the first call, {grown:.0f} MiB more")
    numbers = [f"{prefix}12345" for prefix in prefixes(2000)]
    url = stores.database.url
    with kept_fresh(tariffs):
        process = multiprocessing.get_context("spawn").Process(
            target=import_rates, args=(url, count // 2, 70_000)
        )
        process.start()
        waits, since_s = [], None
        while since_s is None or time.perf_counter() - since_s < 30:
            for number in numbers[:50]:
                before_s = time.perf_counter()
                found = tariffs.match(tariff_id, number)
                waits.append(time.perf_counter() - before_s)
            time.sleep(0.01)
            if since_s is None and not process.is_alive():
                since_s = time.perf_counter()
            if since_s is not None and found and found.rate.first_price_micros == 70_000:
                break
    waits.sort()
    process.join()
    late_s = time.perf_counter() - (since_s or 0)
    median_us, longest_ms = waits[len(waits) // 2] * 1e6, waits[-1] * 1e3
    print(f"new prices of {count // 2:,} of them are in force {late_s:.1f} s after their import; ", end="")
    print(f"look-ups meanwhile: median {median_us:.1f} us, longest {longest_ms:.1f} ms of {len(waits):,}")
    stores.database.close()


def import_rates_of(stores: Stores, count: int, price: int) -> None:
    stores.tariffs.put_rates(
        "standard", [NewRate(Rate(prefix, first_price_micros=price)) for prefix in prefixes(count)]
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--requests", type=int, default=LARGE, help="callbacks in the large database (300,000)"
    )
    parser.add_argument(
        "--rates", type=int, default=500_000, help="rates to import beside payments (500,000)"
    )
    parser.add_argument("--vouchers", type=int, default=20_000, help="vouchers to make beside them (20,000)")
    parser.add_argument("--list", type=int, default=1_000_000, help="rates of the price list (1,000,000)")
    parser.add_argument("--only", choices=("growth", "beside", "list"), help="one part")
    options = parser.parse_args()
    logs.silence()
    with work_folder("growth") as folder:
        if options.only in (None, "growth"):
            growth(folder, options.requests)
        if options.only in (None, "beside"):
            beside(folder, options.rates, options.vouchers)
        if options.only in (None, "list"):
            price_list(folder, options.list)
    return 0


if __name__ == "__main__":
    sys.exit(main())
