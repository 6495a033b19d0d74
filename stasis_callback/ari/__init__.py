"""The thin ARI client: commands over HTTP, events over the websocket, the CEL journal. Knows nothing of callbacks."""
