"""Businesses of other systems: their dumps are read, put into our words, and moved in."""
