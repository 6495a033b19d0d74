"""The front of several nodes: Kamailio with the configuration that operators get, as a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy" / "kamailio"
_CACHED = ROOT / ".cache" / "kamailio"


class FrontUnavailable(Exception):
    """There is no Kamailio here; the message says what to do."""


class Front:
    """Kamailio in `folder`, at `address` (IP:port), for nodes and carriers by their SIP addresses and IPs."""

    def __init__(self, folder: Path, address: str, nodes: Sequence[str], carriers: Sequence[str]) -> None:
        """Write its files. Raises FrontUnavailable."""
        self._program, self._modules = find_kamailio()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copy(DEPLOYED / "kamailio.cfg", folder)
        nodes_file, carriers_file = folder / "dispatcher.list", folder / "address.list"
        nodes_file.write_text("".join(f"1 sip:{node}\n" for node in nodes))
        carriers_file.write_text("".join(f"1 {carrier} 32\n" for carrier in carriers))
        (folder / "local.cfg").write_text(
            f'#!define LISTEN udp:{address}\n#!define NODES "{nodes_file}"\n#!define CARRIERS "{carriers_file}"\n'
            "#!define NO_CONTROL\n"
        )

    def check(self) -> str:
        """What Kamailio says of its configuration."""
        done = subprocess.run(
            self._command("-c"), capture_output=True, text=True, check=False, env=self._environment()
        )
        assert done.returncode == 0, done.stderr
        return done.stderr + done.stdout

    def start(self) -> None:
        """Start it in the network of this thread; it ends with it."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *self._command("-DD", "-E")],
                stdout=log,
                stderr=log,
                env=self._environment(),
            )

    def stop(self) -> None:
        """End it and its children."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def _command(self, *words: str) -> list[str]:
        config = str(self.folder / "kamailio.cfg")
        return [
            str(self._program),
            "-f",
            config,
            "-L",
            str(self._modules),
            "-m",
            "64",
            "-Y",
            str(self.folder),
            *words,
        ]

    def _environment(self) -> dict[str, str]:
        return os.environ | {"LD_LIBRARY_PATH": str(self._modules.parent)}


def find_kamailio() -> tuple[Path, Path]:
    """The program, and the folder of its modules. Raises FrontUnavailable."""
    for usr in (Path("/usr"), _CACHED):
        program, modules = usr / "sbin" / "kamailio", next(usr.glob("lib/*/kamailio/modules"), None)
        if program.exists() and modules:
            return program, modules
    raise FrontUnavailable("there is no Kamailio here: run tools/get-kamailio")
