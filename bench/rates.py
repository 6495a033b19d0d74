"""`python -m bench.rates`: how long a lookup takes among few and many rates, and an import next to the bare driver.

Lookups are the service's own (`Tariffs.match`), by numbers that 1,000 rates of each book are hit by in turn, as a
day's traffic hits a part of a price list; the sizes alternate within one run. The import is that of `rate import`:
from the file's lines to committed rows; its floor is the driver's `executemany` of the same rows into a table with
the same index, in one durable transaction. `--only memory` imports, lists and replaces a list of 500,000 lines and of
1,000, each in a process of its own, and prints the peak memory, processor time and time of each.
"""

from __future__ import annotations

import argparse
import csv
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from bench.report import Row, machine, write_json
from bench.work import CACHE, work_folder
from stasis_callback.admin.rates.lists import rate_list
from stasis_callback.clock import Clock
from stasis_callback.core.rate_columns import Profile
from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.tariffs import NewRate, Spool, Tariffs
from stasis_callback.store.stores import open_stores

SIZES = (1_000, 100_000, 1_000_000)
HIT = 1_000
SEED = 7


def prefixes(count: int) -> list[str]:
    """This number of prefixes of one to nine digits, nested like those of a price list."""
    made = {str(n) for n in range(1, 10)}
    rng = random.Random(SEED)
    while len(made) < count:
        made.add(
            rng.choice("123456789") + "".join(rng.choices("0123456789", k=rng.choice((3, 4, 5, 6, 7, 8))))
        )
    return sorted(made)


def numbers_for(some: Sequence[str], count: int) -> list[str]:
    """Numbers below `count` of the prefixes, spread over all of them."""
    rng = random.Random(SEED)
    return [
        prefix + "".join(rng.choices("0123456789", k=13 - len(prefix))) for prefix in rng.sample(some, count)
    ]


def lookup_us(tariffs: Tariffs, tariff_id: int, numbers: Sequence[str], rounds: int) -> float:
    """Microseconds of one lookup."""
    start_s = time.perf_counter()
    for _ in range(rounds):
        for number in numbers:
            tariffs.match(tariff_id, number)
    return (time.perf_counter() - start_s) / rounds / len(numbers) * 1e6


def lookups(folder: Path, sizes: Sequence[int], rounds: int) -> list[Row]:
    """Print the time of a lookup in books of several sizes."""
    stores = open_stores(f"sqlite:///{folder}/lookups.db", "bench", Clock())
    stores.database.migrate()
    books: dict[int, tuple[int, list[str]]] = {}
    for size in sizes:
        name = f"of{size}"
        stores.tariffs.add(name, "USD")
        every = prefixes(size)
        stores.tariffs.put_rates(name, [NewRate(Rate(prefix, first_price_micros=60_000)) for prefix in every])
        tariff_id = stores.tariffs.named(name).id
        books[size] = tariff_id, numbers_for(every, HIT)
        start_s = time.perf_counter()
        lookup_us(stores.tariffs, *books[size], 1)
        print(f"{size:>9,} rates: index and {HIT:,} rates read in {time.perf_counter() - start_s:5.1f} s")
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(9):
        for size in sizes if turn % 2 == 0 else sizes[::-1]:
            times[size].append(lookup_us(stores.tariffs, *books[size], rounds))
    least = statistics.median(times[sizes[0]])
    rows = []
    for size in sizes:
        median = statistics.median(times[size])
        print(f"{size:>9,} rates: a lookup takes {median:5.2f} us   ratio {median / least:.2f}")
        rows.append(Row(f"lookup among {size:,} rates", "us", median, least, median / least))
    stores.database.close()
    return rows


def written(path: Path, every: Sequence[str], price: str = "0.06") -> Path:
    """A rate list of these prefixes."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["prefix", "description", "first_price", "first_interval", "next_interval"])
        out.writerows([prefix, f"place {prefix}", price, "60", "6"] for prefix in every)
    return path


def memory(folder: Path, sizes: Sequence[int]) -> None:
    """Print peak memory, processor time and time of the commands that go through whole lists."""
    for size in sizes:
        place = folder / f"of{size}"
        place.mkdir()
        every = prefixes(size)
        first, other = written(place / "a.csv", every), written(place / "b.csv", every[: size // 2], "0.07")
        _prepare(place)
        commands = (
            ("rate", "import", "retail", str(first)), ("rate", "list", "retail", "--json"),
            ("rate", "import", "retail", str(other), "--replace", "--dry-run", "--json"),
            ("rate", "import", "retail", str(other), "--replace"), ("rate", "rollback", "retail", "1"),
            ("rate", "export", "retail"),
        )  # fmt: skip
        for words in commands:
            mebibytes, cpu_s, seconds = _run(place, words)
            name = " ".join([*words[:2], *(word for word in words if word in ("--replace", "--dry-run"))])
            print(
                f"{size:>9,} rates: {name:<33} {mebibytes:6.0f} MiB  {cpu_s:6.1f} s of the processor"
                f"  {seconds:6.1f} s",
                flush=True,
            )


def _prepare(place: Path) -> None:
    """A database with an empty tariff."""
    stores = open_stores(f"sqlite:///{place}/stasis-callback.db", "bench", Clock())
    stores.database.migrate()
    stores.tariffs.add("retail", "USD")
    stores.database.close()
    (place / "config.toml").write_text(f'[database]\nurl = "sqlite:///{place}/stasis-callback.db"\n')


def _run(place: Path, words: Sequence[str]) -> tuple[float, float, float]:
    """The peak memory in MiB, the processor time and the time in seconds of one command, which must succeed."""
    script = (
        "import resource, sys\nfrom stasis_callback.__main__ import main\n"
        "try:\n    main()\nfinally:\n"
        "    used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    print(used.ru_maxrss, used.ru_utime + used.ru_stime, file=sys.stderr)\n"
    )
    start_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, "--config", str(place / "config.toml"), *words],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    peak_kib, cpu_s = done.stderr.split()[-2:]
    return int(peak_kib) / 1024, float(cpu_s), time.perf_counter() - start_s


def imports(folder: Path, count: int, pairs: int) -> list[Row]:
    """Print the time of importing a file next to the driver's bulk insert."""
    every = prefixes(count)
    path = written(folder / "rates.csv", every)
    stores = open_stores(f"sqlite:///{folder}/imports.db", "bench", Clock())
    stores.database.migrate()
    reading, storing, bare = [], [], []
    for pair in range(pairs):
        name = f"import{pair}"
        stores.tariffs.add(name, "USD")

        def ours(name: str = name) -> None:
            start_s = time.perf_counter()
            with rate_list(path, Profile(), "USD") as rates, Spool() as spool:
                rates.read(spool.add, None, print)
                reading.append(time.perf_counter() - start_s)
                stores.tariffs.put_list(name, spool)
            storing.append(time.perf_counter() - start_s - reading[-1])

        def floor(pair: int = pair) -> None:
            bare.append(_bulk_insert_s(folder / f"bare{pair}.db", every))

        order: tuple[Callable[[], None], ...] = (ours, floor)
        for side in order if pair % 2 == 0 else order[::-1]:
            side()
    stores.database.close()
    floor_s, store_s, read_s = (statistics.median(times) for times in (bare, storing, reading))
    print(f"import of {count:,} rates: bare driver {floor_s:.2f} s")
    print(f"  rows into the rate book {store_s:5.2f} s   ratio {store_s / floor_s:.2f}")
    print(f"  with reading the file   {store_s + read_s:5.2f} s   ratio {(store_s + read_s) / floor_s:.2f}")
    what = f"{count:,} rates into the rate book"
    ratios = [ours / theirs for ours, theirs in zip(storing, bare, strict=True)]
    return [
        Row(what, "s", store_s, floor_s, store_s / floor_s, ratios),
        Row(f"{what}, with the file", "s", store_s + read_s, floor_s, (store_s + read_s) / floor_s),
    ]


def _bulk_insert_s(path: Path, every: Sequence[str]) -> float:
    """Seconds of one durable transaction of the same rows, by the standard library's driver."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = full")
        columns = [f"n{n} INTEGER" for n in range(11)]
        connection.execute(
            f"CREATE TABLE rate (id INTEGER PRIMARY KEY AUTOINCREMENT, prefix TEXT, place TEXT, {', '.join(columns)})"
        )
        connection.execute("CREATE INDEX of_prefix ON rate (n0, prefix)")
        start_s = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO rate VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (prefix, f"place {prefix}", 1, 1, 0, 60, 60_000, 6, 60_000, None, None, 0, 0)
                for prefix in every
            ),
        )
        connection.execute("COMMIT")
        return time.perf_counter() - start_s


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.rates", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rates of the books")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of 1,000 lookups in a block (20)")
    parser.add_argument("--rates", type=int, default=100_000, help="rates to import (100,000)")
    parser.add_argument("--pairs", type=int, default=3, help="imports of each side (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--only", choices=("lookups", "imports", "memory"), help="one part")
    parser.add_argument("--lines", type=int, nargs="+", default=(1_000, 500_000), help="lines of the lists")
    options = parser.parse_args()
    with work_folder("rates") as folder:
        rows: list[Row] = []
        # First, before anything large is read here: Linux counts the memory of this process for those that it starts.
        if options.only in (None, "memory"):
            memory(folder, options.lines)
        if options.only in (None, "lookups"):
            rows += lookups(folder, sorted(options.sizes), options.rounds)
        if options.only in (None, "imports"):
            rows += imports(folder, options.rates, options.pairs)
        if options.json:
            write_json(options.json, machine("none", CACHE), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
