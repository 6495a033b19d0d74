"""Commands for this node: settings, database, health checks, prompts, the demo."""
