"""loader.conf(5) of a restored system: the root that it mounts, and keys that are no more."""

from __future__ import annotations

import re
from collections.abc import Mapping

from zrwizard.freebsd import loaderconf
from zrwizard.mending.found import Mended, is_elsewhere
from zrwizard.plan import Mend

_ROOT = "vfs.root.mountfrom"
_LABELS = "kern.geom.label.gpt.enable"
_KEY_FILE = re.compile(r"geli_(\w+)_keyfile[0-9]+_(?:load|type|name)", re.ASCII)


def mend(text: str, machine: Mend) -> Mended:
    """Return the settings that fit the new disk. Raises `ParseError`."""
    known = loaderconf.values(text)
    changes: dict[str, str | None] = {}
    reasons = list[str]()
    root = known.get(_ROOT)
    if root is not None and root != f"zfs:{machine.boot}":
        changes[_ROOT] = f"zfs:{machine.boot}"
        reasons.append(f"The kernel would mount {root}, and {machine.boot} is to be started.")
    if known.get(_LABELS) == "0":
        changes[_LABELS] = None
        reasons.append("It hides the GPT labels, by which swap and EFI partition are found.")
    keys = _lost_keys(known, machine)
    changes |= dict.fromkeys(keys)
    if keys:
        reasons.append("It loads geli keys of partitions that are not there any more.")
    return Mended(loaderconf.edit(text, changes), tuple(reasons))


def _lost_keys(known: Mapping[str, str], machine: Mend) -> tuple[str, ...]:
    """Return the settings of key files whose provider is not here.

    The `type` names it, as `ada0p4:geli_keyfile0`; without one it is the word in the names.
    """
    named = {
        found[1]: value.partition(":")[0]
        for name, value in known.items()
        if (found := _KEY_FILE.fullmatch(name)) and name.endswith("_type")
    }
    return tuple(
        name
        for name in sorted(known)
        if (found := _KEY_FILE.fullmatch(name))
        and not is_elsewhere(f"/dev/{named.get(found[1], found[1])}", machine)
    )
