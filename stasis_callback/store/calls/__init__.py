"""Callbacks, their legs, call records, steps and reports."""
