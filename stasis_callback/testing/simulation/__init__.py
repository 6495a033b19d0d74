"""The whole service against the fake Asterisk, in virtual time, one thread at a time, decided by one seed.

    python -m stasis_callback.testing.simulation --seed 7

docs/decisions/0016-simulation.md tells what is deterministic and how far it goes.
"""
