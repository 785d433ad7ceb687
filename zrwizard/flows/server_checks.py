"""What is missing for a backup server, said before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

from zrwizard.facts import SystemFacts, TargetFacts
from zrwizard.flows import server_system_steps
from zrwizard.flows.server_choices import Purpose
from zrwizard.freebsd import size, sshd
from zrwizard.freebsd.errors import ParseError
from zrwizard.freebsd.sshd import Version
from zrwizard.plan import Problem

KEY = "server.scope"
TMP_NEEDED = 4 * 1024 * 1024
# A machine sold with 512 MB reports less: the firmware and the graphics keep some.
MEMORY_NEEDED = 440 * 1024 * 1024
SKEW_ALLOWED = 60.0


def only_disk(target: TargetFacts, system: SystemFacts) -> str | None:
    """Return why nothing but the disk can be set up on this machine, None where all can."""
    if target.live:
        return "it runs from an install medium, which forgets everything at the next start"
    if not system.etc_writable:
        return "its /etc cannot be written to"
    return None


def openssh(system: SystemFacts) -> Version | None:
    """Return the version of the installed OpenSSH, None where there is none to be recognised."""
    try:
        return sshd.parse_version(system.openssh)
    except ParseError:
        return None


def about(target: TargetFacts, system: SystemFacts) -> str:
    """Return what kind of machine it is, in a sentence."""
    nics = [
        f"{nic.name} ({', '.join(a.address for a in nic.addresses) or 'no address'})"
        for nic in target.nics
    ]
    named = f" {system.hostname}" if system.hostname else ""
    ssh = openssh(system)
    return (
        f"The machine{named}: FreeBSD {target.release} on {target.arch}, "
        f"{size.human(target.memory)} of memory, {ssh.text if ssh else 'no OpenSSH'}; "
        f"network {', '.join(nics) or 'none'}; its clock is {abs(system.skew):.0f} seconds off."
    )


def missing(target: TargetFacts, system: SystemFacts, purpose: Purpose) -> tuple[Problem, ...]:
    """Return everything that stands in the way, each with what to do about it; none if nothing."""
    found = list(_machine(target, system))
    if purpose.whole:
        found += _server(target, system)
    return tuple(found)


def _machine(target: TargetFacts, system: SystemFacts) -> Iterator[Problem]:
    if target.zfs_version is None:
        yield Problem(
            KEY,
            "ZFS does not answer on this machine.",
            "Use a FreeBSD from 13 on with its ZFS module (kldload zfs says what is wrong).",
        )
    if target.memory < MEMORY_NEEDED:
        yield Problem(
            KEY,
            f"It has {size.human(target.memory)} of memory; ZFS needs 512 MB to live.",
            "Add memory, or take another computer.",
        )
    if target.tmp_free < TMP_NEEDED:
        yield Problem(
            KEY,
            f"There are {size.human(target.tmp_free)} of room in /tmp; "
            f"{size.human(TMP_NEEDED)} are needed.",
            "Remove what is not needed from /tmp on that machine, then look again.",
        )
    if not system.seeded:
        yield Problem(
            KEY,
            "Its random source gave nothing: keys made there now could be guessed.",
            "Wait a minute, type and move something on that machine, then look again.",
        )


def _server(target: TargetFacts, system: SystemFacts) -> Iterator[Problem]:
    version = openssh(system)
    if version is None:
        yield Problem(
            KEY,
            "It has no OpenSSH that answers to `ssh -V`.",
            "Install FreeBSD's own (it is part of the base system), then look again.",
        )
    else:
        old = sshd.unusable(version)
        if old is not None:
            yield Problem(KEY, old.what, old.now)
    if abs(system.skew) > SKEW_ALLOWED:
        yield _skewed(system)
    if not any(nic.addresses for nic in target.nics):
        yield Problem(
            KEY,
            "It has no network address, so it cannot be reached by ssh.",
            "Plug in the cable and type `dhclient INTERFACE` there (ifconfig lists them).",
        )
    unreadable = server_system_steps.unreadable(system)
    if unreadable is not None:
        yield unreadable
    main = system.file(sshd.MAIN)
    if main.odd:
        yield Problem(
            KEY,
            f"{sshd.MAIN} cannot be kept aside: {main.odd}.",
            "Move it away on that machine, then look again.",
        )


def _skewed(system: SystemFacts) -> Problem:
    seconds = abs(system.skew)
    amount = f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{seconds:.0f} seconds"
    way = "ahead of" if system.skew > 0 else "behind"
    late = "" if system.skew > 0 else " A certificate made now would not be valid there yet."
    now = (
        "ntpd runs there: wait until it has set the clock, then look again."
        if system.ntp_running
        else "Set its clock with `ntpd -g -q` (or `date`), or this machine's, then look again."
    )
    return Problem(KEY, f"Its clock is {amount} {way} this machine's.{late}", now)
