"""Whether this tree can be released as VERSION, and its wheel: `make release VERSION=x.y.z`. Publishes nothing.

Exit code 1 with a sentence for each thing that is not as it must be.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    "stasis_callback/py.typed",
    "stasis_callback/_data/asterisk-conf/extensions.conf",
    "stasis_callback/_data/asterisk-conf/pjsip.conf",
    "stasis_callback/_data/deploy/stasis-callback.service",
    "stasis_callback/_data/sounds/en/manifest.toml",
)
PAGES = ("README.md", "docs/quickstart.md")
"""What names the address of the repository, `REPOSITORY` until there is one."""
LINKS = ("Source", "Issues", "Changelog")
"""What a package index shows beside a package. The address of the repository is known when it is published."""


def wrong_in_tree(root: Path, version: str) -> list[str]:
    """What must be put right in the tree at `root` before it is released as `version`."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version, re.ASCII):
        return [f"{version!r} is not a version: write it like 1.2.3"]
    wrong = []
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    if project["version"] != version:
        wrong.append(f"pyproject.toml says {project['version']}")
    missing = [name for name in LINKS if name not in project.get("urls", {})]
    if missing:
        wrong.append(f"pyproject.toml has no address under [project.urls] for {', '.join(missing)}")
    unnamed = [page for page in PAGES if re.search(r"\bREPOSITORY\b", (root / page).read_text())]
    if unnamed:
        wrong.append(
            f"the address of the repository is missing in {' and '.join(unnamed)}: replace REPOSITORY"
        )
    section = re.search(
        rf"^## {re.escape(version)}\b(.*)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    if not section:
        wrong.append(f"CHANGELOG.md has no section {version}")
    elif not _is_dated(section[1]):
        wrong.append(f"CHANGELOG.md has no date at {version}: write `## {version} (YYYY-MM-DD)`")
    return wrong


def _is_dated(text: str) -> bool:
    found = re.fullmatch(r" \((\d{4}-\d{2}-\d{2})\)", text)
    try:
        return bool(found and date.fromisoformat(found[1]))
    except ValueError:
        return False


def uncommitted(root: Path) -> list[str]:
    """The files that git would miss, one a line."""
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, check=True, capture_output=True, text=True
    )
    return [f"not committed: {line[3:]}" for line in status.stdout.splitlines()]


def missing_in_wheel(wheel: Path) -> list[str]:
    """What an installation needs and the wheel does not have."""
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = [f"{wheel.name} has no {part}" for part in PARTS if part not in names]
    sounds = [name for name in names if "/_data/sounds/" in name and name.endswith((".ulaw", ".g722"))]
    return missing if sounds else [*missing, f"{wheel.name} has no sounds"]


def build_wheel(root: Path) -> Path:
    """The wheel of the tree, in dist/."""
    dist = root / "dist"
    for old in dist.glob("*.whl"):
        old.unlink()
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", dist, root], check=True)
    return next(dist.glob("*.whl"))


def main(version: str) -> int:
    """Check, build, check what was built, say what is next."""
    wrong = wrong_in_tree(ROOT, version) + uncommitted(ROOT)
    wheel = None if wrong else build_wheel(ROOT)
    wrong += missing_in_wheel(wheel) if wheel else []
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    if wrong or not wheel:
        return 1
    print(f"{wheel.relative_to(ROOT)} is right. Next (docs/releasing.md):")
    print(f"  git tag -a v{version} -m 'Version {version}' && git push --follow-tags")
    print("  install the wheel on a machine that takes no calls yet: doctor, then one call")
    print(f"  hand out the wheel, with the section {version} of CHANGELOG.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
