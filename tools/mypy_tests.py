"""mypy over the tests, in one run: `make lint`.

The folders of tests are not packages: pytest puts each on the path, and modules import each other by bare names. So
mypy gets the same path, and every module by its bare name. Only the `conftest` of each folder has a name that is
not its own, and goes by its place.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def module_of(file: Path) -> str:
    """The name that mypy knows this file by."""
    if (file.parent / "__init__.py").exists():
        return f"{file.parent.name}.{file.stem}"
    return ".".join(file.relative_to(ROOT).with_suffix("").parts) if file.stem == "conftest" else file.stem


def main() -> int:
    """The exit code of mypy."""
    files = sorted([*ROOT.glob("tests/*.py"), *ROOT.glob("tests/*/*.py")])
    folders = sorted({str(file.parent) for file in files if not (file.parent / "__init__.py").exists()})
    modules = [word for file in files if file.stem != "__init__" for word in ("-m", module_of(file))]
    environment = os.environ | {"MYPYPATH": os.pathsep.join(folders)}
    return subprocess.run([sys.executable, "-m", "mypy", *modules], cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(main())
