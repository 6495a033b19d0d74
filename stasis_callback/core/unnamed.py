"""What reports call lines of nothing with a name. No customer, vendor etc. may be called so."""

OTHERS = "(others)"
"""All that is not shown one by one."""
SETTINGS = "(settings)"
"""The trunk of the settings."""
UNKNOWN = "(unknown)"
"""Any other group without a name."""
UNNAMED = (OTHERS, SETTINGS, UNKNOWN)
