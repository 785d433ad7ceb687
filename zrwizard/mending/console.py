"""The serial line of a machine, in loader.conf(5) and ttys(5) of what is restored on it."""

from __future__ import annotations

from collections.abc import Mapping

from zrwizard.freebsd import loaderconf, ttys
from zrwizard.mending.found import Mended
from zrwizard.plan import Mend

_SERIAL = ("comconsole", "eficom")


def loader(text: str, machine: Mend, local: Mapping[str, str]) -> Mended:
    """Return loader.conf with the serial console; as it is where it, or `local`, has one.

    `local` is what loader.conf.local sets, which counts more. Raises `ParseError`.
    """
    known = {**loaderconf.values(text), **local}
    if not machine.serial or _speaks(known):
        return Mended(text)
    changes = {name: value for name, value in machine.console if known.get(name) != value}
    reason = (
        f"Loader and kernel would say nothing on {machine.serial}, the console of this machine."
    )
    return Mended(loaderconf.edit(text, changes), (reason,))


def _speaks(known: Mapping[str, str]) -> bool:
    """Whether loader or kernel use the serial line, alone or beside the screen."""
    named = known.get("console", "").replace(",", " ").split()
    flags = (known.get(name, "").lower() for name in ("boot_serial", "boot_multicons"))
    return any(name in _SERIAL for name in named) or any(flag in ("yes", "1") for flag in flags)


def terminals(text: str, machine: Mend) -> Mended:
    """Return ttys as it is, and a note where nobody can log in on the serial line.

    It may have been switched off on purpose. Raises `ParseError`.
    """
    rows = [row for row in ttys.parse(text) if row.name == machine.serial]
    if not machine.serial or any(
        {"on", "onifconsole", "onifexists"} & {*row.words} for row in rows
    ):
        return Mended(text)
    how = "switches it off" if rows else "does not name it"
    note = f"No login prompt will come on {machine.serial} after the start: {ttys.PATH} {how}."
    return Mended(text, (), (note,))
