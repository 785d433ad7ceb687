"""dhclient(8): an address by DHCP. Its exit status proves nothing, its words do (facts C6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from . import sh
from .errors import Diagnosis


class Outcome(StrEnum):
    """How an attempt ended."""

    BOUND = "bound"
    NO_OFFERS = "no offers"
    RUNNING = "already running"
    NO_LINK = "no link"
    NO_INTERFACE = "no interface"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Lease:
    """The outcome; `address` where bound, `pid` of the other client where one runs already."""

    outcome: Outcome
    address: str | None = None
    pid: int | None = None


_BOUND = re.compile(r"bound to (\d{1,3}(?:\.\d{1,3}){3})", re.ASCII)
_RUNNING = re.compile(r"dhclient already running, pid: (\d{1,9})", re.ASCII)
_SIGNS = (
    (Outcome.NO_LINK, re.compile(r"no link \.*\s*giving up|: giving up")),
    (Outcome.NO_INTERFACE, re.compile(r"interface \S+ does not exist|: not found")),
    (Outcome.NO_OFFERS, re.compile(r"No DHCPOFFERS received|No working leases")),
)


def start(nic: str) -> str:
    """Command: ask for an address; goes on in the background whatever happens."""
    return sh.command("dhclient", nic)


def classify(output: str) -> Lease:
    """What dhclient's output (stderr and stdout together) says. Never raises."""
    bound = _BOUND.findall(output)
    if bound:
        return Lease(Outcome.BOUND, address=bound[-1])
    running = _RUNNING.search(output)
    if running:
        return Lease(Outcome.RUNNING, pid=int(running[1]))
    for outcome, pattern in _SIGNS:
        if pattern.search(output):
            return Lease(outcome)
    return Lease(Outcome.UNKNOWN)


def explain(lease: Lease, nic: str) -> Diagnosis | None:
    """What to do where no address came; None for a lease."""
    match lease.outcome:
        case Outcome.BOUND:
            return None
        case Outcome.NO_OFFERS:
            what = f"No DHCP server answered on {nic}."
            now = "Check the cable and the network, or give a static address."
        case Outcome.RUNNING:
            what = f"A DHCP client (process {lease.pid}) runs on {nic} already."
            now = "Look at the address it got, or stop it and try again."
        case Outcome.NO_LINK:
            what = f"{nic} has no link."
            now = "Plug the cable in, or choose another interface."
        case Outcome.NO_INTERFACE:
            what = f"There is no interface {nic}."
            now = "Choose one of the interfaces listed."
        case Outcome.UNKNOWN:
            what = f"dhclient gave no address for {nic}."
            now = "Try again, or give a static address."
        case never:
            assert_never(never)
    return Diagnosis(lease.outcome.value, what, now)
