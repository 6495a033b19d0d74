"""Nodes from the shell: seen, drained, taken over, forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from command_line import CommandLine
from test_cli_bad_input import CONTROL, LONG, UNKNOWN

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.settings import host_name
from stasis_callback.store.database.name_locks import name_lock

HERE = host_name()


@pytest.fixture
def alive(shop: CommandLine) -> Iterator[None]:
    """A service runs on another machine."""
    with shop.stores() as stores:
        stores.nodes.enter()
    shop.sql(f"UPDATE node SET name = 'far' WHERE name = '{HERE}'")
    lock = name_lock(shop.url, "node-far", "far")
    assert lock.take()
    yield
    lock.release()


def test_without_a_service_there_is_no_node(shop: CommandLine) -> None:
    assert shop.ok("node", "list", "--json").json == []
    assert shop("node", "list").err == "none\n"
    assert shop.ok("node", "history", "--json").json == []


def test_a_dead_node_is_shown_with_its_calls_and_what_is_held_for_them(
    shop: CommandLine, dialing: str
) -> None:
    (node,) = shop.ok("node", "list", "--json").json
    seen = (node["name"], node["state"], node["alive"], node["calls"], node["holds"], node["held"])
    assert seen == (HERE, "dead", False, 1, 1, ["0.20 USD"])
    assert node["started_at"].endswith("Z")
    head, *lines = shop.ok("node", "list").out.splitlines()
    line = next(line for line in lines if line.startswith(HERE))
    assert head.split()[:5] == ["name", "state", "calls", "holds", "held"]
    assert line.split()[:6] == [HERE, "dead", "1", "1", "0.20", "USD"]
    assert shop.ok("request", "show", dialing, "--json").json["node"] == HERE


def test_a_node_is_drained_and_resumed(shop: CommandLine, alive: None) -> None:
    said = shop.ok("node", "drain", "far", "--reason", "new disk").out
    assert said.splitlines() == [
        "node far starts no new callbacks",
        "it has 0 live calls",
        "no other node is alive: callbacks stay queued until `stasis-callback node resume far`",
    ]
    assert shop.ok("node", "list", "--json").json[0]["state"] == "draining"
    assert "is already draining" in shop.ok("node", "drain", "far").out
    assert shop.ok("node", "resume", "far").out == "node far starts callbacks again\n"
    assert shop.ok("node", "resume", "far").out == "node far was not drained\n"
    assert shop.ok("node", "list", "--json").json[0]["state"] == "alive"
    history = shop.ok("node", "history", "far", "--json").json
    assert [(e["event"], e["reason"]) for e in history] == [("resumed", ""), ("drained", "new disk")]
    assert all(e["operator"] for e in history)


def test_what_a_dead_node_has_left_is_ended_by_command(shop: CommandLine, dialing: str) -> None:
    lived_us = Clock().now_us() - 40 * US_PER_S
    # By the wall clock alone, as on another machine.
    shop.sql(f"UPDATE request SET lease_until_us = {lived_us + 30 * US_PER_S}, alive_mark = ''")
    said = shop.ok("node", "take-over", HERE, "--reason", "the machine burnt down").out
    assert said == f"request {dialing} is ended\n"
    request = shop.ok("request", "show", dialing, "--json").json
    (xdr,) = request["xdrs"]
    assert (request["state"], request["outcome"], request["node"]) == ("done", "interrupted", HERE)
    assert (xdr["source"], xdr["outcome"]) == ("estimated", "answered")
    # Until it was last known to live: 90 s ago it was answered, 40 s ago it lived.
    assert 49 <= xdr["charged_s"] <= 51
    assert shop.ok("ledger", "verify").out == "the ledger is consistent: no discrepancies\n"
    assert shop.ok("node", "take-over", HERE, "--reason", "again").out == f"node {HERE} has no live calls\n"
    (event,) = shop.ok("node", "history", "--json").json
    assert (event["event"], event["reason"]) == ("taken over", "the machine burnt down")
    assert shop.ok("node", "remove", HERE).out == f"node {HERE} is removed\n"
    assert shop.ok("node", "list", "--json").json == []
    assert len(shop.ok("node", "history", HERE, "--json").json) == 2


def test_a_callback_for_which_no_phone_has_rung_waits_again(shop: CommandLine, queued: str) -> None:
    with shop.stores() as stores:
        stores.nodes.enter()
        stores.requests.claim(1)
    said = shop.ok("node", "take-over", HERE, "--reason", "no more").out
    assert said == f"request {queued} is queued again\n"
    request = shop.ok("request", "show", queued, "--json").json
    assert (request["state"], request["attempts"], request["xdrs"]) == ("queued", 0, [])


def test_a_node_that_lives_is_neither_taken_over_nor_removed(shop: CommandLine, alive: None) -> None:
    assert "far is alive" in shop.refused("node", "take-over", "far", "--reason", "x")
    assert "far is alive" in shop.refused("node", "remove", "far")


def test_a_node_with_calls_is_not_removed(shop: CommandLine, dialing: str) -> None:
    assert f"node take-over {HERE}" in shop.refused("node", "remove", HERE)


@pytest.mark.parametrize("name", UNKNOWN, ids=lambda name: ascii(name)[:24])
def test_a_node_that_there_is_not(shop: CommandLine, name: str) -> None:
    shop.refused("node", "drain", name)
    shop.refused("node", "resume", name)
    shop.refused("node", "remove", name)
    shop.refused("node", "take-over", name, "--reason", "x")


@pytest.mark.parametrize("reason", ["", " ", CONTROL, LONG], ids=lambda reason: ascii(reason)[:24])
def test_a_reason_that_is_none(shop: CommandLine, dialing: str, reason: str) -> None:
    shop.refused("node", "take-over", HERE, "--reason", reason)
    if reason.strip():
        shop.refused("node", "drain", HERE, "--reason", reason)
        shop.refused("node", "remove", HERE, "--reason", reason)


def test_a_take_over_says_why(shop: CommandLine, dialing: str) -> None:
    assert "--reason" in shop.refused("node", "take-over", HERE)


def test_a_call_of_another_node_is_ended_by_that_node(
    shop: CommandLine, dialing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Asterisk is not that of the machine where the command is given; there may be none."""
    monkeypatch.setenv("STASIS_CALLBACK_NODE", "elsewhere")
    monkeypatch.setattr("stasis_callback.admin.calls.calls.ENDED_S", 0.3)
    assert f"end it with `stasis-callback call hangup {dialing}`" in shop.refused(
        "request", "cancel", dialing
    )
    hangups = (("call", "hangup", dialing), ("call", "hangup", "--all"))
    for hangup in hangups:
        said = shop(*hangup)
        assert (said.code, said.out) == (2, "")
        assert f"call {dialing} is on node {HERE}, which is not running" in said.err
    with shop.stores() as stores:
        assert stores.requests.taken_back([dialing]) == [dialing]
    monkeypatch.setattr("stasis_callback.admin.calls.calls.ENDED_S", 0.3)
    lock = name_lock(shop.url, f"node-{HERE}", "its service, which is busy")
    assert lock.take()
    try:
        for hangup in hangups:
            said = shop(*hangup)
            assert (said.code, said.out) == (2, "")
            assert f"call {dialing} was not ended by node {HERE} within" in said.err
    finally:
        lock.release()


def test_doctor_sees_calls_that_nobody_looks_after(shop: CommandLine, dialing: str) -> None:
    assert f"node {HERE} is dead and has 1 live call(s)" in shop("doctor").out
    shop.ok("node", "take-over", HERE, "--reason", "no more")
    assert "under way" not in shop("doctor").out


def test_doctor_sees_a_node_that_does_nothing(shop: CommandLine, alive: None) -> None:
    assert "node far" not in shop("doctor").out
    shop.ok("node", "drain", "far")
    assert "node far is drained and starts no callbacks" in shop("doctor").out
    shop.sql("UPDATE node SET seen_at_us = seen_at_us - 90000000")
    silent = re.search(r"node far is running but has not been seen for (\d+) s", shop("doctor").out)
    assert silent
    assert int(silent[1]) >= 90


def test_doctor_sees_a_journal_that_other_nodes_cannot_read(shop: CommandLine, alive: None) -> None:
    assert "not forwarded" not in shop("doctor").out  # there is no other node
    with shop.stores() as stores:
        stores.nodes.enter()
        stores.nodes.leave()
        stores.journals.keep(HERE, [], "1:1", "morning")
    lock = name_lock(shop.url, f"node-{HERE}", "its service")
    assert lock.take()
    try:
        said = shop("doctor").out
    finally:
        lock.release()
    assert "the CEL journal of node far is not forwarded" in said
    assert f"the CEL journal of node {HERE} is not forwarded" not in said


def test_a_call_that_cannot_be_ended_is_named(shop: CommandLine, dialing: str) -> None:
    with shop.stores() as stores:
        stores.ledger.void(f"{dialing}-a1")  # its hold is closed: a bug
    failed = shop("node", "take-over", HERE, "--reason", "no more")
    assert (failed.code, failed.out) == (2, "")
    assert f"request {dialing} could not be ended: the hold of leg" in failed.err
