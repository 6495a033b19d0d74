"""Admission: missed calls, orders, and their common checks."""
