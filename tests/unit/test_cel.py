"""The CEL journal as cel_custom writes it, whole, torn, rotated, missing and large."""

import bz2
import gzip
import lzma
import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.ari import cel
from stasis_callback.ari.cel import CelJournal, CelRecord, JournalUnreadable
from stasis_callback.clock import Clock

T = 1_790_000_000


def line(kind: str, at_s: float, channel: str, extra: str = "") -> str:
    extra = extra.replace('"', '""')
    return f'"{kind}","{at_s:.6f}","{channel}","{channel}","{extra}"\n'


def call(channel: str, at_s: float, *, rings_s: float = 1.0, talks_s: float = 9.5, cause: int = 16) -> str:
    return (
        line("CHAN_START", at_s, channel)
        + line("ANSWER", at_s + rings_s, channel)
        + line("HANGUP", at_s + rings_s + talks_s, channel, f'{{"hangupcause":{cause},"hangupsource":"x"}}')
        + line("CHAN_END", at_s + rings_s + talks_s, channel)
    )


def record(channel: str, at_s: float) -> CelRecord:
    return CelRecord(channel, int(at_s * 1e6), int((at_s + 1) * 1e6), int((at_s + 10.5) * 1e6), 16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.csv"


def test_a_call_from_start_to_end(path: Path) -> None:
    path.write_text(call("s1-a", T) + call("s2-a", T + 5))
    assert CelJournal(path).records(["s1-a", "s2-a"]) == {
        "s1-a": record("s1-a", T),
        "s2-a": record("s2-a", T + 5),
    }


def test_microseconds_are_exact(path: Path) -> None:
    path.write_text('"ANSWER","1790000000.123456","abc-a1","abc-a1",""\n"ANSWER","1790000001.5","b","b",""\n')
    found = CelJournal(path).records(["abc-a1", "b"])
    assert found["abc-a1"].answered_at_us == 1_790_000_000_123_456
    assert found["b"].answered_at_us == 1_790_000_001_500_000


def test_a_call_under_way_and_one_that_never_was(path: Path) -> None:
    path.write_text(line("CHAN_START", T, "s1-a"))
    assert CelJournal(path).records(["s1-a", "s9-a"]) == {"s1-a": CelRecord("s1-a", T * 1_000_000)}


def test_no_file_no_records(path: Path) -> None:
    assert CelJournal(path).records(["s1-a"]) == {}
    assert CelJournal(path).wait_for_end("s1-a", 0) is None


@pytest.mark.parametrize("keep", [0, 1, 9, 20, 40])
def test_a_line_torn_before_its_last_field_says_nothing(path: Path, keep: int) -> None:
    last = line("HANGUP", T + 11, "s1-a", "16")
    path.write_text(line("CHAN_START", T, "s1-a") + last[:keep])
    assert CelJournal(path).records(["s1-a"])["s1-a"].ended_at_us is None


@pytest.mark.parametrize("torn", [1, 2, 10, 20])
def test_a_line_torn_in_its_last_field_says_when(path: Path, torn: int) -> None:
    lines = call("s1-a", T).splitlines(keepends=True)[:3]
    path.write_text("".join(lines)[:-torn])
    assert CelJournal(path).records(["s1-a"])["s1-a"].ended_at_us == record("s1-a", T).ended_at_us


def test_damage_in_the_middle_costs_only_the_damaged_line(path: Path) -> None:
    path.write_bytes(b'"ANSWER","17' + call("s1-a", T).encode() + b'\xff\x00"\n\n"HANGUP","x","s1-a","",""\n')
    found = CelJournal(path).records(["s1-a"])["s1-a"]
    assert (found.answered_at_us, found.ended_at_us, found.cause) == (
        (T + 1) * 1_000_000,
        T * 1_000_000 + 10_500_000,
        16,
    )


def test_a_call_across_the_rotation(path: Path) -> None:
    lines = call("s1-a", T).splitlines(keepends=True)
    path.with_name("journal.csv.1").write_text("".join(lines[:2]))
    path.write_text("".join(lines[2:]))
    assert CelJournal(path).records(["s1-a"]) == {"s1-a": record("s1-a", T)}
    path.unlink()
    assert CelJournal(path).records(["s1-a"])["s1-a"].ended_at_us is None


def test_an_id_used_again_is_its_last_life(path: Path) -> None:
    path.write_text(call("s1-a", T) + call("s1-a", T + 100))
    assert CelJournal(path).records(["s1-a"]) == {"s1-a": record("s1-a", T + 100)}


def test_the_first_answer_counts(path: Path) -> None:
    path.write_text(line("CHAN_START", T, "s") + line("ANSWER", T + 1, "s") + line("ANSWER", T + 5, "s"))
    assert CelJournal(path).records(["s"])["s"].answered_at_us == (T + 1) * 1_000_000


@pytest.mark.parametrize(
    ("extra", "cause"),
    [("17", 17), ('{"hangupcause":0}', 0), ("", None), ("{", None), ('{"x":1}', None), ("[]", None)],
)
def test_the_cause_of_the_end(path: Path, extra: str, cause: int | None) -> None:
    path.write_text(line("HANGUP", T, "s", extra))
    assert CelJournal(path).records(["s"])["s"].cause == cause


def test_a_large_journal_with_lines_across_every_block(path: Path) -> None:
    path.write_text("".join(call(f"s{n}-a", T + n) for n in range(3000)))
    journal = CelJournal(path)
    wanted = [f"s{n}-a" for n in range(0, 3000, 250)]
    assert journal.records(wanted) == {f"s{n}-a": record(f"s{n}-a", T + n) for n in range(0, 3000, 250)}


def test_what_is_older_than_asked_for_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel, "ALWAYS_BYTES", 0)
    path.write_text("".join(call(f"s{n}-a", T + n) for n in range(3000)))
    assert CelJournal(path).records(["s5-a"], not_before_us=(T + 2000) * 1_000_000) == {}
    assert CelJournal(path).records(["s2500-a"], not_before_us=(T + 2500) * 1_000_000) == {
        "s2500-a": record("s2500-a", T + 2500)
    }


def test_waiting_for_the_end_of_a_call(path: Path) -> None:
    path.write_text(line("CHAN_START", T, "s1-a") + line("ANSWER", T + 1, "s1-a"))
    journal = CelJournal(path)
    assert journal.wait_for_end("s1-a", 0) is None

    def hang_up() -> None:
        with path.open("a") as file:
            file.write(line("HANGUP", T + 10.5, "s1-a", '{"hangupcause":16}'))

    later = threading.Timer(0.1, hang_up)
    later.start()
    assert journal.wait_for_end("s1-a", 10) == record("s1-a", T)
    later.join()


# --- a journal that cannot be read, or not as far as asked ----------------------------------------------------


def test_a_journal_that_cannot_be_read_is_no_journal_without_the_channel(path: Path) -> None:
    path.mkdir()  # one of the ways that work for root too, whom no mode stops
    with pytest.raises(JournalUnreadable, match=r"the CEL journal \S+ cannot be read: Is a directory"):
        CelJournal(path).records(["s1-a"])
    with pytest.raises(JournalUnreadable):
        CelJournal(path).wait_for_end("s1-a", 0.1)


@pytest.mark.parametrize("folder", ["file", "missing"])
def test_a_folder_that_is_none_makes_it_unreadable(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnreadable):
        CelJournal(tmp_path / folder / "journal.csv").records(["s1-a"])


def test_a_rotated_file_that_is_damaged_makes_it_unreadable(path: Path) -> None:
    path.write_text(call("s2-a", T + 100))
    path.with_name("journal.csv.1.gz").write_bytes(gzip.compress(call("s1-a", T).encode() * 99)[:-20])
    assert CelJournal(path).records(["s2-a"]) == {"s2-a": record("s2-a", T + 100)}
    with pytest.raises(JournalUnreadable):
        CelJournal(path).records(["s1-a"])


def test_waiting_outlasts_a_journal_that_cannot_be_read_for_a_moment(path: Path) -> None:
    path.mkdir()

    def repair() -> None:
        path.rmdir()
        path.write_text(call("s1-a", T))

    later = threading.Timer(0.2, repair)
    later.start()
    assert CelJournal(path).wait_for_end("s1-a", 10) == record("s1-a", T)
    later.join()


def test_only_a_journal_that_reaches_back_says_that_a_channel_never_was(path: Path) -> None:
    journal = CelJournal(path)
    since_us = (T + 50) * 1_000_000
    assert not journal.records(["s9-a"], not_before_us=since_us).reaches_back  # no file at all
    path.write_text(call("s2-a", T + 60))
    assert not journal.records(["s9-a"], not_before_us=since_us).reaches_back  # younger than the channel
    path.write_text(call("s1-a", T) + call("s2-a", T + 60))
    assert journal.records(["s9-a"], not_before_us=since_us).reaches_back
    path.rename(path.with_name("journal.csv.1"))
    path.write_text(call("s3-a", T + 70))
    assert journal.records(["s9-a"], not_before_us=since_us).reaches_back


def test_a_clock_that_was_set_back_hides_nothing_at_the_end(path: Path) -> None:
    path.write_text(call("s1-a", T) + call("s2-a", T - 3600))
    assert CelJournal(path).records(["s2-a"], not_before_us=T * 1_000_000) == {
        "s2-a": record("s2-a", T - 3600)
    }


# --- rotation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("journal.csv.1",),
        ("journal.csv.2.gz", "journal.csv.1"),
        ("journal.csv.10.xz", "journal.csv.9.gz", "journal.csv.2.bz2", "journal.csv.1.gz"),
        ("journal.csv-20260901", "journal.csv-20261001.gz", "journal.csv-20261101"),
        ("journal.csv-20261101-1700000000", "journal.csv-20261101-1800000000"),
    ],
    ids=lambda names: names[-1],
)
def test_however_it_is_rotated_a_call_is_put_together(path: Path, names: Sequence[str]) -> None:
    lines = (call("s1-a", T) + call("s2-a", T + 200)).splitlines(keepends=True)
    write(path, [*names, path.name], lines)
    assert CelJournal(path).records(["s1-a", "s2-a"]) == {
        "s1-a": record("s1-a", T),
        "s2-a": record("s2-a", T + 200),
    }


def test_files_beside_it_that_are_none_of_it_are_not_read(path: Path) -> None:
    path.write_text(line("CHAN_START", T, "s1-a"))
    path.with_name("xjournal.csv").write_text(line("HANGUP", T + 1, "s1-a"))
    path.with_name("journal.csv.d").mkdir()
    assert CelJournal(path).records(["s1-a"])["s1-a"].ended_at_us is None


def test_a_journal_that_is_cut_while_it_is_waited_for(path: Path) -> None:
    """copytruncate: what was written before is in the copy, what comes is at the beginning of the same file."""
    path.write_text(line("CHAN_START", T, "s1-a") + line("ANSWER", T + 1, "s1-a"))
    found: list[CelRecord | None] = []
    waits = threading.Thread(target=lambda: found.append(CelJournal(path).wait_for_end("s1-a", 20)))
    waits.start()
    path.with_name("journal.csv.1").write_text(path.read_text())
    os.truncate(path, 0)
    with path.open("a") as file:
        file.write(line("HANGUP", T + 10.5, "s1-a", '{"hangupcause":16}'))
    waits.join()
    assert found == [record("s1-a", T)]


def test_a_journal_that_is_rotated_all_the_time_is_read_whole(path: Path) -> None:
    """Never is a channel missing that is in it, whatever is renamed between two steps of reading."""
    wanted = [f"s{n}-a" for n in range(40)]
    lines = "".join(call(name, T + n) for n, name in enumerate(wanted)).splitlines(keepends=True)
    slots = [path, *(path.with_name(f"journal.csv.{n}") for n in range(1, 9))]
    write(path, [slot.name for slot in reversed(slots[:-1])], lines)
    stop = threading.Event()

    def rotate() -> None:
        while not stop.wait(0.002):
            for here, there in reversed(list(pairwise(slots))):
                here.rename(there)
            for there, here in pairwise(slots):
                here.rename(there)

    rotates = threading.Thread(target=rotate)
    rotates.start()
    looks: list[set[str]] = []
    while looks.count(set(wanted)) < 20:
        with suppress(JournalUnreadable):  # not to be had, which is said
            looks.append(set(CelJournal(path).records(wanted)))
    stop.set()
    rotates.join()
    assert all(found == set(wanted) for found in looks)


# --- damage ---------------------------------------------------------------------------------------------------


def test_a_torn_line_and_the_one_that_was_glued_to_it_are_read_as_far_as_they_go(path: Path) -> None:
    """Asterisk died while it wrote, and began again."""
    torn = line("HANGUP", T + 11, "s1-a", '{"hangupcause":16,"hangupsource":"x"}').rstrip("\n")
    start = line("CHAN_START", T, "s1-a")
    for keep in range(len(torn)):
        path.write_text(start + torn[:keep] + call("s2-a", T + 60))
        found = CelJournal(path).records(["s1-a", "s2-a"])
        assert found["s2-a"] == record("s2-a", T + 60), torn[:keep]
        wanted = (T + 11) * 1_000_000 if keep >= torn.index(',"{') else None
        assert found["s1-a"].ended_at_us == wanted, torn[:keep]


def test_zeroes_of_a_power_cut_are_passed_over(path: Path) -> None:
    for zeroes in (1, 511, 4096, 1_000_000):
        path.write_bytes(
            call("s1-a", T).encode() + bytes(zeroes) + call("s2-a", T + 60).encode() + bytes(zeroes)
        )
        assert CelJournal(path).records(["s1-a", "s2-a"]) == {
            "s1-a": record("s1-a", T),
            "s2-a": record("s2-a", T + 60),
        }


CHANNELS = ["a-a1", "a-b1", "b-a1", "a-a10"]
WITH_CAUSE = ',"{""hangupcause"":17,""hangupsource"":""PJSIP/x"",""dialstatus"":""""}"'
KINDS = ["CHAN_START", "ANSWER", "HANGUP", "CHAN_END"]
journal_lines = st.lists(
    st.builds(
        line,
        st.sampled_from(KINDS),
        st.floats(T - 5, T + 5, allow_nan=False).map(lambda at_s: round(at_s, 6)),
        st.sampled_from(CHANNELS),
        st.sampled_from(["", "16", '{"hangupcause":17,"hangupsource":"PJSIP/x","dialstatus":""}']),
    ),
    max_size=30,
)
torn_lines = [b'"HANGUP","1790', b'"ANSWER","1790000001.5","x-a1","x-a1","{""x']
damage = st.sampled_from([b"", b"\0" * 700, b"\n\n", *torn_lines])


@given(
    lines=journal_lines, cuts=st.lists(st.integers(0, 30), max_size=4), torn=st.integers(0, 200), dirt=damage
)
def test_rotation_damage_and_a_torn_end_change_nothing_about_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], cuts: list[int], torn: int, dirt: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.csv"
    bounds = [0, *sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    parts = [lines[start:end] for start, end in pairwise(bounds)]
    if parts[-1] and torn:  # at the least without its line end
        parts[-1][-1] = parts[-1][-1][: -1 - torn % len(parts[-1][-1])]
    for number, part in enumerate(reversed(parts)):
        name = path.name if not number else f"{path.name}.{number}" + (".gz" if number > 1 else "")
        content = "".join(part).encode()
        first = len(part[0]) if len(part) > 1 else 0
        content = content[:first] + dirt + content[first:]  # between two lines
        path.with_name(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert CelJournal(path).records(CHANNELS) == told_by([text for part in parts for text in part])


def told_by(lines: list[str]) -> dict[str, CelRecord]:
    """What lines say of which all but the last field is there, read from the first to the last."""
    told: dict[str, dict[str, int | None]] = {}
    for text in lines:
        fields = re.fullmatch(r'"(\w+)","([0-9.]+)","([^"]+)","[^"]+"(.*)\n?', text)
        if fields is None:
            continue
        kind, at, channel, extra = fields.groups()
        found = {} if kind == "CHAN_START" else told.get(channel, {})
        told[channel] = found
        if kind in KINDS[:3] and kind not in found:
            found[kind] = round(float(at) * 1_000_000)
            if kind == "HANGUP":
                found["cause"] = {',"16"': 16, WITH_CAUSE: 17}.get(extra)
    return {
        channel: CelRecord(channel, *(found.get(name) for name in (*KINDS[:3], "cause")))
        for channel, found in told.items()
        if found
    }


# --- how much is read -----------------------------------------------------------------------------------------


def write(path: Path, names: Sequence[str], lines: list[str]) -> None:
    """Spread lines over files, the oldest first."""
    size = -(-len(lines) // len(names))
    for n, name in enumerate(names):
        content = "".join(lines[n * size : (n + 1) * size]).encode()
        packs: dict[str, Callable[[bytes], bytes]] = {
            ".gz": gzip.compress,
            ".bz2": bz2.compress,
            ".xz": lzma.compress,
        }
        path.with_name(name).write_bytes(packs.get(Path(name).suffix, bytes)(content))
        os.utime(path.with_name(name), (T + n, T + n))


def bytes_read() -> int:
    """The bytes that this thread has read."""
    return int(Path("/proc/thread-self/io").read_text().split()[1])


def test_of_a_huge_journal_only_the_end_is_read(path: Path) -> None:
    old = "".join(call(f"old{n}-a", T + n / 100) for n in range(4000)).encode()  # a mebibyte
    with path.open("wb") as file:
        for _ in range(60):
            file.write(old)
        file.write(call("new-a", T + 10_000).encode())
    journal = CelJournal(path)
    before = bytes_read()
    assert journal.records(["new-a"], not_before_us=(T + 9_990) * 1_000_000) == {
        "new-a": record("new-a", T + 10_000)
    }
    recent = bytes_read()
    assert recent - before < 3 * 65_536
    assert journal.records(["never-a"], not_before_us=(T + 9_990) * 1_000_000) == {}
    never = bytes_read()
    assert never - recent < cel.ALWAYS_BYTES + 3 * 65_536
    clock = Clock()
    assert clock.now_us() > (T + 30 * 3600) * 1_000_000
    assert journal.records(["never-a"]) == {}  # who does not say since when asks about a day
    assert bytes_read() - never < cel.ALWAYS_BYTES + 3 * 65_536


def test_who_waits_reads_what_is_new_and_no_more(path: Path) -> None:
    path.write_text("".join(call(f"old{n}-a", T + n / 100) for n in range(8000)))
    stop = threading.Event()
    lines = 0

    def write_on() -> None:
        nonlocal lines
        while not stop.wait(0.01):
            with path.open("a") as file:
                file.write(call(f"other{lines}-a", T + 100))
            lines += 1

    writes = threading.Thread(target=write_on)
    writes.start()
    before = bytes_read()
    assert CelJournal(path).wait_for_end("never-a", 2.0, not_before_us=T * 1_000_000) is None
    read = bytes_read() - before
    stop.set()
    writes.join()
    assert read < 2 * path.stat().st_size
