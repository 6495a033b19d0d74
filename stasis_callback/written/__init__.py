"""Commands in writing: what mails and messages have in common."""
