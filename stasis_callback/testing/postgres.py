"""A private PostgreSQL server for tests and benchmarks: by default on loopback, removed with its process.

PostgreSQL refuses to run as root, so root starts it as the user `postgres`.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stasis_callback.clock import wait_until

USER = "postgres"
_PLACES = "/usr/lib/postgresql"


class PostgresUnavailable(Exception):
    """No PostgreSQL can be started here; the message says what to do."""


class PostgresServer:
    """A running server. `durable=False` trades the safety of its files for speed, as tests may.

    With `follows` it is a standby of that server, which commits nothing any more that this one has not on its disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool,
        address: str = "127.0.0.1",
        follows: PostgresServer | None = None,
    ) -> None:
        self.folder = folder
        self._address = address
        self._as_user = _as_user()
        self._process: subprocess.Popen[bytes] | None = None
        version = subprocess.run(
            [_program("postgres"), "--version"], capture_output=True, text=True, check=True
        )
        self._major = int(re.findall(r"[0-9]+", version.stdout)[0])
        with socket.socket() as probe:
            probe.bind((address, 0))
            self.port = int(probe.getsockname()[1])
        if follows:
            self._copy(follows)
        else:
            self._initialise()
        settings = {"listen_addresses": address, "port": self.port, "unix_socket_directories": folder}
        settings |= {"max_connections": 300, "shared_buffers": "64MB", "timezone": "UTC"}
        if not durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        self._options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.start()
        if follows:
            follows.wait_for_standbys()

    @property
    def pid(self) -> int:
        """The process whose children are the server's connections."""
        assert self._process is not None
        return self._process.pid

    def url(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql://{USER}@{self._address}:{self.port}/{name}"

    def create(self, name: str, *, template: str = "template0") -> str:
        """A new database, a copy of `template`; its address."""
        # For a small database copying its files is twice as fast as the way through the log. PostgreSQL 15 and newer
        # have the choice, older ones always copy.
        strategy = " STRATEGY FILE_COPY" if self._major >= 15 else ""
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"{strategy}')
        return self.url(name)

    def drop(self, name: str) -> None:
        """Drop a database, even with open connections."""
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def sql(self, statement: str, name: str = "postgres") -> None:
        """Run a statement by itself."""
        import psycopg

        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Start it and wait until it answers."""
        import psycopg

        def answers() -> bool:
            # The children of a killed server hold its shared memory for a moment: until then a new one gives up.
            if self._process is None or self._process.poll() is not None:
                self._process = self._launch()
            try:
                self.sql("SELECT 1")
            except psycopg.OperationalError:
                return False
            return True

        if not wait_until(answers, timeout_s=30):
            raise PostgresUnavailable(
                f"PostgreSQL does not answer: {(self.folder / 'log').read_text()[-500:]}"
            )

    def _launch(self) -> subprocess.Popen[bytes]:
        program, data = str(_program("postgres")), str(self.folder / "data")
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*self._as_user, program, "-D", data, *self._options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def kill(self) -> None:
        """Kill it, as a power cut does: what it has not sent is never sent."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            # The next start waits for the shared memory to be free.

    def promote(self) -> None:
        """Make a standby the server that is written to; returns when it is."""
        words = [*self._as_user, str(_program("pg_ctl")), "promote", "-w", "-D", str(self.folder / "data")]
        done = subprocess.run(words, capture_output=True, text=True, cwd=self.folder, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def wait_for_standbys(self) -> None:
        """From now on a commit returns when a standby has it on its disk too: `synchronous_standby_names`."""
        import psycopg

        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql("SELECT pg_reload_conf()")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:

            def is_in_step() -> bool:
                states = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
                return ("sync",) in states

            if not wait_until(is_in_step, timeout_s=30):
                raise PostgresUnavailable("the standby does not follow")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block it is stopped, as on a hung disk: the kernel still accepts connections and bytes."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def freeze(self) -> None:
        """Stop all of its processes, as a hung disk does: connections stay up, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen server."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)  # the parent first: it starts no more children then
        children = self._children()
        os.kill(self._process.pid, number)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, number)

    def _children(self) -> list[int]:
        place = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(child) for child in place.read_text().split()]

    def _copy(self, primary: PostgresServer) -> None:
        command = [*self._as_user, str(_program("pg_basebackup")), "-D", str(self.folder / "data"), "-R"]
        command += ["-d", primary.url("postgres"), "--checkpoint=fast", "--no-sync"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, check=False)
        if done.returncode:
            raise PostgresUnavailable(f"pg_basebackup failed: {done.stderr.strip()[-300:]}")

    def _initialise(self) -> None:
        command = [*self._as_user, str(_program("initdb")), "-D", str(self.folder / "data")]
        command += ["-U", USER, "--auth=trust", "--encoding=UTF8", "--no-sync"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, check=False)
        if done.returncode:
            raise PostgresUnavailable(f"initdb failed: {done.stderr.strip()[-300:]}")
        if self._address != "127.0.0.1":
            with (self.folder / "data" / "pg_hba.conf").open("a") as access:
                access.write(f"host all all {self._address}/24 trust\n")


@contextmanager
def postgres_server(
    *, durable: bool = False, address: str = "127.0.0.1", follows: PostgresServer | None = None
) -> Iterator[PostgresServer]:
    """A server in a temporary folder, for the network of its address; a standby if it `follows` another.

    Raises PostgresUnavailable if there is none here.
    """
    folder = Path(tempfile.mkdtemp(prefix="stasis-callback-pg-"))
    server: PostgresServer | None = None
    try:
        if os.geteuid() == 0:
            user = _postgres_user()
            os.chown(folder, user.pw_uid, user.pw_gid)
        server = PostgresServer(folder, durable=durable, address=address, follows=follows)
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _as_user() -> list[str]:
    """Prefix of a command: it ends with this process, and does not run as root."""
    command = ["setpriv", "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        user = _postgres_user()
        # The signal is lost when the user changes, so it is asked for after that.
        command = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command]
    return command


def _postgres_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        raise PostgresUnavailable("there is no user postgres: run tools/get-postgres as root") from None


def _program(name: str) -> Path:
    """`initdb` or `postgres`: the newest of Debian's, or the one on PATH."""
    places = sorted(Path(_PLACES).glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = next((place / name for place in places if (place / name).exists()), None) or shutil.which(name)
    if found is None:
        raise PostgresUnavailable("there is no PostgreSQL here: run tools/get-postgres as root")
    return Path(found)
