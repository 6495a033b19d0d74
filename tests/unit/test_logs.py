"""Lines of the log: whatever becomes of the other end, nobody waits for it and nothing is raised."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from disks import small_disk

from stasis_callback import logs
from stasis_callback.clock import Clock, wait_until
from stasis_callback.logs import Outlet

LINE = "one line of the log, as long as lines of the log are, with some ids in it: 0123456789abcdef\n"


class Pipe:
    """An outlet into a pipe whose other end is read when a test says so."""

    def __init__(self, path: Path) -> None:
        # With a name, so that a reader can go and another one come.
        os.mkfifo(path)
        self.path = path
        self.gaps: list[int] = []
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writer = os.open(path, os.O_WRONLY)
        self.outlet = Outlet(self._writer, Clock(), self._say)

    def _say(self, count: int) -> None:
        self.gaps.append(count)
        self.outlet.write(f"dropped {count}\n")

    def read(self) -> str:
        """What is there now."""
        parts = []
        with suppress(BlockingIOError):
            while part := os.read(self._reader, 65_536):
                parts.append(part)
        return b"".join(parts).decode()

    def read_until(self, end: str) -> str:
        """Read on until it ends so."""
        text = ""

        def ended() -> bool:
            nonlocal text
            text += self.read()
            return text.endswith(end)

        assert wait_until(ended, timeout_s=10), text[-200:]
        return text

    def reader_goes(self) -> None:
        os.close(self._reader)

    def reader_comes(self) -> None:
        self._reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def close(self) -> None:
        self.outlet.worker.stop()
        os.close(self._writer)
        os.close(self._reader)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    made = Pipe(tmp_path / "pipe")
    yield made
    made.close()


def test_a_line_is_out_when_write_returns(pipe: Pipe) -> None:
    """What was logged last before a `kill -9` is there to be read."""
    pipe.outlet.write(LINE)
    assert pipe.read() == LINE
    pipe.outlet.write(LINE * 100)  # more than a pipe takes at once
    assert pipe.read() == LINE * 100


def test_lines_wait_for_a_reader_that_has_stopped_and_come_in_order(pipe: Pipe) -> None:
    lines = [f"{n} {LINE}" for n in range(2000)]  # three times what a pipe holds
    for line in lines:
        pipe.outlet.write(line)
    assert pipe.read_until(lines[-1]) == "".join(lines)
    assert pipe.outlet.dropped == 0


def test_what_is_too_much_is_dropped_and_said_once(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "WAITING_LIMIT_BYTES", 10_000)
    lines = [f"{n} {LINE}" for n in range(3000)]
    for line in lines:
        pipe.outlet.write(line)
    assert pipe.outlet.dropped > 1000
    kept = len(lines) - pipe.outlet.dropped
    notice = f"dropped {pipe.outlet.dropped}\n"
    assert pipe.read_until(notice) == "".join(lines[:kept]) + notice
    pipe.outlet.write(LINE)
    assert pipe.read_until(LINE) == LINE
    assert pipe.gaps == [pipe.outlet.dropped]


def test_a_reader_that_goes_is_waited_for(pipe: Pipe) -> None:
    pipe.reader_goes()
    pipe.outlet.write("first\n")
    pipe.outlet.write("second\n")
    pipe.reader_comes()
    assert pipe.read_until("second\n") == "first\nsecond\n"


def test_many_threads_write_whole_lines(pipe: Pipe) -> None:
    def work(name: int) -> None:
        for n in range(200):
            pipe.outlet.write(f"{name}/{n} {LINE}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    wanted = sorted(f"{name}/{n} {LINE}" for name in range(8) for n in range(200))
    text = ""

    def all_there() -> bool:
        nonlocal text
        text += pipe.read()
        return text.count("\n") == len(wanted)

    assert wait_until(all_there, timeout_s=20)
    for thread in threads:
        thread.join()
    assert sorted(text.splitlines(keepends=True)) == wanted
    for name in range(8):  # each thread's own in their order
        own = [line for line in text.splitlines() if line.startswith(f"{name}/")]
        assert own == sorted(own, key=lambda line: int(line.split("/")[1].split()[0]))


def test_the_end_of_the_process_waits_for_what_can_be_written_and_no_longer(pipe: Pipe) -> None:
    for _ in range(2000):
        pipe.outlet.write(LINE)
    pipe.outlet.write("the last\n")
    assert not pipe.outlet.drain(0.1)
    reader = threading.Thread(target=lambda: pipe.read_until("the last\n"))
    reader.start()
    assert pipe.outlet.drain(10)
    reader.join()


def test_lines_wait_for_room_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk.folder / "log"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        outlet = Outlet(descriptor, Clock(), lambda count: None)
        disk.fill()
        lines = [f"{n} {LINE}" for n in range(500)]
        for line in lines:
            outlet.write(line)
        assert path.read_text() == ""
        disk.free()
        assert wait_until(lambda: path.read_text() == "".join(lines), timeout_s=10)
        outlet.worker.stop()
        os.close(descriptor)


# --- a process -------------------------------------------------------------------------------------------------

PROGRAM = """
import logging, sys, threading, warnings
import structlog
from stasis_callback import logs
logs.configure(sys.argv[1])
log = structlog.get_logger()
class Odd:
    def __repr__(self):
        raise ValueError("no text")
with logs.nothing_beside():
    log.info("usual.line", number=1, text="two\\nlines \\ud800")
    log.info("odd.line", value=Odd())
    logging.getLogger("uvicorn.error").error("of a %s", "library")
    logging.getLogger("library").error("not %d", "formatted")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("own.fault")
        logging.getLogger("library").exception("its fault")
    thread = threading.Thread(target=lambda: 1 / 0, name="errand")
    thread.start(), thread.join()
    print("printed", 1, file=sys.stderr)
    warnings.warn("careful")
    exec(sys.argv[2] if len(sys.argv) > 2 else "")
print("done")
"""


@contextmanager
def program(*arguments: str, **where: Any) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    with subprocess.Popen(command, text=True, **{"stdout": subprocess.PIPE, **where}) as process:
        yield process


def test_json_is_json_always(tmp_path: Path) -> None:
    with program("json", stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=60)
    lines = [json.loads(line) for line in err.splitlines()]
    assert out == "done\n"
    events = [line["event"] for line in lines if line["event"] != "stderr"]
    assert events[:6] == ["usual.line", "odd.line", "of a library", "own.fault", "its fault", "thread.failed"]
    assert "careful" in events[6]
    by_event = {line["event"]: line for line in lines}
    assert by_event["usual.line"]["text"] == "two\nlines \ud800"
    assert by_event["odd.line"]["not_shown"] == "ValueError"
    assert by_event["thread.failed"]["thread"] == "errand"
    for event in ("own.fault", "its fault", "thread.failed"):
        assert by_event[event]["exception"].endswith("ZeroDivisionError: division by zero")
    assert "printed 1" in [line.get("text") for line in lines]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)


def test_what_is_below_the_level_is_counted_and_not_written() -> None:
    program = """
import structlog
from stasis_callback import logs
logs.configure("json", "warning")
logs.watch(lambda level, event: print(level, event["event"], event["call"]))
logs.watch(lambda level, event: 1 / 0)
log = structlog.get_logger()
log.info("call.ended", call=1)
log.warning("leg.stray", call=2)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["info call.ended 1", "warning leg.stray 2"]
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["leg.stray"]


def test_text_is_for_people() -> None:
    with program("text", stderr=subprocess.PIPE) as process:
        err = process.communicate(timeout=60)[1]
    assert "usual.line" in err
    assert "\nZeroDivisionError: division by zero\n" in err
    assert "printed 1" in err


def test_a_process_whose_standard_error_is_closed_works() -> None:
    command = f'exec 2>&-; exec {sys.executable} -c "$0" json'
    done = subprocess.run(["sh", "-c", command, PROGRAM], stdout=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_process_whose_log_nobody_reads_works_and_ends(log_format: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with program(log_format, stderr=writer) as process:
        os.close(writer)
        assert process.communicate(timeout=60)[0] == "done\n"
    assert process.returncode == 0


def test_a_process_whose_log_is_not_read_for_now_works_and_ends() -> None:
    reader, writer = os.pipe()
    with program("json", "[log.info('more', n=n) for n in range(5000)]", stderr=writer) as process:
        os.close(writer)
        assert process.communicate(timeout=60)[0] == "done\n"
    os.close(reader)
    assert process.returncode == 0


def test_the_last_line_before_a_kill_is_there() -> None:
    last = "import os; log.info('last.line'); os.kill(os.getpid(), 9)"
    with program("json", last, stderr=subprocess.PIPE) as process:
        err = process.communicate(timeout=60)[1]
    assert process.returncode == -signal.SIGKILL
    assert json.loads(err.splitlines()[-1])["event"] == "last.line"
