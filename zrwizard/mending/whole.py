"""All files of a restored system together: what is to be changed, and what is only said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from zrwizard.freebsd import fstab, loaderconf, rcconf, ttys
from zrwizard.freebsd.errors import ParseError
from zrwizard.mending import console, dump, loader, network, table
from zrwizard.mending.found import Mended
from zrwizard.plan import Mend

_V = TypeVar("_V")
LOADER_LOCAL = "/boot/loader.conf.local"
PATHS = (fstab.PATH, loaderconf.PATH, LOADER_LOCAL, rcconf.PATH, rcconf.LOCAL, ttys.PATH)
"""The files that are read, as the restored system names them."""
CACHES = ("/etc/zfs/zpool.cache", "/boot/zfs/zpool.cache")
"""Where FreeBSD remembers its pools; the first since 13."""

IDENTITIES = ("/etc/hostid", "/etc/machine-id")
"""What a machine is known by; a system without them makes itself new ones (rc.d/hostid)."""


@dataclass(frozen=True, slots=True)
class Change:
    """The file `path` is `was` and should be `text`, because of `reasons`."""

    path: str
    was: str
    text: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What should be changed, what is to be looked at by a person, and the cards that are gone."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    lost_cards: tuple[str, ...] = ()


def propose(seen: Mapping[str, str | None], machine: Mend) -> Proposal:
    """Return what the files `seen` need on `machine`: texts by path, None for one that is no text.

    A file that cannot be read is said.
    """
    changes, notes = list[Change](), list[str]()
    files = {path: text for path, text in seen.items() if text is not None}
    notes += [
        f"{path} is left as it is: it is no UTF-8 text." for path in seen if seen[path] is None
    ]
    both = (rcconf.PATH, rcconf.LOCAL)
    lost = network.lost_cards([_settings(rcconf.values, files, p) for p in both], machine)
    for path, text in files.items():
        try:
            made = _rule(path, files, lost)(text, machine)
        except (ParseError, ValueError) as error:
            notes.append(f"{path} is left as it is, since it cannot be read: {error}.")
            continue
        if made.text != text:
            changes.append(Change(path, text, made.text, made.reasons))
        notes += made.notes
    notes += [
        f"There is no {path}: this is no usual system."
        for path in (fstab.PATH, rcconf.PATH)
        if path not in seen
    ]
    return Proposal(tuple(changes), tuple(notes), lost)


def _settings(
    values: Callable[[str], Mapping[str, _V]], files: Mapping[str, str], path: str
) -> Mapping[str, _V]:
    """Return what a file sets; nothing where it cannot be read: that is told where it is mended."""
    try:
        return values(files.get(path, ""))
    except ParseError:
        return {}


def _rule(
    path: str, files: Mapping[str, str], lost: tuple[str, ...]
) -> Callable[[str, Mend], Mended]:
    def loader_conf(text: str, machine: Mend) -> Mended:
        local = _settings(loaderconf.values, files, LOADER_LOCAL)
        return loader.mend(text, machine).then(lambda text: console.loader(text, machine, local))

    def rc_conf(text: str, machine: Mend) -> Mended:
        made = network.mend(text, machine, lost, path)
        made = made.then(lambda text: dump.mend(text, machine, path))
        if path != rcconf.PATH:
            return made
        local = _settings(rcconf.values, files, rcconf.LOCAL)
        return made.then(lambda text: network.with_pools(text, local))

    if path == fstab.PATH:
        return table.mend
    if path == LOADER_LOCAL:
        return loader.mend
    if path == loaderconf.PATH:
        return loader_conf
    if path == ttys.PATH:
        return console.terminals
    return rc_conf
