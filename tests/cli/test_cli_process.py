"""The program as the shell sees it: start-up, pipes, terminals, Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

from command_line import SUBSCRIBER, CommandLine

from stasis_callback.admin.context import invocation

PROGRAM = (sys.executable, "-m", "stasis_callback")
HEAVY = {
    "aiohttp", "asyncio", "peewee", "playhouse", "pydantic", "pydantic_settings", "requests", "rich", "sqlite3",
    "structlog", "urllib3", "websocket",
}  # fmt: skip


def loaded_by(*words: str) -> set[str]:
    """The packages imported by a command."""
    code = (
        "import sys; from stasis_callback.__main__ import main; "
        f"sys.argv[1:] = {words!r}; main(); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by("--help")
    assert "typer" in loaded
    assert loaded & HEAVY == set()


def test_a_command_that_needs_no_database_loads_none() -> None:
    # typer itself converts arguments with pydantic.
    for words in (("account", "topup", "--help"), ("access-number", "options"), ("nonsense",)):
        assert loaded_by(*words) & HEAVY <= {"pydantic"}


def test_the_console_script_and_the_module_are_the_same(shop: CommandLine) -> None:
    script = Path(sys.executable).with_name("stasis-callback")
    for program in ((script,), PROGRAM):
        done = subprocess.run([*program, "account", "list"], capture_output=True, text=True, check=True)
        assert SUBSCRIBER in done.stdout


def test_without_words_it_shows_help(cli: CommandLine) -> None:
    assert "access-number" in cli.ok().out


def test_a_reader_that_goes_away_is_no_error(shop: CommandLine) -> None:
    shop.folder.joinpath("rates.csv").write_text(
        "prefix,first_price\n" + "\n".join(f"{n},1" for n in range(10_000, 15_000))
    )
    shop.ok("rate", "import", "retail", "rates.csv")
    for words in (["rate", "list", "retail"], ["rate", "list", "retail", "--json"], ["account", "list"]):
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "wb") as gone:  # noqa: PTH123  a descriptor, not a path
            done = subprocess.run([*PROGRAM, *words], stdout=gone, stderr=subprocess.PIPE, check=False)
        assert done.stderr == b""


def test_ctrl_c_ends_in_silence_with_130_and_changes_nothing(shop: CommandLine) -> None:
    before = shop.dump()
    pipe = shop.folder / "pipe.csv"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [*PROGRAM, "rate", "import", "retail", pipe],
        stderr=subprocess.PIPE,
        # What a shell starts in the background ignores Ctrl-C, and so does all that it starts: the tests may be that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with pipe.open("w") as writer:  # returns when the command has opened its end
        writer.write("prefix,first_price\n1,2\n")
        writer.flush()
        process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, err) == (130, b"")
    assert shop.dump() == before


def test_an_unexpected_fault_is_one_sentence_and_more_with_debug(shop: CommandLine) -> None:
    shop.sql("DROP TABLE alias")
    fault = shop("account", "list")
    assert (fault.code, fault.err.count("\n")) == (1, 1)
    assert fault.err.startswith("error: unexpected ")
    assert "--debug" in fault.err
    assert "Traceback" in shop("--debug", "account", "list").err


def test_the_global_options_of_a_command_end_with_it(shop: CommandLine) -> None:
    given = shop.folder / "given.toml"
    given.write_text("")
    for words in (["config", "check"], ["account", "show", "nobody"]):
        shop("--config", given, "--debug", "--as", "jana", *words)
        assert (invocation.config, invocation.debug, invocation.operator) == (None, False, "")


def on_a_terminal(*words: str, columns: int) -> str:
    """The output of a command on a terminal of this width."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen([*PROGRAM, *words], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how Linux says that the other end was closed
        pass
    finally:
        os.close(ours)
    assert process.wait(30) == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_a_narrow_terminal_folds_and_never_cuts(shop: CommandLine, called: str) -> None:
    wide = on_a_terminal("request", "list", columns=200)
    assert called in wide
    narrow = on_a_terminal("request", "list", columns=80)
    assert "…" not in narrow
    assert max(len(line) for line in narrow.splitlines()) <= 80


def test_long_work_shows_its_progress_at_a_terminal(shop: CommandLine) -> None:
    lines = "\n".join(f"{n},1" for n in range(10_000, 15_000))
    (shop.folder / "rates.csv").write_text(f"prefix,first_price\n{lines}")
    shown = on_a_terminal("rate", "import", "retail", "rates.csv", columns=80)
    assert "reading" in shown
    assert "5000 were added" in shown


def test_text_of_others_cannot_move_the_cursor(shop: CommandLine) -> None:
    done = shop("customer", "show", "\x1b[2J\x07")
    assert done.code == 2
    assert "\x1b" not in done.err
