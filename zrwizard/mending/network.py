"""rc.conf(5) of a restored system: its settings for a network card that has another name now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from zrwizard.freebsd import rcconf, shvars
from zrwizard.mending.found import Mended
from zrwizard.plan import Mend

_PSEUDO = (
    *("lo", "bridge", "lagg", "vlan", "tap", "tun", "vmnet", "epair", "gif", "gre", "stf", "wlan"),
    *("wg", "ovpn", "pflog", "pfsync", "enc", "ipsec", "vxlan", "me", "ng", "usbus", "faith"),
)
"""Interfaces that no card stands behind, or that are made on top of one."""
_CARD = re.compile(r"ifconfig_([a-z][a-z0-9]*[0-9])(?:_\w+)?", re.ASCII)
_ABOUT_CARDS = re.compile(
    r"(ifconfig|vlans|wlans|create_args|ipv6|dhclient_flags|background_dhclient|autobridge|"
    r"cloned_interfaces|network_interfaces|natd_interface|rtadvd_interfaces|dhcpd_ifaces|"
    r"rtsold_flags|synchronous_dhclient)(_|\Z)",
    re.ASCII,
)
_PRIVATE = re.compile(r"key|pass|secret|psk", re.I)


def lost_cards(files: Iterable[Mapping[str, str | None]], machine: Mend) -> tuple[str, ...]:
    """Return the cards that the settings of `files` name and the machine does not have."""
    names, own = set[str](), set[str]()
    for known in files:
        names |= {found[1] for name in known if (found := _CARD.fullmatch(name))}
        # A card that is given another name is configured by that.
        own |= {value or "" for name, value in known.items() if name.endswith("_name")}
    return tuple(sorted(n for n in names - own - set(machine.nics) if not _is_pseudo(n)))


def _is_pseudo(name: str) -> bool:
    return name.rstrip("0123456789") in _PSEUDO


def mend(text: str, machine: Mend, lost: tuple[str, ...], path: str) -> Mended:
    """Return rc.conf with the settings of the one card of `lost` moved to the machine's own.

    With several of them, or none, or where the machine's own has settings too, it is only said
    what stands there: which one is which, nobody can tell. Raises `ParseError`.
    """
    known = rcconf.values(text)
    if not lost:
        return Mended(text)
    about = [name for name in known if _mentions(name, lost) and _CARD.fullmatch(name)]
    own = [n for n in known if (found := _CARD.fullmatch(n)) and found[1] == machine.nic]
    if len(lost) > 1 or own:
        listed = ", ".join(about)
        why = f"{machine.nic} has settings of its own" if own else "there is more than one"
        note = f"{path} sets {listed} for cards that are not here, and {why}: look at it."
        return Mended(text, (), (note,) if about else ())
    return _renamed(text, lost[0], machine.nic, path)


def _mentions(text: str, names: Iterable[str]) -> bool:
    return any(_word(name).search(text) for name in names)


def _word(name: str) -> re.Pattern[str]:
    """The name of a card between anything but letters and digits: `_em0_`, `em0.100`."""
    return re.compile(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])", re.ASCII)


def _renamed(text: str, old: str, new: str, path: str) -> Mended:
    found = shvars.scan(rcconf.TOOL, text)
    pattern = _word(old)
    mended, notes = text, list[str]()
    for each in reversed(found.assignments):
        raw = text[each.start : each.end]
        if not pattern.search(raw):
            continue
        if not _ABOUT_CARDS.match(each.name):
            notes.append(f"{path} names {old} in {each.name} too: look at it.")
        elif _PRIVATE.search(raw):
            notes.append(f"{path} sets {each.name}, which seems to hold a secret: rename it there.")
        else:
            mended = mended[: each.start] + pattern.sub(new, raw) + mended[each.end :]
            if re.search(r"\bether\b", each.value or ""):
                notes.append(f"{path} gives {new} the hardware address that {old} was given.")
    unsure = sorted({name for name, _ in found.uncertain if pattern.search(name)})
    notes += [f"{path} sets {name} in a way that only sh can tell: look at it." for name in unsure]
    reasons = (f"The network card is {new} now, and was {old}.",) if mended != text else ()
    return Mended(mended, reasons, tuple(reversed(notes)))


def with_pools(text: str, others: Mapping[str, str | None]) -> Mended:
    """Return rc.conf with `zfs_enable` set; without it only the root is mounted at the start."""
    known = {**others, **rcconf.values(text)}
    if (known.get("zfs_enable") or "").lower() in ("yes", "true", "on", "1"):
        return Mended(text)
    changed = rcconf.edit(text, {"zfs_enable": "YES"})
    return Mended(changed, ("Without zfs_enable only the root file system is mounted.",))
