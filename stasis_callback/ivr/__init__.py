"""Talking with people: prompts, spoken values, one play-and-collect primitive, and the legs of a call."""
