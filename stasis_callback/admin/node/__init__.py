"""Commands about this node: settings, database, health, prompts, the demo."""
