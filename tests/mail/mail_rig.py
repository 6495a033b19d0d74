"""Debian's Postfix and Dovecot as private servers: own configuration, own queue, loopback, gone with the test.

Postfix runs on the very files of deploy/postfix. Its master process has to be root's.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from mail_site import ADDRESS

from stasis_callback.clock import wait_until

_ROOT = Path(__file__).parents[2]
DEPLOY = _ROOT / "deploy" / "postfix"
PIPED = "pipe@calls.example"
PIPE_USER = "nobody"
_PATH = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def _needed(*programs: str) -> None:
    """Fails under CI where a program is missing; skips on a laptop."""
    missing = [name for name in programs if shutil.which(name, path=_PATH["PATH"]) is None]
    if os.geteuid() != 0:
        missing.append("root's rights")
    if missing:
        why = f"no {', '.join(missing)}: run tools/get-mail, and the tests as root"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Postfix:
    """A Postfix that delivers ADDRESS by LMTP to `lmtp_port` and PIPED to a pipe with the settings in `config`."""

    def __init__(self, folder: Path, lmtp_port: int, config: Path) -> None:
        self._folder = folder
        self.etc = folder / "etc"
        self.port = free_port()
        for name in ("etc", "spool", "data", "log"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        own = {
            "compatibility_level": "3.6",
            "queue_directory": folder / "spool",
            "data_directory": folder / "data",
            "command_directory": "/usr/sbin",
            "daemon_directory": "/usr/lib/postfix/sbin",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": folder / "log" / "mail.log",
            "maillog_file_prefixes": folder,
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mydestination": "",
            "mynetworks": "",
            "myhostname": "mx.calls.example",
            "smtputf8_enable": "no",
            "smtpd_peername_lookup": "no",
            "disable_dns_lookups": "yes",
            "local_recipient_maps": "",
            "alias_maps": "",
            "alias_database": "",
        }
        lines = [f"{name} = {value}" for name, value in own.items()]
        shipped = (DEPLOY / "main.cf").read_text().replace("calls.example.com", "calls.example")
        lines.append(shipped.replace("/etc/postfix", str(self.etc)))
        # Tests cannot wait.
        waits = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s"}
        lines += [f"{name} = {value}" for name, value in waits.items()]
        (self.etc / "main.cf").write_text("\n".join(lines) + "\n")
        table = (DEPLOY / "stasis-callback").read_text().replace("calls.example.com", "calls.example")
        (self.etc / "stasis-callback").write_text(table.replace(":8024", f":{lmtp_port}"))
        shutil.copy(DEPLOY / "stasis-callback-headers", self.etc)
        (self.etc / "master.cf").write_text(self._master(config))
        (folder / "spool").chmod(0o755)
        folder.chmod(0o755)

    def _master(self, config: Path) -> str:
        """Debian's services without chroots, which would lack files here; smtpd on our port; the shipped pipe."""
        lines = []
        for line in Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            words = line.split()
            if line.startswith(("#", " ", "\t")) or len(words) < 8 or words[7] == "pipe":
                continue
            if words[0] == "smtp" and words[1] == "inet":
                words[0] = f"127.0.0.1:{self.port}"
            words[4] = "n"
            lines.append(" ".join(words))
        shipped = (DEPLOY / "master.cf").read_text()
        for theirs, ours in (
            ("user=stasis-callback", f"user={PIPE_USER}"),
            ("/opt/stasis-callback/bin/stasis-callback ", f"{sys.executable} -m stasis_callback "),
            ("/etc/stasis-callback/stasis-callback.toml", str(config)),
        ):
            assert theirs in shipped
            shipped = shipped.replace(theirs, ours)
        return "\n".join(lines) + "\n" + shipped

    def command(self, *words: str) -> str:
        """Run one of Postfix's programs on this instance; what it printed."""
        program, *rest = words
        done = subprocess.run(
            [program, "-c", str(self.etc), *rest],
            env=os.environ | _PATH,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr, self.log())
        return done.stdout

    def log(self) -> str:
        path = self._folder / "log" / "mail.log"
        return path.read_text() if path.exists() else ""

    def send(self, raw: bytes, *, to: str = ADDRESS, sender: str = "ann@people.example") -> None:
        """Deliver a mail as another mail server does."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            client.sendmail(sender, [to], raw)

    def queue(self) -> list[str]:
        """The mails in the queue, bounces included."""
        return [line for line in self.command("postqueue", "-j").splitlines() if line.strip()]

    def tries_again_until(self, happened: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Have Postfix try the mails it kept, as often as needed, until that has happened.

        Once is not enough: a mail whose delivery has only just ended can still be locked by the agent, and Postfix
        sets such a mail aside for 60 s (`qmgr_active.c`: "skipped, still being delivered").
        """

        def tried() -> bool:
            self.command("postqueue", "-f")
            return happened()

        assert wait_until(tried, timeout_s=timeout_s, every_s=0.5), self.log()

    def until_empty(self, timeout_s: float = 30.0) -> None:
        assert wait_until(lambda: not self.queue(), timeout_s=timeout_s, every_s=0.2), self.log()

    def start(self) -> None:
        """In a mount namespace of its own, where the pipe's user can reach Python and us, wherever they lie."""
        stage = self._folder / "stage"
        trees = [tree for tree in _TREES if _closed(tree)]
        lines = ["set -e"]
        for at, tree in enumerate(trees):
            lines += [f"mkdir -p {stage}/{at}", f"mount --bind {tree} {stage}/{at}"]
        lines += [
            f"mount -t tmpfs -o mode=755 none {closed}" for closed in sorted({*map(_closed, trees)}, key=str)
        ]
        for at, tree in enumerate(trees):
            lines += [f"mkdir -p {tree}", f"mount --bind -o ro {stage}/{at} {tree}"]
        lines.append(f"exec postfix -c {self.etc} start")
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", "\n".join(lines)],
            env=os.environ | _PATH,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr, self.log())


_TREES = [
    Path(name).resolve()
    for name in dict.fromkeys((sys.base_prefix, sys.prefix, str(Path(__file__).parents[2])))
]


def _closed(tree: Path) -> Path | None:
    """The outermost folder on the way to `tree` that is closed to others."""
    return next((folder for folder in reversed(tree.parents) if not folder.stat().st_mode & 0o001), None)


@contextmanager
def postfix(lmtp_port: int, config: Path) -> Iterator[Postfix]:
    _needed("postfix")
    folder = Path(tempfile.mkdtemp(prefix="stasis-callback-postfix-"))
    server: Postfix | None = None
    try:
        server = Postfix(folder, lmtp_port, config)
        server.start()

        def greets() -> bool:
            with suppress(OSError), smtplib.SMTP("127.0.0.1", server.port, timeout=5):
                return True
            return False

        assert wait_until(greets, timeout_s=20), server.log()
        yield server
    finally:
        if server is not None:
            with suppress(AssertionError):
                server.command("postfix", "stop")
        shutil.rmtree(folder, ignore_errors=True)


class Dovecot:
    """A Dovecot with one mailbox. `certificate` is what clients have to trust."""

    USER, PASSWORD = "callback", "mailbox-password"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port, self.tls_port, self.lmtp_port = free_port(), free_port(), free_port()
        self.certificate = folder / "cert.pem"
        subprocess.run(
            [
                *[
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "rsa:2048",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=localhost",
                ],
                *("-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", folder / "key.pem", "-out", self.certificate),
            ],
            check=True,
            capture_output=True,
        )
        (folder / "mail").mkdir()
        shutil.chown(folder / "mail", "nobody", "nogroup")
        folder.chmod(0o755)
        (folder / "dovecot.conf").write_text(f"""
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
ssl = yes
ssl_cert = <{self.certificate}
ssl_key = <{folder}/key.pem
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 1
passdb {{
  driver = static
  args = password={self.PASSWORD}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail/%u allow_all_users=yes
}}
service imap-login {{
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {self.lmtp_port}
  }}
}}
""")
        with (folder / "out").open("wb") as out:
            self._process = subprocess.Popen(
                ["dovecot", "-F", "-c", folder / "dovecot.conf"],
                env=os.environ | _PATH,
                stdout=out,
                stderr=out,
            )

    def log(self) -> str:
        return "".join(path.read_text() for name in ("out", "log") if (path := self._folder / name).exists())

    def deliver(self, raw: bytes) -> None:
        with smtplib.LMTP("127.0.0.1", self.lmtp_port) as client:
            client.sendmail("ann@people.example", [self.USER], raw)

    def mails(self) -> dict[str, list[Path]]:
        """The mails in the mailbox: unread and read."""
        inbox = self._folder / "mail" / self.USER
        found = [*inbox.glob("new/*"), *inbox.glob("cur/*")]
        seen = [path for path in found if "S" in path.name.rpartition(":2,")[2]]
        return {"new": [path for path in found if path not in seen], "seen": seen}

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def dovecot() -> Iterator[Dovecot]:
    _needed("dovecot", "openssl")
    folder = Path(tempfile.mkdtemp(prefix="stasis-callback-dovecot-"))
    server: Dovecot | None = None
    try:
        server = Dovecot(folder)

        def answers() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 5):
                return True
            return False

        assert wait_until(answers, timeout_s=20), server.log()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
