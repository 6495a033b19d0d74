"""Every example of docs/reference/email-command.md is a command."""

from __future__ import annotations

import re
from pathlib import Path

from stasis_callback.core.mail_command import VoucherCommand, find_command

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "email-command.md"


def test_every_example_is_a_command() -> None:
    examples = re.findall(r"```example\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) > 1
    for example in examples:
        command = find_command(example)
        if isinstance(command, VoucherCommand):
            assert command.code == "K7PW-3XQ2-MN4T"
        else:
            assert command.number_b == "420212345678"
