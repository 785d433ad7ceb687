"""rc.conf(5) of a restored system: the device that takes the memory of a kernel that crashed."""

from __future__ import annotations

from zrwizard.freebsd import rcconf
from zrwizard.mending.found import Mended, is_elsewhere
from zrwizard.plan import Mend

_NAME = "dumpdev"
_OFF = ("", "no", "none")


def mend(text: str, machine: Mend, path: str) -> Mended:
    """Return rc.conf with `dumpdev` at AUTO, the swap of fstab, where its device is no more.

    Where swap is to be encrypted it is said that a dump is not. Raises `ParseError`.
    """
    device = rcconf.values(text).get(_NAME)
    if device is None or device.lower() in _OFF:
        return Mended(text)
    open_ = (
        f"{path} has a kernel that crashes write its memory into swap, past the encryption: "
        f'{_NAME}="NO" keeps keys off the disk.'
    )
    notes = (open_,) if machine.seal else ()
    if not device.startswith("/dev/") or device in machine.swap or is_elsewhere(device, machine):
        return Mended(text, (), notes)
    reason = f"A kernel that crashes wrote its memory to {device}: it takes the swap of fstab now."
    return Mended(rcconf.edit(text, {_NAME: "AUTO"}), (reason,), notes)
