"""Every command in a block of a page can be run as it stands: in a business that has what the pages speak of.

Blocks of `console` in the guides are run with what they print (test_docs.py), the quickstart and the page on existing
Asterisks on a fresh Debian (tests/install); here all of them are run at least in this process.
"""

from __future__ import annotations

import io
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from test_docs import COMMAND, PAGES, ROOT, blocks

from stasis_callback.admin.app import execute
from stasis_callback.admin.node import bundle
from stasis_callback.clock import Clock
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.store.stores import open_stores

SUBSCRIBER, REQUEST = "420212345678", "7aa5c376b9fede6c"
ELSEWHERE = (
    "demo",  # tests/calls/test_demo.py
    "email receive",  # tests/mail
    "init --yes",  # tests/cli/test_cli_installation.py
)
FINDS = ("doctor", "config asterisk", "ledger repair", "db status")
"""Commands that may end with 1: here is no Asterisk."""
SHOP = """
customer add Acme --currency USD
customer add "First customer" --currency USD
tariff add retail --currency USD
tariff add carrier-x --currency USD
rate add retail 420 0.1
rate add carrier-x 44 0.01
rate profile set carrier-x --columns prefix=prefix,first_price=first_price
product add callback --tariff retail
account add 1000 --customer Acme --product callback
vendor add carrier --currency USD
trunk add carrier --vendor carrier --tariff carrier-x
access-number add 420800123450
access-number add 420800123456
web add calls --type extended
email add callback@calls.example.com
"""


def of_blocks(page: Path) -> list[str]:
    return [
        command
        for info, text in blocks(page)
        if info != "console"
        for command in COMMAND.findall(text.replace("\\\n", " "))
        if not command.startswith(ELSEWHERE) and " email receive" not in command
    ]


WITH_COMMANDS = [page for page in PAGES if page.name not in ("cli.md", "CHANGELOG.md") and of_blocks(page)]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a business."""
    folder = tmp_path_factory.mktemp("furnished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in ("init", *SHOP.strip().splitlines()):
            assert execute(shlex.split(line)) == 0, line
    stores = open_stores(f"sqlite:///{folder}/stasis-callback.db", "NAME", Clock())
    stores.nodes.enter()
    stores.nodes._lock.release()
    account = stores.accounts.named("1000")
    for number in range(20):
        stores.ledger.top_up(account.book_id, 1_000_000, key=str(number), note="", operator="test")
    stores.database.close()
    (folder / "next.csv").write_text("prefix,first_price\n44,0.02\n420,0.03\n")
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_can_be_run(
    page: Path,
    furnished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "business"
    shutil.copytree(furnished, folder)
    (tmp_path / "asterisk").mkdir()
    (tmp_path / "asterisk" / "extensions.conf").touch()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(bundle, "ASTERISK_LOG", tmp_path / "messages.log")
    monkeypatch.setenv("STASIS_CALLBACK_ARI__URL", "http://127.0.0.1:1")
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", f"sqlite:///{folder}/stasis-callback.db")
    if page.name == "quickstart.md":  # it begins with nothing
        (folder / "stasis-callback.db").unlink()
        assert execute(["db", "upgrade"]) == 0
    elif page.name != "accounts.md":
        for line in (
            f'account add {SUBSCRIBER} --customer "First customer" --product callback',
            f"account topup {SUBSCRIBER} 10",
        ):
            assert execute(shlex.split(line)) == 0
    known = {REQUEST: _request()} if page.name in ("daily-work.md", "operations.md") else {}
    known |= {
        "NUMBER": SUBSCRIBER,
        "447700900123": SUBSCRIBER,
        "generate 500": "generate 2",
        "--count 1000": "--count 2",
        "/etc/asterisk": str(tmp_path / "asterisk"),
        "/var/lib/stasis-callback/": f"{folder}/",
        "/etc/stasis-callback/": f"{tmp_path}/",
        "$(date -I)": "today",
        "--fix ID": "--fix all",
        "account ID": "account 1000",
        "account add 1000": "account add 1001",
        "--checkpoint FILE": "--checkpoint checkpoint.json",
        "--out FILE": "--out checkpoint.json",
        "restore books.tar.gz": "restore books-today.tar.gz",
    }
    for command in of_blocks(page):
        line = command
        for word, instead in known.items():
            line = line.replace(word, instead)
        codes = Path("codes.csv")
        password = "a password, long enough"
        typed = codes.read_text().splitlines()[-1].split(",")[0] if codes.exists() else password
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
        capsys.readouterr()
        code = execute(shlex.split(line))
        said = capsys.readouterr().err
        assert code in ((0, 1) if command.startswith(FINDS) else (0,)), f"{command}\n{said}"
        if command.startswith("restore") and "--settings" not in command:
            (folder / "stasis-callback.db").unlink()  # the next one is on a new machine


def _request() -> str:
    """A callback that is queued; its id."""
    stores = open_stores("sqlite:///stasis-callback.db", "NAME", Clock())
    account = stores.accounts.named(SUBSCRIBER)
    asked = CallbackRequest("call-1", "ani", f"+{SUBSCRIBER}", "420800123450")
    refusal = stores.requests.accept(
        asked,
        account_id=account.id,
        subscriber_id=account.id,
        leg_a_number=SUBSCRIBER,
        stored_options={},
        queue_limit=10,
    )
    assert not refusal
    found: str = stores.requests.newest()[0].id
    stores.database.close()
    return found
