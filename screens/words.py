"""Numbers and sentences for people: sizes, times, what could go wrong, what comes next."""

from __future__ import annotations

import humanize

from zrwizard.plan import Danger, Phase
from zrwizard.run.events import Exit


def size(count: float) -> str:
    """Return bytes as `1.4 GiB`."""
    return humanize.naturalsize(count, binary=True, format="%.1f")


def span(seconds: float) -> str:
    """Return seconds as `42 s`, `3 min 05 s` or `2 h 07 min`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def percent(fraction: float | None) -> str:
    """Return a fraction as ` 42 %`; never above 100, dashes while unknown."""
    return " -- %" if fraction is None else f"{min(100, int(fraction * 100)):3} %"


DANGER = {
    Danger.NONE: "",
    Danger.CHANGES: "changes",
    Danger.ERASES: "!! ERASES",
}

WORRIES: dict[str, str] = {
    Phase.NETWORK: (
        "The cable, the address or the server's port may be wrong; nothing was written to a disk."
    ),
    Phase.LOGIN: (
        "The server may refuse the account or show another host key; nothing was written to a disk."
    ),
    Phase.KEYS: (
        "Keys are made and kept on this machine only; if it stops, the same ones are used again."
    ),
    Phase.DISK: "If it stops here the disk is empty or half prepared: start the same again.",
    Phase.ESCROW: "Nothing goes on before the bundle was opened again and compared.",
    Phase.POOL: "If it stops here the new pool holds nothing yet: start the same again.",
    Phase.TRANSFER: (
        "The stream runs on the machine itself; a lost console or closed window does not stop it."
    ),
    Phase.BOOT: "The data is on the disk; now what makes it boot is set. It can be repeated.",
    Phase.ACCESS: (
        "The old ssh stays until a login through the new one has worked: nobody is locked out."
    ),
    Phase.RECEIVER: "If it stops here the server takes no backups yet: start the same again.",
    Phase.SYSTEM: (
        "A copy of each old file stays beside it; what somebody changed meanwhile is not touched."
    ),
    Phase.TRIAL: "Only test data is sent; the disk is closed again whatever happens.",
    Phase.PROOF: "Only reading and comparing now; a difference is reported, nothing is repaired.",
    Phase.FINISH: (
        "If the machine does not come back, its console shows why; the pool is exported and whole."
    ),
}

_OTHERWISE: dict[tuple[str, str], str] = {
    ("server", Phase.POOL): (
        "If it stops here the disk may still be open there: start the same again, which closes it."
    ),
    ("server", Phase.FINISH): "All of it works; now it is written down.",
}


def worry(flow: str, phase: str) -> str:
    """Return what a stop in `phase` means in the flow called `flow`."""
    return _OTHERWISE.get((flow, phase), WORRIES.get(phase, ""))


OUTCOME = {
    Exit.DONE: "Done",
    Exit.FAILED: "It did not work",
    Exit.USAGE: "Some answer will not do",
    Exit.REFUSED: "Stopped for safety",
    Exit.UNREACHABLE: "The machine or the server cannot be reached",
    Exit.INTERRUPTED: "Interrupted",
}


def outcome(code: int) -> str:
    """Return the headline for an exit code."""
    try:
        return OUTCOME[Exit(code)]
    except ValueError:
        return f"Ended with code {code}"
