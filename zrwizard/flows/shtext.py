"""Looks, guards and proofs as POSIX sh text: status 0 is yes, a sentence on stderr says why not.

Only `zrwizard.freebsd.sh` quotes; what is written here by hand holds no value from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zrwizard.facts import DiskFacts
from zrwizard.freebsd import cksum, diskinfo, gpart, sh, zpool
from zrwizard.freebsd.gpart import Entry
from zrwizard.plan import Identity


def refuse(sentence: str) -> str:
    """Return a group that says `sentence` on stderr and leaves with status 1."""
    return f"{{ printf '%s\\n' {sh.quote(sentence)} >&2; exit 1; }}"


def lines(*texts: str) -> str:
    """Return the commands on lines of their own."""
    return "\n".join(texts)


def same_file_text(path: str, content: str) -> str:
    """Succeeds if the file at `path` holds exactly `content`."""
    return sh.same_text(f"cksum 2>/dev/null < {sh.quote(path)}", str(cksum.of(content.encode())))


# --- the disk -----------------------------------------------------------------------------------


def is_disk(identity: Identity) -> str:
    """Leaves with 1 unless the disk has the plan's serial number and size in bytes."""
    size = diskinfo.info(identity.name)
    wrong_size = (
        f"{{ printf '%s has %s bytes, not %s.\\n' {sh.quote(identity.name)} \"${{n:-no}}\" "
        f"{identity.size} >&2; exit 1; }}"
    )
    texts = [f'n=$({size} | cut -f 3)\n[ "$n" = {identity.size} ] || {wrong_size}']
    if identity.serial is not None:
        serial = sh.quote(identity.serial)
        texts.append(
            f"s=$({diskinfo.ident(identity.name)})\n"
            f'[ "$s" = {serial} ] || {{ printf '
            "'%s has the serial number %s, not %s.\\n' "
            f'{sh.quote(identity.name)} "${{s:-(none)}}" {serial} >&2; exit 1; }}'
        )
    return lines(*texts)


def contents_of(disk: str) -> str:
    """Prints the checksum of the disk's table, that of nothing where it has none."""
    return f"{gpart.backup(disk)} 2>/dev/null | cksum"


def holds_what_was_seen(identity: Identity) -> str:
    """Leaves with 1 unless the disk's table is the one that the survey saw."""
    return f"{sh.same_text(contents_of(identity.name), identity.contents)} || " + refuse(
        f"{identity.name} holds another partition table than at the time of the review."
    )


def has_changed(identity: Identity) -> str:
    """Succeeds if the disk's table is another than the survey saw."""
    return f'[ "$({contents_of(identity.name)})" != {sh.quote(identity.contents)} ]'


def has_no_table(disk: str) -> str:
    """Leaves with 1 if the disk has a partition table."""
    return f'[ -z "$({gpart.backup(disk)} 2>/dev/null)" ] || ' + refuse(
        f"{disk} holds a partition table that this plan did not make."
    )


def _row(entry: Entry) -> str:
    return f"{entry.index} {entry.type} {entry.start} {entry.sectors} {entry.label}"


def only_rows(disk: str, entries: Iterable[Entry]) -> str:
    """Succeeds if every row of the disk's table is one of `entries`; `read` takes any alignment."""
    ours = "|".join(sh.quote(_row(entry)) for entry in entries)
    return (
        f"{gpart.backup(disk)} 2>/dev/null | while read -r i t s z l _; do\n"
        '  case "$i $t $s $z $l" in\n'
        '    "GPT "*) ;;\n'
        f"    {ours}) ;;\n"
        f"    *) printf '%s holds a row that this plan does not make: %s\\n' {sh.quote(disk)} "
        '"$i $t $s $z $l" >&2; exit 1 ;;\n'
        "  esac\n"
        "done"
    )


def has_row(disk: str, entry: Entry) -> str:
    """Succeeds if the disk's table has exactly this row."""
    pattern = " +".join(map(_literal, _row(entry).split(" ")))
    return f"{gpart.backup(disk)} 2>/dev/null | grep -Eq {sh.quote(f'^ *{pattern}( |$)')}"


def _literal(word: str) -> str:
    """`word` for an extended regular expression."""
    return "".join(c if c.isalnum() or c in "_-" else f"[{c}]" for c in word)


def in_no_other_pool(disk: DiskFacts, labels: Iterable[str], pool: str | None = None) -> str:
    """Leaves with 1 if an imported pool other than `pool` lies on the disk.

    `labels` are the GPT labels that the plan gives; those that the disk has count as well.
    """
    name = disk.name
    known = {entry.label for entry in disk.table.entries if entry.label} if disk.table else set()
    words = [f"/dev/{name}", f"/dev/{name}.eli"]
    plain = {f"/dev/gpt/{label.removesuffix('.eli')}" for label in known | set(labels)}
    words += sorted(plain | {f"{name}.eli" for name in plain})
    patterns = "|".join([*map(sh.quote, words), f"/dev/{name}[ps][0-9]*"])
    if disk.disk.ident:
        patterns += "|" + sh.quote(f"/dev/diskid/DISK-{disk.disk.ident}") + "*"
    but = f'[ "$p" = {sh.quote(pool)} ] || ' if pool else ""
    say = 'printf \'%s belongs to the imported pool %s.\\n\' "$a" "$p" >&2; exit 1;'
    return (
        f"{zpool.status()} 2>/dev/null | while read -r a b _; do\n"
        '  case "$a" in\n'
        "    pool:) p=$b ;;\n"
        f"    {patterns}) {but}{{ {say} }} ;;\n"
        "  esac\n"
        "done || exit 1"
    )


# --- the pool -----------------------------------------------------------------------------------


def mark(token: str) -> str:
    """Return the comment that marks a pool as made by the run with this token."""
    return f"zrwizard-{token}"


def pool_is_ours(pool: str, token: str) -> str:
    """Succeeds if the imported pool carries this run's mark."""
    return f"{sh.same_text(zpool.get_property(pool, 'comment') + ' 2>/dev/null', mark(token))}"


def must_be_ours(pool: str, token: str) -> str:
    """Leaves with 1 unless the imported pool carries this run's mark."""
    return f"{pool_is_ours(pool, token)} || " + refuse(
        f"The imported pool {pool} is not the one that this run made."
    )


def has_vdevs(pool: str, aliases: Mapping[str, Iterable[str]], wanted: Iterable[str]) -> str:
    """Leaves with 1 unless the rows of `zpool status` are `wanted`: `NAME=STATE`, a bare heading.

    `aliases` are the names under which a device may be shown, by the name in `wanted`.
    """
    shown = lines(
        '$1 == "config:" { on = 1; next }',
        '$1 == "errors:" { on = 0 }',
        *(
            f'$1 == "{alias}" {{ $1 = "{name}" }}'
            for name, found in aliases.items()
            for alias in found
        ),
        'on && NF > 1 && $1 != "NAME" { printf "%s=%s ", $1, $2 }',
        'on && NF == 1 { printf "%s ", $1 }',
    )
    rows = " ".join(wanted)
    return lines(
        f"v=$({zpool.status(pool)} | awk {sh.quote(shown)})",
        f'[ "$v" = {sh.quote(f"{rows} ")} ] || {{ printf '
        "'The pool %s is not as planned: %sin place of %s.\\n' "
        f'{sh.quote(pool)} "$v" {sh.quote(rows)} >&2; exit 1; }}',
    )


def scan_for_ours(token: str) -> str:
    """Prints the id of the pool with this run's mark that could be imported."""
    found = f'$1 == "id:" {{ id = $2 }} $1 == "comment:" && $2 == "{mark(token)}" {{ print id }}'
    return f"{zpool.scan()} 2>/dev/null | awk {sh.quote(found)}"


def finished(home: str) -> str:
    """Succeeds once this run has begun to hand the pool over; nothing is done again after it."""
    return sh.exists(f"{home}/finished")


# --- boot code ----------------------------------------------------------------------------------


def _kept(folder: str, fallback: str | None, file: str) -> str:
    choose = f"b={sh.quote(folder)}"
    if fallback:
        choose += f'\n[ -r "$b/{file}" ] || b={sh.quote(fallback)}'
    return f'{choose}\n[ -r "$b/{file}" ] || exit 1'


def boot_code_is_there(disk: str, index: int, folder: str, fallback: str | None = None) -> str:
    """Succeeds if partition and protective MBR begin with the boot code files of `folder`.

    `fallback` is the folder that counts where `folder` has none. 440 bytes of the MBR are code.
    """
    part = sh.quote(f"/dev/{gpart.partition(disk, index)}")
    # Disks are read in whole sectors, and 8 times 64 KiB are the whole partition.
    return lines(
        _kept(folder, fallback, "gptzfsboot"),
        "n=$(wc -c < \"$b/gptzfsboot\" | tr -d ' ')",
        f'[ "$(dd if={part} bs=64k count=8 2>/dev/null | head -c "$n" | cksum)" = '
        '"$(cksum < "$b/gptzfsboot")" ] || exit 1',
        f'[ "$(dd if={sh.quote(f"/dev/{disk}")} bs=512 count=1 2>/dev/null | head -c 440 | cksum)"'
        ' = "$(head -c 440 "$b/pmbr" | cksum)" ]',
    )


def loader_is_there(device: str, point: str, folder: str, fallback: str | None = None) -> str:
    """Succeeds if the EFI partition holds the loader.efi of `folder` (or of `fallback`)."""
    at = sh.quote(point)
    return lines(
        _kept(folder, fallback, "loader.efi"),
        f"umount {at} 2>/dev/null",
        f"mkdir -p {at} || exit 1",
        f"mount -t msdosfs {sh.quote(device)} {at} || exit 1",
        f'[ "$(cksum < {at}/EFI/BOOT/BOOTX64.EFI)" = "$(cksum < "$b/loader.efi")" ]',
        "r=$?",
        f"umount {at} || exit 1",
        'exit "$r"',
    )
