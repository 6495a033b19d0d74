"""A fresh Debian to install things on: a folder with nothing but the base system, in namespaces of its own.

What is installed comes from where this machine gets its packages. There is no systemd in it: `systemctl` there starts
what a unit says, as the user that it names. All that runs in it ends with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stasis_callback.clock import wait_until
from stasis_callback.testing.asterisk import AsteriskUnavailable
from stasis_callback.testing.pstn import RealNetwork

ROOT = Path(__file__).parents[2]
BASE = ROOT / ".cache" / "debian-root"
SUITE = "forky"
_BROUGHT = "/var/lib/brought"
"""Where files stay that no package may write over: a certificate of a proxy."""

SYSTEMCTL = r"""#!/bin/bash
# In the place of systemd: `start`, `restart`, `stop`, `enable --now`, of units that name a command and a user.
verb=$1; shift
[ "$1" != --now ] || shift
name=${1%.service} unit=/etc/systemd/system/${1%.service}.service
[ -e "$unit" ] || unit=/usr/lib/systemd/system/$name.service
said() { sed -n "s/^$1=//p" "$unit" | head -n 1; }
case $verb in stop | restart) [ ! -e /run/unit-$name ] || kill "$(cat /run/unit-$name)"; rm -f /run/unit-$name ;; esac
case $verb in stop) exit ;; esac
user=$(said User) folder=$(said WorkingDirectory)
[ -d "${folder:-/}" ] || install -d -o "${user:-root}" -g "${user:-root}" "$folder"
cd "${folder:-/}"
groups=(--init-groups)
[ "${user:-root}" != root ] || groups=(--clear-groups)
if [ "$(said Type)" = notify ] && [ "$name" != asterisk ]; then
    export NOTIFY_SOCKET=/run/notify-$name
    rm -f $NOTIFY_SOCKET
    python3 -c 'import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(os.environ["NOTIFY_SOCKET"])
os.chmod(os.environ["NOTIFY_SOCKET"], 0o666)
s.settimeout(60)
while b"READY=1" not in s.recv(4096).split(b"\n"): pass' &
    waiter=$!
    until [ -S $NOTIFY_SOCKET ] || ! kill -0 $waiter; do sleep 0.1; done
fi
setsid setpriv --reuid="${user:-root}" --regid="${user:-root}" "${groups[@]}" $(said ExecStart | tr -d "'") \
    </dev/null >>/var/log/unit-$name.log 2>&1 &
echo $! >/run/unit-$name
if [ "$name" = asterisk ]; then
    for _ in $(seq 60); do
        sleep 0.5
        "$name" -rx 'core waitfullybooted' >/dev/null 2>&1 && break
    done
elif [ "$waiter" ]; then
    wait $waiter
fi
"""


class Machine:
    """One fresh Debian, which runs as long as the context `running` lasts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._before = "shopt -s expand_aliases\n"
        self._folder = "/"
        self._holder = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """In namespaces of its own for mounts and processes; the kernel ends all of it with the first one."""
        mounts = [f"mount --rbind /{name} {self.root}/{name}" for name in ("dev", "sys")]
        script = "\n".join(["set -e", *mounts, f"mount -t proc proc {self.root}/proc", "exec sleep infinity"])
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
        with subprocess.Popen(words) as process:
            try:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
                assert wait_until(lambda: bool(children.read_text().strip()), timeout_s=20)
                self._holder = int(children.read_text())
                assert wait_until(
                    lambda: (self.root / "proc" / "self").exists() or self._is_up(), timeout_s=20
                )
                yield
            finally:
                process.kill()

    def _is_up(self) -> bool:
        return Path(f"/proc/{self._holder}/comm").read_text().strip() == "sleep"

    def run(self, script: str, *, check: bool = True) -> str:
        """What a script prints, run by root in the folder where the one before it was; also to standard error.

        Aliases are kept, as in a shell that goes on.
        """
        self._before += "".join(f"{line}\n" for line in script.splitlines() if line.startswith("alias "))
        whole = f"set -e\n{self._before}cd {shlex.quote(self._folder)}\n{script}\npwd >/run/folder\n"
        done = subprocess.run(
            [
                "nsenter",
                f"--target={self._holder}",
                "--mount",
                "--pid",
                "chroot",
                str(self.root),
                "/bin/bash",
                "-c",
                whole,
            ],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{script}\n{done.stdout[-4000:]}"
        with suppress(FileNotFoundError):
            self._folder = (self.root / "run" / "folder").read_text().strip()
        return done.stdout

    def path(self, inside: str) -> Path:
        """A file of it."""
        return self.root / inside.lstrip("/")

    def log(self, unit: str) -> str:
        """What a unit has said."""
        file = self.path(f"/var/log/unit-{unit}.log")
        return file.read_text(errors="replace") if file.is_file() else ""


def fresh_debian(folder: Path) -> Machine:
    """A new one in `folder`. Its base system is got once. Raises AsteriskUnavailable where that is not possible."""
    if os.geteuid() or not shutil.which("debootstrap", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        raise AsteriskUnavailable("a fresh Debian needs root and debootstrap: run tools/get-asterisk as root")
    if not BASE.is_dir():
        _get_base()
    subprocess.run(["cp", "-a", BASE, folder], check=True)
    for path, inside in _of_this_machine():
        there = folder / inside.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there)
    for name, text, mode in (
        ("usr/local/sbin/systemctl", SYSTEMCTL, 0o755),
        ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755),  # packages start nothing
        ("etc/apt/apt.conf.d/yes", 'APT::Get::Assume-Yes "true";\n', 0o644),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    return Machine(folder)


def _get_base() -> None:
    mirror = subprocess.run(
        [ROOT / "tools" / "get-asterisk", "--mirror"], capture_output=True, text=True, check=True
    )
    unfinished = BASE.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            "debootstrap",
            "--variant=minbase",
            "--force-check-gpg",
            "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
            SUITE,
            unfinished,
            mirror.stdout.strip(),
            "/usr/share/debootstrap/scripts/sid",
        ],
        env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AsteriskUnavailable(f"debootstrap failed: {done.stdout[-300:]}")
    unfinished.rename(BASE)


def _of_this_machine() -> Iterator[tuple[Path, str]]:
    """Files without which nothing could be fetched from where this machine fetches it, and their places there."""
    usual = [Path("/etc/resolv.conf"), Path("/etc/hosts"), *Path("/etc/apt/auth.conf.d").glob("*")]
    usual += [
        file
        for file in Path("/etc/apt/apt.conf.d").glob("*")
        if file.read_text().lstrip().startswith("Acquire::")
    ]
    yield from ((path, str(path)) for path in usual)
    yield from ((Path(path), _BROUGHT + path) for path in _fetching().values() if Path(path).is_file())


def _fetching() -> dict[str, str]:
    """How this machine reaches package registries."""
    return {
        name: text
        for name, text in os.environ.items()
        if (name.startswith("PIP_") and name != "PIP_FIND_LINKS") or name.lower().endswith("_proxy")
    }


def _environment() -> dict[str, str]:
    """What commands of the machine get from here: how to reach package registries, and nothing else."""
    kept = {name: _BROUGHT + text if Path(text).is_file() else text for name, text in _fetching().items()}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return kept | {"PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def repository(folder: Path) -> None:
    """A git repository with this tree as it is, changes that are not committed too, to be cloned."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "As it is"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    subprocess.run(["chown", "-R", "root:root", folder], check=True)


class Carrier(RealNetwork):
    """The telephone network alone: the Asterisk that it leads to is the machine's."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        local = self.pstn.local
        local["pjsip.conf"] = local["pjsip.conf"].replace(f":{self.product.sip_port}\n", ":5060\n")
        # The machine's own range is 10000 to 20000.
        local["rtp.conf"] = "[general](+)\nrtpstart = 30000\nrtpend = 30999\n"

    @property
    def contact(self) -> str:
        """Where it takes calls."""
        return f"127.0.0.1:{self.pstn.sip_port}"

    def start(self) -> None:
        """Start it and connect the phones."""
        self.pstn.start()
        self._link.start()
        if not self._link.wait_connected(20):
            raise AsteriskUnavailable("The telephone network's Asterisk does not answer ARI.")
