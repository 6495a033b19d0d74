"""The CEL journal as cel_custom writes it, whole, torn, rotated, missing and large."""

import threading

import pytest
import structlog

from stasis_callback.ari.cel import CelJournal, CelRecord

T = 1_790_000_000


def line(kind, at_s, channel, extra=""):
    extra = extra.replace('"', '""')
    return f'"{kind}","{at_s:.6f}","{channel}","{channel}","{extra}"\n'


def call(channel, at_s, *, rings_s=1.0, talks_s=9.5, cause=16):
    return (
        line("CHAN_START", at_s, channel)
        + line("ANSWER", at_s + rings_s, channel)
        + line("HANGUP", at_s + rings_s + talks_s, channel, f'{{"hangupcause":{cause},"hangupsource":"x"}}')
        + line("CHAN_END", at_s + rings_s + talks_s, channel)
    )


def record(channel, at_s):
    return CelRecord(channel, int(at_s * 1e6), int((at_s + 1) * 1e6), int((at_s + 10.5) * 1e6), 16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.csv"


def test_a_call_from_start_to_end(path):
    path.write_text(call("s1-a", T) + call("s2-a", T + 5))
    assert CelJournal(path).records(["s1-a", "s2-a"]) == {
        "s1-a": record("s1-a", T),
        "s2-a": record("s2-a", T + 5),
    }


def test_microseconds_are_exact(path):
    path.write_text('"ANSWER","1790000000.123456","abc-a1","abc-a1",""\n"ANSWER","1790000001.5","b","b",""\n')
    found = CelJournal(path).records(["abc-a1", "b"])
    assert found["abc-a1"].answered_at_us == 1_790_000_000_123_456
    assert found["b"].answered_at_us == 1_790_000_001_500_000


def test_a_call_under_way_and_one_that_never_was(path):
    path.write_text(line("CHAN_START", T, "s1-a"))
    assert CelJournal(path).records(["s1-a", "s9-a"]) == {"s1-a": CelRecord("s1-a", T * 1_000_000)}


def test_no_file_no_records(path):
    assert CelJournal(path).records(["s1-a"]) == {}
    assert CelJournal(path).wait_for_end("s1-a", 0) is None


@pytest.mark.parametrize("keep", [0, 1, 9, 20, 40])
def test_a_line_torn_before_its_last_field_says_nothing(path, keep):
    last = line("HANGUP", T + 11, "s1-a", "16")
    path.write_text(line("CHAN_START", T, "s1-a") + last[:keep])
    assert CelJournal(path).records(["s1-a"])["s1-a"].ended_at_us is None


@pytest.mark.parametrize("torn", [1, 2, 10, 20])
def test_a_line_torn_in_its_last_field_says_when(path, torn):
    whole = call("s1-a", T).splitlines(keepends=True)[:3]
    path.write_text("".join(whole)[:-torn])
    assert CelJournal(path).records(["s1-a"])["s1-a"].ended_at_us == record("s1-a", T).ended_at_us


@pytest.mark.parametrize("torn", [1, 10, 40, 60, 75, 80])
def test_the_line_after_a_torn_one_is_read(path, torn):
    first = "".join(call("s1-a", T).splitlines(keepends=True)[:3])
    path.write_text(first[:-torn] + call("s2-a", T + 20))
    found = CelJournal(path).records(["s1-a", "s2-a"])
    assert found["s2-a"] == record("s2-a", T + 20)
    assert found["s1-a"].answered_at_us == record("s1-a", T).answered_at_us


@pytest.mark.parametrize("names", [["1"], ["2", "1"], ["-20260101"], ["1", "2.gz"]])
def test_a_rotated_journal_is_read_under_any_name(path, names):
    for name in names:
        path.with_name(f"journal.csv{'' if name[0] == '-' else '.'}{name}").write_text(call(name, T))
    path.write_text(call("new", T + 100))
    readable = [name for name in names if not name.endswith(".gz")]
    found = CelJournal(path).records([*names, "new"], not_before_us=T * 1_000_000)
    assert set(found) == {*readable, "new"}


def test_a_journal_that_cannot_be_read_says_nothing_and_the_log_says_so_once(path):
    path.mkdir()
    journal = CelJournal(path)
    with structlog.testing.capture_logs() as logged:
        assert journal.records(["s1-a"]) == {}
        assert journal.wait_for_end("s1-a", 0) is None
    assert [entry["event"] for entry in logged] == ["cel.unreadable"]


def test_a_clock_that_was_set_back_hides_nothing(path):
    path.write_text(call("s1-a", T) + call("s2-a", T - 3600))
    assert set(CelJournal(path).records(["s1-a", "s2-a"], not_before_us=T * 1_000_000)) == {"s1-a", "s2-a"}


def test_damage_in_the_middle_costs_only_the_damaged_line(path):
    path.write_bytes(b'"ANSWER","17' + call("s1-a", T).encode() + b'\xff\x00"\n\n"HANGUP","x","s1-a","",""\n')
    found = CelJournal(path).records(["s1-a"])["s1-a"]
    assert (found.answered_at_us, found.ended_at_us, found.cause) == (
        (T + 1) * 1_000_000,
        T * 1_000_000 + 10_500_000,
        16,
    )


def test_a_call_across_the_rotation(path):
    lines = call("s1-a", T).splitlines(keepends=True)
    path.with_name("journal.csv.1").write_text("".join(lines[:2]))
    path.write_text("".join(lines[2:]))
    assert CelJournal(path).records(["s1-a"]) == {"s1-a": record("s1-a", T)}
    path.unlink()
    assert CelJournal(path).records(["s1-a"])["s1-a"].ended_at_us is None


def test_an_id_used_again_is_its_last_life(path):
    path.write_text(call("s1-a", T) + call("s1-a", T + 100))
    assert CelJournal(path).records(["s1-a"]) == {"s1-a": record("s1-a", T + 100)}


def test_the_first_answer_counts(path):
    path.write_text(line("CHAN_START", T, "s") + line("ANSWER", T + 1, "s") + line("ANSWER", T + 5, "s"))
    assert CelJournal(path).records(["s"])["s"].answered_at_us == (T + 1) * 1_000_000


@pytest.mark.parametrize(
    ("extra", "cause"),
    [("17", 17), ('{"hangupcause":0}', 0), ("", None), ("{", None), ('{"x":1}', None), ("[]", None)],
)
def test_the_cause_of_the_end(path, extra, cause):
    path.write_text(line("HANGUP", T, "s", extra))
    assert CelJournal(path).records(["s"])["s"].cause == cause


def test_a_large_journal_with_lines_across_every_block(path):
    path.write_text("".join(call(f"s{n}-a", T + n) for n in range(3000)))
    journal = CelJournal(path)
    wanted = [f"s{n}-a" for n in range(0, 3000, 250)]
    assert journal.records(wanted) == {f"s{n}-a": record(f"s{n}-a", T + n) for n in range(0, 3000, 250)}


def test_what_is_older_than_asked_for_is_not_read(path):
    path.write_text("".join(call(f"s{n}-a", T + n) for n in range(3000)))
    assert CelJournal(path).records(["s5-a"], not_before_us=(T + 2000) * 1_000_000) == {}
    assert CelJournal(path).records(["s2500-a"], not_before_us=(T + 2500) * 1_000_000) == {
        "s2500-a": record("s2500-a", T + 2500)
    }


def test_waiting_for_the_end_of_a_call(path):
    path.write_text(line("CHAN_START", T, "s1-a") + line("ANSWER", T + 1, "s1-a"))
    journal = CelJournal(path)
    assert journal.wait_for_end("s1-a", 0) is None

    def hang_up():
        with path.open("a") as file:
            file.write(line("HANGUP", T + 10.5, "s1-a", '{"hangupcause":16}'))

    later = threading.Timer(0.1, hang_up)
    later.start()
    assert journal.wait_for_end("s1-a", 10) == record("s1-a", T)
    later.join()
