"""ntpd(8): whether somebody keeps the clock right."""

from __future__ import annotations

from . import sh


def running() -> str:
    """Command: succeeds if an NTP daemon runs (ntpd of the base or OpenNTPD, or chronyd)."""
    return sh.command("pgrep", "-x", "ntpd|chronyd")


def step(seconds: int = 60) -> str:
    """Command: ask the servers of ntp.conf once, set the clock, and end within `seconds`."""
    return sh.timeout(seconds, sh.command("ntpd", "-g", "-q"))
