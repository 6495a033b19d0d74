"""Commands about callbacks, call records and reports."""
