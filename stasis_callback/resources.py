"""Where the files are that ship with the package but are not Python: Asterisk's configuration, prompts, deploy/.

In the repository they stand at the top, where an operator looks for them; a wheel carries them in `_data/`.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def asterisk_conf_dir() -> Path:
    """The configuration that goes to /etc/asterisk."""
    return _folder("asterisk-conf")


def sounds_dir() -> Path:
    """The prompts: one folder per language, each to appear as `stasis-callback` among Asterisk's sounds."""
    return _folder("sounds")


def deploy_dir() -> Path:
    """What starts the service: the unit for systemd, and what Postfix needs to deliver mails."""
    return _folder("deploy")
