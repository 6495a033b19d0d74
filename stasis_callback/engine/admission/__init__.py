"""Whether a callback is made: missed calls, orders, and the checks they share."""
