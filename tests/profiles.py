"""How many examples hypothesis makes. A plugin of its own, so that tests can run without the fixtures of conftest."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

# How long it takes to make an example says more about the machine, which does other things too, than about a test.
settings.register_profile(
    "shared", max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None
)
settings.register_profile("nightly", settings.get_profile("shared"), max_examples=2000)
# For `make mutants`: the same examples for every change, and a failure is enough, however large.
settings.register_profile(
    "mutants",
    settings.get_profile("shared"),
    derandomize=True,
    max_examples=60,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile("shared")


def count(usual: int, nightly: int) -> int:
    """How many examples a test makes that says so itself: in a usual run, and with `--hypothesis-profile=nightly`."""
    return nightly if settings.get_current_profile_name() == "nightly" else usual
