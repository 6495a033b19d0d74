"""Callbacks over the web: forms, status pages, the JSON API and webhooks. Requests become orders of the engine."""
