"""Commands about tariffs, rates, vendors, trunks and routes."""
