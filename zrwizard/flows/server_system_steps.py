"""The steps that tend the machine's own files: one edit a file, the old one kept beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Interface

from zrwizard.facts import SystemFacts, TextFile
from zrwizard.flows.server_choices import Fixed, Plans, Purpose, Reach, Server
from zrwizard.freebsd import fstab, hardening, rcconf, sh
from zrwizard.freebsd.errors import ParseError
from zrwizard.freebsd.hardening import Change, Wishes
from zrwizard.plan import Command, Danger, Edit, Phase, Problem, Step

PLAIN_STARTS = "zrwizard_enable"
"""The variable by which rc.conf lets the extra sshd of a plain server start."""
_SSHD = "sshd_enable"
_ORDER = tuple(sorted(hardening.PATHS, key=lambda path: path == fstab.PATH))
"""fstab comes last: a read-only root counts from the next start on."""
_TITLES = {
    rcconf.PATH: ("rc-conf", "Say in rc.conf what starts, and what does not"),
    "/boot/loader.conf": ("loader-conf", "Limit ZFS's cache, and start without waiting"),
    "/etc/sysctl.conf": ("sysctl-conf", "Close what users and the network could look into"),
    "/etc/ttys": ("ttys", "Ask for root's password in single user mode"),
    "/etc/crontab": ("crontab", "Let cron send no mail that nobody reads"),
    fstab.PATH: ("fstab", "Spare the disk, and keep what is in memory off it"),
}


@dataclass(frozen=True, slots=True)
class Tended:
    """What becomes of the files: what changes, in order, and what was left alone and why."""

    changes: tuple[tuple[TextFile, Change], ...]
    notes: tuple[str, ...]


def unreadable(system: SystemFacts) -> Problem | None:
    """Return why the machine cannot be told to start ssh at boot, None where it can."""
    file = system.file(rcconf.PATH)
    wrong = file.odd
    try:
        rcconf.values(file.text or "")
    except ParseError as error:
        wrong = wrong or str(error)
    if not wrong:
        return None
    return Problem(
        "system.files",
        f"{rcconf.PATH} cannot be edited: {wrong}.",
        "Mend it on that machine (`sh -n /etc/rc.conf`), then look again.",
    )


def tend(server: Server, purpose: Purpose) -> Tended:
    """Return what becomes of every file. `unreadable` was asked before."""
    changes: list[tuple[TextFile, Change]] = []
    notes: list[str] = []
    for path in _ORDER if server.tending.files else (rcconf.PATH,):
        file = server.system.file(path)
        try:
            new = (
                _rc_conf(file, server, purpose)
                if path == rcconf.PATH
                else _tended(file, server, ssh=purpose.vault)
            )
        except ParseError as error:
            notes.append(f"{path} is left alone: it cannot be read ({error}).")
            continue
        notes += new.notes
        if new.text != (file.text or ""):
            changes.append((file, new))
    return Tended(tuple(changes), tuple(notes))


def _tended(file: TextFile, server: Server, *, ssh: bool) -> Change:
    if file.odd:
        return Change(file.path, "", notes=(f"{file.path} is left alone: {file.odd}.",))
    wishes = Wishes(server.tending.root, server.tending.swap, ssh)
    return hardening.change(file.path, file.text, server.machine, wishes)


def _rc_conf(file: TextFile, server: Server, purpose: Purpose) -> Change:
    """rc.conf, of which a part is written in any case: what starts the backup's ssh.

    The ssh that a plain server has besides is its owner's business.
    """
    change = Change(file.path, file.text or "")
    if server.tending.files:
        change = _tended(file, server, ssh=purpose.vault)
    name = _SSHD if purpose.vault else PLAIN_STARTS
    change = _with(change, {name: "YES"}, "The backup's ssh starts with the machine.")
    if server.reach.fixed is not None:
        change = _with(change, _network(server.reach.fixed), "Its address, from the next start on.")
    return change


def _with(change: Change, settings: dict[str, str], why: str) -> Change:
    text = rcconf.edit(change.text, settings)
    said = (why,) if text != change.text else ()
    return replace(change, text=text, why=(*change.why, *said))


def _network(fixed: Fixed) -> dict[str, str]:
    name = f"ifconfig_{fixed.nic}"
    if not fixed.address:
        return {name: "DHCP"}
    mask = IPv4Interface(f"{fixed.address}/{fixed.prefix}").netmask
    return {name: f"inet {fixed.address} netmask {mask}", "defaultrouter": fixed.gateway}


def system_steps(plans: Plans, server: Server) -> tuple[Step, ...]:
    """Return one edit for each file that changes, and a look at how it will be reached."""
    steps = [_edit(plans, file, new) for file, new in tend(server, plans.purpose).changes]
    return (*steps, *_reach(server.reach))


def _edit(plans: Plans, file: TextFile, new: Change) -> Step:
    id, title = _TITLES[file.path]
    checked = sh.command("sh", "-n", file.path) if file.path == rcconf.PATH else None
    return Step(
        id=id,
        phase=Phase.SYSTEM,
        title=title,
        why=" ".join(new.why),
        action=Edit(
            path=file.path,
            mode=file.mode,
            content=new.text,
            was=file.text,
            backup=f"{file.path}.zrwizard-{plans.token}",
        ),
        danger=Danger.CHANGES,
        proof=checked,
    )


# --- the other house ------------------------------------------------------------------------------


def _reach(reach: Reach) -> list[Step]:
    looks = []
    if reach.how in ("forward", "vpn") and reach.name:
        looks.append(
            f"getent hosts {sh.quote(reach.name)} 2>/dev/null || "
            + _say(f"{reach.name} is not known to the name server yet.")
        )
    if reach.how == "ipv6":
        looks.append(
            "ifconfig 2>/dev/null | grep 'inet6 [23]' || "
            + _say("It has no global IPv6 address here; look again in the other house.")
        )
    if reach.how == "tor":
        looks.append(
            "command -v tor || "
            + _say("tor is not installed yet: the sheet says how (pkg install tor).")
        )
    if not looks:
        return []
    return [
        Step(
            id="reach",
            phase=Phase.SYSTEM,
            title="Look at how it will be reached from outside",
            why="What is missing for it now is said now; the sheet says what to do in that house.",
            action=Command("\n".join(looks)),
        )
    ]


def _say(sentence: str) -> str:
    return f"printf '%s\\n' {sh.quote(sentence)}"
