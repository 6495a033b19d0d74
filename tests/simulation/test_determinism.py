"""The same seed is the same simulation: in every journal line and every choice, in any process."""

import subprocess
import sys
from dataclasses import replace

import pytest

from stasis_callback.testing.simulation.plan import FAULTS, Fault, load
from stasis_callback.testing.simulation.planner import make_plan
from stasis_callback.testing.simulation.runner import simulate


@pytest.mark.parametrize("seed", [3, 17, 42])
def test_twice_the_same_seed_is_twice_the_same_journal(seed: int) -> None:
    first, second = simulate(make_plan(seed)), simulate(make_plan(seed))
    assert first.journal == second.journal
    assert first.digest == second.digest


def test_with_every_kind_of_fault_it_is_still_the_same() -> None:
    """One after the other, so that each affects a call."""
    faults = tuple(Fault(4.0 + 3.0 * n, kind, 2.0) for n, kind in enumerate(FAULTS))
    plan = replace(make_plan(5), faults=faults)
    first, second = simulate(plan), simulate(plan)
    assert first.journal == second.journal


def test_another_process_with_other_hashes_comes_to_the_same_choices() -> None:
    command = [sys.executable, "-m", "stasis_callback.testing.simulation", "--seed", "17"]
    shown = [
        subprocess.run(
            command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=False
        ).stdout
        for seed in ("1", "2")
    ]
    assert shown[0] == shown[1]
    assert "the choices were" in shown[0]


def test_another_seed_is_another_simulation() -> None:
    assert simulate(make_plan(3)).digest != simulate(make_plan(4)).digest


def test_a_plan_can_be_kept_as_a_file() -> None:
    plan = make_plan(11)
    assert load(plan.text()) == plan
