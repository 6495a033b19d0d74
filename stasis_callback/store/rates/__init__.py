"""Tariffs, trunks and routes."""
