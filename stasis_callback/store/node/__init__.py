"""Nodes: who is alive, and who works on what."""
