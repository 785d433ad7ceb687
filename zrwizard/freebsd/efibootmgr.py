"""efibootmgr(8): the firmware's own list of what it starts (facts C2; usr.sbin/efibootmgr)."""

from __future__ import annotations

from . import sh


def add(loader: str, label: str) -> str:
    """Command: an active entry for a file of a mounted EFI partition, before all others.

    Fails where the machine was not started by UEFI.
    """
    return sh.command("efibootmgr", "-a", "-c", "-l", loader, "-L", label)


def active_entry(disk: str, index: int) -> str:
    """Command: the active entries for the FreeBSD loader on a partition; fails where none is.

    An entry names a partition by the GUID that gpart shows as its `efimedia`.
    """
    media = f'$1 == "efimedia:" && index($2, "HD({index},GPT,") == 1'
    awk = sh.command("awk", media + ' { split($2, a, ","); print a[3] }')
    entry = '"Boot[0-9a-f]*[*] .*,GPT,$u,.*[/\\\\]FREEBSD[/\\\\]loader[.]efi"'
    return (
        f"{{ u=$({sh.command('gpart', 'list', disk)} 2>/dev/null | {awk}) && "
        f'[ -n "$u" ] && efibootmgr -v 2>/dev/null | grep -i {entry}; }}'
    )
