"""The checks after which a restore counts as good: each reads what really lies on the disks.

Nothing is taken from what an earlier step said of itself. The restored system is still mounted
read-only here, so that boot code can be compared with its own files.
"""

from __future__ import annotations

from zrwizard.flows import boot_steps, firmware_steps, geli_steps, shtext
from zrwizard.flows.choices import Choices
from zrwizard.flows.pool_steps import ALTROOT, snapshots_are_there, vdevs_are_there
from zrwizard.freebsd import sh, zfs, zpool, zpool_features
from zrwizard.plan import Command, Phase, Step

_BOOT = f"{ALTROOT}/boot"
_BIOS_READERS, _EFI_READERS = ("gptzfsboot", "loader"), ("loader.efi",)
"""The programs of /boot that read a pool, each with its own list of the features that it knows."""


def proof_steps(choices: Choices) -> tuple[Step, ...]:
    """Return the checks, in the order in which a machine starts; all of them only look."""
    return (
        _prove(choices, "next", *_next_backup(choices)),
        _prove(
            choices,
            "snapshots",
            "Every snapshot is there with the server's guid",
            "The same guid is the same snapshot.",
            snapshots_are_there(choices),
        ),
        _prove(
            choices,
            "table",
            "The partition table is as planned",
            "Firmware and loader find their parts by it.",
            _rows(choices),
        ),
        *_boot_code(choices),
        *(_firmware(choices) if firmware_steps.has_list(choices) else ()),
        *(_geli(choices) if choices.encrypted else ()),
        _prove(choices, "features", *_features(choices)),
        _prove(
            choices,
            "bootfs",
            "The pool starts from a file system that exists",
            "Else the loader finds nothing.",
            _bootfs(choices),
        ),
        _prove(
            choices,
            "system",
            "It has a kernel, and the loader that starts it",
            "A tree without them was no boot environment, or came incompletely.",
            _system(choices),
        ),
        _prove(
            choices,
            "mounts",
            "Nothing else wants to be mounted at /, and nothing lies over the live system",
            "A second file system at / hides the restored one as soon as it is up.",
            _mounts(choices),
        ),
        _prove(
            choices,
            "health",
            "The pool is online without errors",
            "A pool with errors would be no restore.",
            _health(choices),
        ),
        *_vdevs(choices),
    )


def _prove(choices: Choices, id: str, title: str, why: str, text: str) -> Step:
    return Step(
        id=f"prove-{id}",
        phase=Phase.PROOF,
        title=title,
        why=why,
        action=Command(text, timeout=1800),
        look=shtext.finished(choices.home),
    )


def _next_backup(choices: Choices) -> tuple[str, str, str]:
    """From the newest snapshot of each dataset to what it holds now, as zfs-send(8) plans it.

    A file system in the place of a second snapshot is planned without one, so nothing is made.
    """
    pool, rows = choices.pool, sh.quote(f"{choices.home}/newest")
    listed = sh.command(
        "zfs", "list", "-H", "-r", "-t", "snapshot", "-s", "createtxg", "-o", "encryption,name"
    )
    # Of the rows of a dataset, sorted by age, the last one stays.
    newest = (
        '{ d = $2; sub(/@.*/, "", d); e[d] = $1; s[d] = $2 } '
        'END { for (d in s) printf "%s\\t%s\\n", e[d], s[d] }'
    )
    text = shtext.lines(
        f"{listed} {sh.quote(pool)} | awk -F '\\t' {sh.quote(newest)} > {rows} || exit 1",
        "n=0 bad=0",
        "t=$(printf '\\t')",
        "while IFS=$t read -r e s; do",
        "  n=$((n + 1)) w=",
        # What is encrypted has no key here, and is backed up as it lies on disk.
        '  case "$e" in off | -) ;; *) w=-w ;; esac',
        '  zfs send -n ${w:+"$w"} -i "$s" "${s%@*}" >/dev/null || bad=1',
        f"done < {rows}",
        f"rm -f {rows}",
        '[ "$bad" = 0 ] || '
        + shtext.refuse("The next incremental backup would fail for the datasets named above."),
        f'[ "$n" -gt 0 ] || {shtext.refuse(f"{pool} has no snapshot to go on from.")}',
        "printf 'From the newest snapshot of each of %s datasets a backup can go on.\\n' \"$n\"",
    )
    title = "The next incremental backup can go on from here"
    return title, "A chain that breaks is noticed now, and not at the next disaster.", text


def _rows(choices: Choices) -> str:
    return shtext.lines(
        *(
            f"{shtext.has_row(place.disk.name, entry)} || "
            + shtext.refuse(
                f"{choices.titled(f'Partition {entry.index}', place)} is not as planned."
            )
            for place in choices.every
            for entry in place.entries
        )
    )


def _boot_code(choices: Choices) -> list[Step]:
    """One step for each disk: a machine must start from any of them."""
    found = []
    for place in choices.every:
        name = place.disk.name
        parts = []
        if choices.bios:
            parts.append(
                f"( {boot_steps.boot_code_proof(choices, place)} ) || "
                + shtext.refuse(f"The BIOS boot code on {name} is not that of the restored system.")
            )
        if choices.uefi:
            parts.append(
                f"( {boot_steps.efi_loader_proof(choices, place)} ) || "
                + shtext.refuse(f"The EFI loader on {name} is not that of the restored system.")
            )
        found.append(
            _prove(
                choices,
                choices.step_id("boot", place),
                choices.titled("What the firmware reads is the restored system's", place, "on"),
                "It is compared byte by byte with its own files.",
                shtext.lines(*parts),
            )
        )
    return found


def _firmware(choices: Choices) -> tuple[Step, ...]:
    return (
        _prove(
            choices,
            "firmware",
            "What the firmware will start",
            "It is said and not demanded: not every firmware keeps its list.",
            firmware_steps.entries_told(choices),
        ),
    )


def _geli(choices: Choices) -> tuple[Step, ...]:
    return (
        _prove(
            choices,
            "geli",
            "Loader and kernel will ask for the passphrase",
            "Without these flags an encrypted disk is left alone at the start.",
            shtext.lines(
                geli_steps.proof_of_flags(choices),
                f"{geli_steps.LOADS_GELI} || "
                + shtext.refuse(
                    "The restored /boot/loader.conf does not load geli: its kernel could not "
                    'open the disk. It needs the line geom_eli_load="YES".'
                ),
            ),
        ),
    )


def _features(choices: Choices) -> tuple[str, str, str]:
    """Each program's list is found in the program itself: names with a colon, as in the pool."""
    pool = choices.pool
    active = (
        f'{zpool_features.get(pool)} | awk \'$1 ~ /^feature@/ && $2 == "active" '
        '{ sub(/^feature@/, "", $1); print $1 }\''
    )
    needed = "|".join(zpool_features.NEEDED_TO_READ)
    readers = (*_BIOS_READERS * choices.bios, *_EFI_READERS * choices.uefi)
    text = shtext.lines(
        f"a=$({active})",
        f'[ -n "$a" ] || {shtext.refuse(f"The features of {pool} cannot be read.")}',
        "bad=0",
        f"r={sh.quote(' '.join(readers))}",
        "for b in $r; do",
        f'  [ -r {_BOOT}/"$b" ] || continue',
        # In a locale of UTF-8, tr(1) and grep(1) refuse bytes that are no letters.
        f"  k=$(LC_ALL=C tr -c '[:print:]' '\\n' < {_BOOT}/\"$b\" | "
        "LC_ALL=C grep -E '[a-z]:[a-z0-9_]+$')",
        '  case "$k" in',
        "    *:hole_birth*) ;;",
        "    *) printf 'No list of features was found in /boot/%s.\\n' \"$b\"; continue ;;",
        "  esac",
        "  for f in $a; do",
        f'    case "$f" in {needed}) ;; *) continue ;; esac',
        '    printf \'%s\\n\' "$k" | grep -q ":$f\\$" && continue',
        "    bad=1",
        f"    printf 'The pool {pool} uses %s, which /boot/%s of the restored system cannot "
        'read.\\n\' "$f" "$b" >&2',
        "  done",
        "done",
        '[ "$bad" = 0 ] || '
        + shtext.refuse(
            "It would not start from this pool. Start a new run, with the release that is "
            "restored (source.release), so that the pool is made for its loader."
        ),
    )
    title = "The restored system's loader reads every feature that the pool uses"
    return title, "A loader that is older than the pool's features finds no pool at all.", text


def _bootfs(choices: Choices) -> str:
    name, pool = boot_steps.boot_environment(choices), choices.pool
    point = sh.same_text(zfs.get_value(name, "mountpoint"), ALTROOT)
    return shtext.lines(
        f"{sh.same_text(zpool.get_property(pool, 'bootfs'), name)} || "
        + shtext.refuse(f"The pool does not start from {name}."),
        f"{sh.same_text(zfs.get_value(name, 'type'), 'filesystem')} || exit 1",
        # Below an altroot, a mountpoint of / reads as the altroot itself.
        f"{point} || " + shtext.refuse(f"The mountpoint of {name} is not /."),
    )


def _system(choices: Choices) -> str:
    """loader.conf(5) may name another kernel than /boot/kernel; gptzfsboot starts /boot/loader."""
    mounted = sh.same_text(zfs.get_value(boot_steps.boot_environment(choices), "mounted"), "yes")
    loaders = f"[ -s {_BOOT}/loader ] || [ -s {_BOOT}/zfsloader ]"
    missing = "The restored system has no /boot/loader, which gptzfsboot starts"
    bios = (
        shtext.refuse(f"{missing}.")
        if choices.bios_needed
        else f"printf '%s\\n' {sh.quote(f'{missing}: only UEFI starts it.')}"
    )
    return shtext.lines(
        f"{mounted} || {shtext.refuse('The restored system is not mounted, so nothing was seen.')}",
        "k=$(sed -n 's/^[[:space:]]*kernel=\"\\{0,1\\}\\([^\" #]*\\).*/\\1/p' "
        f"{_BOOT}/loader.conf 2>/dev/null | tail -n 1)",
        # It may be a directory of /boot, or a path.
        'case "$k" in',
        "  /*) k=${k#/} ;;",
        "  *) k=boot/${k:-kernel} ;;",
        "esac",
        f'[ ! -d {ALTROOT}/"$k" ] || k=$k/kernel',
        f'[ -s {ALTROOT}/"$k" ] || [ -s {ALTROOT}/"$k.gz" ] || '
        "{ printf 'The restored system has no kernel: /%s is missing or empty.\\n' "
        '"$k" >&2; exit 1; }',
        *([f"{loaders} || {bios}"] * choices.bios),
        f"[ -e {ALTROOT}/etc/fstab ] || "
        "printf 'The restored system has no /etc/fstab: no swap, no EFI partition.\\n'",
    )


def _mounts(choices: Choices) -> str:
    name, pool = boot_steps.boot_environment(choices), choices.pool
    rivals = (
        f'$1 == "on" && $2 == "{ALTROOT}" && $3 != n '
        '{ printf "%s would be mounted at / by itself. Type: zfs set canmount=noauto %s\\n", '
        "$3, $3; bad = 1 } END { exit bad }"
    )
    listed = sh.command(
        "zfs", "list", "-H", "-r", "-t", "filesystem", "-o", "canmount,mountpoint,name", pool
    )
    ours, inside = (sh.quote(p) for p in (f"^{pool.replace('.', '[.]')}[/ ]", f" {ALTROOT}(/.*)?$"))
    return shtext.lines(
        f"{listed} | awk -F '\\t' -v n={sh.quote(name)} {sh.quote(rivals)} >&2 || exit 1",
        f"o=$(zfs mount | grep -E {ours} | grep -Ev {inside})",
        f'[ -z "$o" ] || {{ printf \'Mounted outside %s:\\n%s\\n\' {ALTROOT} "$o" >&2; exit 1; }}',
    )


def _health(choices: Choices) -> str:
    pool = choices.pool
    return shtext.lines(
        f"{zpool.status(pool)} | grep -q '^ *state: ONLINE$' || "
        + shtext.refuse(f"The pool {pool} is not ONLINE."),
        f"{zpool.status(pool)} | grep -q '^errors: No known data errors$' || "
        + shtext.refuse(f"The pool {pool} has data errors: see zpool status -v {pool}."),
    )


def _vdevs(choices: Choices) -> tuple[Step, ...]:
    if not choices.several:
        return ()
    return (
        _prove(
            choices,
            "vdevs",
            f"The pool lies over its disks as planned ({choices.shape})",
            "A disk that is missing from the pool would be missed only when another fails.",
            vdevs_are_there(choices),
        ),
    )
