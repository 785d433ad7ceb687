"""Are two trees of datasets alike? Looked at with zfs(8) and by files, never with the product."""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote as quoted

from .forests import LAST, PASSPHRASE
from .machines import Guest

_OF_THE_COPY = frozenset({"snapshots_changed", "xattr"})
"""zfs(8) on Linux sets them by itself."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What is looked at; all names are relative to the root, which is ''.

    `snapshots` are (tag, guid) in their order by dataset; `settings` are what was set or received,
    by dataset and property; `roots` the encryption roots; `files` the digest of everything in the
    last snapshot of each file system.
    """

    kinds: dict[str, str]
    snapshots: dict[str, list[tuple[str, str]]]
    origins: dict[str, str]
    roots: dict[str, str]
    settings: dict[tuple[str, str], tuple[str, str]]
    files: dict[str, str]


def look(guest: Guest, root: str) -> Tree:
    """Look at everything below `root`."""
    rows = guest.lines(
        "zfs list -Hp -r -t filesystem,volume,snapshot -s createtxg "
        f"-o name,type,guid,origin,encryptionroot {root}",
        timeout=180,
    )
    kinds, origins, roots = {}, {}, {}
    snapshots: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        full, kind, guid, origin, key = row.split("\t")
        name, _, tag = _inside(full, root).partition("@")
        if kind == "snapshot":
            snapshots.setdefault(name, []).append((tag, guid))
            continue
        kinds[name] = kind
        if origin != "-":
            origins[name] = _inside(origin, root)
        if key != "-":
            roots[name] = _inside(key, root)
    return Tree(kinds, snapshots, origins, roots, _settings(guest, root), _files(guest, root))


def _inside(name: str, root: str) -> str:
    return name.removeprefix(root).removeprefix("/")


def _settings(guest: Guest, root: str) -> dict[tuple[str, str], tuple[str, str]]:
    text = guest.out(
        "zfs get -Hp -r -t filesystem,volume -s local,received -o name,property,value,source "
        f"all {root}",
        timeout=240,
    )
    # A value may hold line feeds and tabs: a row begins with a name and ends with a source.
    row = rf"({re.escape(root)}[^\t\n]*)\t([^\t\n]+)\t(.*?)\t(local|received)\n"
    found = {}
    for name, key, value, source in re.findall(rf"(?s)(?:^|(?<=\n)){row}", text):
        if key not in _OF_THE_COPY:
            found[_inside(name, root), key] = (value, source)
    return found


def _files(guest: Guest, root: str) -> dict[str, str]:
    script = f"""
    mkdir -p /run/w
    zfs list -H -o name,encryptionroot -t filesystem -r {root} | while IFS='\t' read -r name key; do
      [ "$key" != "$name" ] || [ "$(zfs get -H -o value keystatus "$name")" = available ] ||
        printf '%s\\n' {quoted(PASSPHRASE)} | zfs load-key "$name" >/dev/null || exit 1
      busybox mount -i -t zfs -o ro "$name@{LAST}" /run/w || exit 1
      printf '%s\\t%s\\n' "$(cd /run/w && tar -c . | sha256sum)" "$name"
      busybox umount /run/w || exit 1
    done"""
    rows = (row.split("\t") for row in guest.lines(script, timeout=240))
    return {_inside(name, root): digest for digest, name in rows}


def made_local(key: str, value: str, *, clone: bool) -> bool:
    """Whether zfs-receive(8) itself sets it on the copy, as it does with `zfs send -R` too."""
    return key in {"volsize", "keylocation"} or (clone and (key, value) == ("encryption", "off"))


def differences(source: Tree, copy: Tree) -> list[str]:
    """Everything in which `copy` is not what `source` was when it was sent, in words."""
    found = []
    for what in ("kinds", "snapshots", "origins", "roots", "files"):
        there, here = getattr(source, what), getattr(copy, what)
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                found.append(f"{what} of {name}: {there.get(name)} became {here.get(name)}")
    for (name, key), (value, _) in source.settings.items():
        got = copy.settings.get((name, key), ("not set", "-"))
        local = made_local(key, value, clone=name in copy.origins)
        if got != (value, "local" if local else "received"):
            found.append(f"{key} of {name}: {value!r} became {got}")
    for (name, key), got in copy.settings.items():
        if (name, key) in source.settings:
            continue
        if not made_local(key, got[0], clone=name in copy.origins):
            found.append(f"{key} of {name}: it was not set, and became {got}")
    return found
