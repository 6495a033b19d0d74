"""Starts real Asterisk instances, any number side by side, and leaves nothing of them behind.

An instance runs on a copy of a configuration folder; what differs from it (ports, password, trunk) goes into
`local/`, exactly as on an operator's machine. Asterisk comes from PATH, or from the cached root that
`tools/get-asterisk` makes: then it runs in a mount namespace of its own, so that no mount outlives it.
The kernel kills an instance when the thread that started it ends, so a killed test leaves none running.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

from stasis_callback.ari.console import ask
from stasis_callback.clock import wait_until
from stasis_callback.resources import sounds_dir
from stasis_callback.testing.stepped_clock import SteppedClock

OLDEST_MAJOR = 20
_CACHED_ROOT = Path(__file__).resolve().parents[2] / ".cache" / "asterisk-root"
_GET_ASTERISK = _CACHED_ROOT.parents[1] / "tools" / "get-asterisk"
_HOST = "/mnt"  # the machine's own file system as an Asterisk in the cached root sees it
_RTP_PORTS = 1000
_LONGEST_FOLDER = 60

# $1 root, $2 hosts file, then the command. Everything mounted here goes with the namespace.
_ENTER_ROOT = f"""
set -e
mount --rbind / "$1{_HOST}"
for dir in dev proc sys; do mount --rbind "/$dir" "$1/$dir"; done
mount --bind "$2" "$1/etc/hosts"
root=$1; shift 2
exec setpriv --pdeathsig KILL chroot "$root" "$@"
"""


class AsteriskUnavailable(Exception):
    """No Asterisk can be started here; the message says in one sentence what to do."""


@dataclass(frozen=True)
class Installation:
    """An Asterisk that can be started: on PATH (`root` is None) or in the cached root."""

    root: Path | None

    def inside(self, path: Path) -> str:
        """A path of this machine as Asterisk sees it."""
        return str(path) if self.root is None else _HOST + str(path)

    def outside(self, path: str) -> Path:
        """A path of the Asterisk installation as this machine sees it (symbolic links followed within it)."""
        if self.root is None:
            return Path(path)
        found = self.root / path.lstrip("/")
        while found.is_symlink():
            target = found.readlink()
            found = self.root / str(target).lstrip("/") if target.is_absolute() else found.parent / target
        return found

    def command(self, words: Sequence[str], hosts: Path) -> list[str]:
        """The command line that runs `words` so that it dies with the starting thread."""
        if self.root is None:
            return ["setpriv", "--pdeathsig", "KILL", *words]
        namespace = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
        return [*namespace, "sh", "-c", _ENTER_ROOT, "sh", str(self.root), str(hosts), *words]


def find_asterisk() -> Installation:
    """The Asterisk of this machine; raises `AsteriskUnavailable` when there is none."""
    if shutil.which("asterisk"):
        answer = subprocess.run(["asterisk", "-V"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"Asterisk (\d+)\.", answer)
        if version and int(version[1]) >= OLDEST_MAJOR:
            return Installation(None)
    if not _CACHED_ROOT.is_dir():
        # An installed package has no tools/.
        tool = ", or run tools/get-asterisk as root" if _GET_ASTERISK.is_file() else ""
        raise AsteriskUnavailable(f"No Asterisk {OLDEST_MAJOR} or newer on PATH: install one{tool}.")
    return Installation(_CACHED_ROOT)


def free_port(kind: socket.SocketKind) -> int:
    """A port of the loopback address nobody uses right now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _claim_rtp_ports() -> tuple[int, socket.socket]:
    """The first port of a range for one instance's sound, and a socket that keeps others on this machine off it.

    With a shared range, a port may be reused by another instance while packets are still sent to it: Asterisk then
    takes that audio for its own caller's, and does not hear the caller's digits. Audio uses UDP; the instance that
    holds the TCP port of that number owns the range.
    """
    for start in range(10_000, 30_000, _RTP_PORTS):  # below the system's own range
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", start))
        except OSError:
            claim.close()
            continue
        return start, claim
    raise AsteriskUnavailable(
        "every range of RTP ports is in use by another test's Asterisk: end those first"
    )


def _short_folder() -> str | None:
    """Where the control socket goes: its path, as Asterisk sees it in its root, has 108 bytes at most."""
    return None if len(tempfile.gettempdir()) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108 - a folder of its own there


class AsteriskInstance:
    """One Asterisk with its own directories and ports.

    `conf_dirs` are laid over each other, later ones winning. `local` holds further text for files in `local/`,
    by file name. `start` and `stop` (or `kill`) may alternate: ports and files stay the same.
    """

    def __init__(
        self, work_dir: Path, conf_dirs: Sequence[Path], *, ari_user: str, ari_password: str
    ) -> None:
        self._installation = find_asterisk()
        self._work_dir = work_dir.resolve()
        self._conf_dirs = conf_dirs
        self._process: subprocess.Popen[bytes] | None = None
        self._run_dir: Path | None = None
        self.ari_username = ari_user
        self.ari_password = ari_password
        self.sip_port = free_port(socket.SOCK_DGRAM)
        self.http_port = free_port(socket.SOCK_STREAM)
        self.environment: dict[str, str] = {}
        """Further environment variables of its process, such as those of a `SteppedClock`."""
        self.rtp_start, claim = _claim_rtp_ports()
        weakref.finalize(self, claim.close)
        self.local: dict[str, str] = {
            "ari.conf": f"[{ari_user}](ari-user)\npassword = {ari_password}\n",
            "http.conf": f"[general](+)\nbindport = {self.http_port}\n",
            "pjsip.conf": f"[transport-udp](+)\nbind = 127.0.0.1:{self.sip_port}\n",
            "rtp.conf": f"[general](+)\nrtpstart = {self.rtp_start}\n"
            f"rtpend = {self.rtp_start + _RTP_PORTS - 1}\n",
        }

    # --- where things are ------------------------------------------------------------------------------------

    @property
    def ari_url(self) -> str:
        """The address of Asterisk's HTTP server, as `AriClient` takes it."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def cel_path(self) -> Path:
        """The CEL journal."""
        return self._work_dir / "log" / "cel-custom" / "stasis-callback.csv"

    @property
    def running(self) -> bool:
        """Whether it was started and has neither been ended nor ended by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id; RuntimeError when the instance is not running."""
        if self._process is None:
            raise RuntimeError("this Asterisk is not running")
        return self._process.pid

    @property
    def console_path(self) -> Path:
        """Its control socket; RuntimeError when the instance is not running."""
        if self._run_dir is None:
            raise RuntimeError("this Asterisk is not running")
        return self._run_dir / "asterisk.ctl"

    def path_inside(self, path: Path) -> str:
        """A path of this machine as this Asterisk sees it (for CLI commands that name a file)."""
        return self._installation.inside(path.resolve())

    def log_text(self) -> str:
        """Everything this instance has logged: notices, warnings, errors."""
        log = self._work_dir / "log" / "messages.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def cpu_s(self) -> float:
        """Processor time used by the whole process so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- running ---------------------------------------------------------------------------------------------

    def start(self, *, timeout_s: float = 30.0) -> None:
        """Start and wait until it takes calls and ARI answers; `AsteriskUnavailable` when it does not."""
        self._write_files()
        # Set inside the root: a library that is to be preloaded is one of the root's own.
        environment = [f"{name}={value}" for name, value in self.environment.items()]
        config = self.path_inside(self._work_dir / "asterisk.conf")
        words = ["env", *environment, "asterisk", "-f", "-C", config]
        command = self._installation.command(words, self._work_dir / "hosts")
        with (self._work_dir / "log" / "console").open("ab") as console:
            try:
                process = self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=console, stderr=console
                )
            except OSError as error:
                self.kill()
                raise AsteriskUnavailable(f"{command[0]} cannot be run: {error.strerror}.") from error
        wait_until(lambda: process.poll() is not None or self._is_up(), timeout_s=timeout_s)
        if process.poll() is not None or not self._is_up():
            self.kill()
            said = (self._work_dir / "log" / "console").read_text(errors="replace").split("\n")
            last = next((line for line in reversed(said) if line.strip()), "it said nothing")
            raise AsteriskUnavailable(
                f"Asterisk did not start ({last}); its logs are in {self._work_dir}/log."
            )

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Stop it gracefully; by force after `timeout_s` seconds. Does nothing when it is not running."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """What a power cut does: SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._run_dir is not None:
            shutil.rmtree(self._run_dir)
            self._run_dir = None

    def goes_by(self, clock: SteppedClock) -> None:
        """From its next start on, take the time from `clock`. Raises FaketimeUnavailable."""
        root = self._installation.root or Path("/")
        self.environment = clock.environment(root, self.path_inside)

    def freeze(self) -> None:
        """Stop the process (SIGSTOP), as on a hung machine: connections stay up, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen instance."""
        os.kill(self.pid, signal.SIGCONT)

    def cli(self, command: str, *, timeout_s: float = 10.0) -> str:
        """What Asterisk's command line prints for a command. OSError when it does not answer in time."""
        return ask(self.console_path, command, timeout_s=timeout_s)

    def _is_up(self) -> bool:
        try:
            if "fully booted" not in self.cli("core waitfullybooted"):
                return False
            with contextlib.closing(HTTPConnection("127.0.0.1", self.http_port, timeout=5)) as connection:
                connection.request("GET", "/ari/asterisk/ping")
                return connection.getresponse().status == HTTPStatus.UNAUTHORIZED
        except OSError:
            return False

    # --- its files -------------------------------------------------------------------------------------------

    def _write_files(self) -> None:
        self._run_dir = Path(tempfile.mkdtemp(prefix="asterisk-", dir=_short_folder()))
        etc = self._work_dir / "etc"
        for conf_dir in self._conf_dirs:
            shutil.copytree(conf_dir, etc, dirs_exist_ok=True, ignore=shutil.ignore_patterns("local"))
        (etc / "local").mkdir(exist_ok=True)
        for name, text in self.local.items():
            (etc / "local" / name).write_text(text)
        directories = {
            "astetcdir": etc,
            "astrundir": self._run_dir,
            "astdatadir": self._data_dir(),
        }
        for name in ("varlib", "db", "key", "agi", "spool", "log", "cache"):
            directories[f"ast{name}dir"] = self._work_dir / name
            (self._work_dir / name).mkdir(exist_ok=True)
        (self._work_dir / "log" / "cel-custom").mkdir(exist_ok=True)
        lines = [f"{key} => {self.path_inside(path)}" for key, path in directories.items()]
        # Both by their full paths: Asterisk knows its configuration directory only after this file.
        lines += [
            f"#tryinclude {self.path_inside(etc)}/{name}" for name in ("asterisk.conf", "local/asterisk.conf")
        ]
        (self._work_dir / "asterisk.conf").write_text("\n".join(["[directories]", *lines, ""]))
        # Asterisk looks its own host name up for every call; without an answer each call waits for DNS.
        (self._work_dir / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")

    def _data_dir(self) -> Path:
        """Asterisk's data directory with the project's prompts among the core sounds."""
        data = self._work_dir / "data"
        if data.exists():
            return data
        own = next(
            path
            for path in ("/usr/share/asterisk", "/var/lib/asterisk")
            if self._installation.outside(path + "/documentation").is_dir()
        )
        sounds = data / "sounds"
        sounds.mkdir(parents=True)
        for entry in self._installation.outside(own).iterdir():
            if entry.name != "sounds":
                (data / entry.name).symlink_to(f"{own}/{entry.name}")
        languages = {path.name: path for path in sounds_dir().iterdir() if path.is_dir()}
        for entry in self._installation.outside(own + "/sounds").iterdir():
            if entry.name not in languages:
                (sounds / entry.name).symlink_to(f"{own}/sounds/{entry.name}")
        for language, prompts in languages.items():
            (sounds / language).mkdir()
            core = self._installation.outside(f"{own}/sounds/{language}")
            targets = {entry.name: f"{own}/sounds/{language}/{entry.name}" for entry in core.glob("*")}
            targets["stasis-callback"] = self.path_inside(prompts)  # also where an older copy is installed
            for name, target in targets.items():
                (sounds / language / name).symlink_to(target)
        return data
