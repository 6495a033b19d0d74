"""E-mail callback: how a request comes in by mail."""
