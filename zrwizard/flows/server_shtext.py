"""Looks, guards and proofs of `server` as POSIX sh text; what they share with `restore` is there.

Status 0 is yes, a sentence on stderr says why not. Only `zrwizard.freebsd.sh` quotes.
"""

from __future__ import annotations

from zrwizard.flows import sealing, shtext
from zrwizard.flows.server_choices import Vessel
from zrwizard.freebsd import dd, geli, gpart, sh, zpool

READ_MIB = 256
READ_SECONDS = 90


# --- the encrypted disk ---------------------------------------------------------------------------


def is_attached(vessel: Vessel) -> str:
    """Succeeds if the encrypted provider is open."""
    return sh.exists(f"/dev/{vessel.device}")


def _providers(vessel: Vessel) -> str:
    """Case patterns of everything on the disk that geli may have opened, under any name."""
    name = vessel.disk.name
    words = [f"{name}.eli", *(label for label in sorted(_labels(vessel)))]
    patterns = [*map(sh.quote, words), f"{name}[ps][0-9]*.eli"]
    if vessel.disk.disk.ident:
        patterns.append(sh.quote(f"diskid/DISK-{vessel.disk.disk.ident}") + "*.eli")
    return "|".join(patterns)


def _labels(vessel: Vessel) -> set[str]:
    known = {e.label for e in vessel.disk.table.entries if e.label} if vessel.disk.table else set()
    return {f"gpt/{label}.eli" for label in (*known, vessel.part) if label}


def nothing_attached(vessel: Vessel) -> str:
    """Leaves with 1 if anything on the disk is still open, under whatever name."""
    say = "printf '%s is still open: its key is in the memory of that machine.\\n' \"$a\" >&2"
    return (
        f"{geli.status()} 2>/dev/null | while read -r a _; do\n"
        '  case "$a" in\n'
        f"    {_providers(vessel)}) {say}; exit 1 ;;\n"
        "  esac\n"
        "done || exit 1\n"
        f"if {is_attached(vessel)}; then "
        + shtext.refuse(f"/dev/{vessel.device} is still there.")
        + "; fi"
    )


def is_sealed(vessel: Vessel) -> str:
    """Succeeds if the provider carries geli metadata, readable or not by our key."""
    return sealing.is_sealed(vessel.provider)


def has_no_seal(vessel: Vessel) -> str:
    """Leaves with 1 if the provider carries geli metadata already."""
    return sealing.has_no_seal(vessel.provider)


def is_sealed_as_planned(vessel: Vessel) -> str:
    """Succeeds if the provider carries geli metadata with the parameters that this plan gives.

    Only metadata that appeared since the step began are looked at, for its guard refuses others.
    """
    return sealing.has_metadata(vessel.provider, {"iterations": "-1"})


def has_metadata(vessel: Vessel, home: str) -> str:
    """Succeeds if the provider's geli metadata are those that are kept beside the keys."""
    copy = f"{home}/geli.now"
    path = sh.quote(copy)
    return shtext.lines(
        f"rm -f {path}",
        f"{geli.backup(vessel.provider, copy)} || exit 1",
        f"s=$(cksum < {path})",
        f"rm -f {path}",
        f'[ "$s" = {sh.quote(vessel.metadata)} ]',
    )


# --- the pool -----------------------------------------------------------------------------------


def is_imported(pool: str) -> str:
    """Succeeds if a pool of that name is imported."""
    return f"zpool list -H -o name {sh.quote(pool)} >/dev/null 2>&1"


def not_imported(pool: str) -> str:
    """Leaves with 1 if a pool of that name is imported, or if nobody can tell."""
    return shtext.lines(
        "l=$(zpool list -H -o name) || " + shtext.refuse("The pools could not be listed."),
        f"if printf '%s\\n' \"$l\" | grep -qxF {sh.quote(pool)}; then "
        + shtext.refuse(f"The pool {pool} is still imported.")
        + "; fi",
    )


def lies_on(vessel: Vessel) -> str:
    """Succeeds if the imported pool is online and lies on the disk that was chosen."""
    pool = vessel.pool
    words = [f"/dev/{vessel.device}"]
    if vessel.entry is not None and not vessel.encrypted:
        words.append(f"/dev/{gpart.partition(vessel.disk.name, vessel.entry.index)}")
    listed = " || ".join(f'$1 == "{word}"' for word in words)
    program = f"{listed} {{ here = 1 }} END {{ exit !here }}"
    return shtext.lines(
        f"{zpool.status(pool)} 2>/dev/null | awk {sh.quote(program)} || "
        + shtext.refuse(f"The imported pool {pool} does not lie on {vessel.device}."),
        f"{sh.same_text(sh.command('zpool', 'list', '-H', '-o', 'health', pool), 'ONLINE')} || "
        + shtext.refuse(f"The pool {pool} is not ONLINE."),
    )


def closed(vessel: Vessel) -> str:
    """Leaves with 1 unless the pool is exported and, of a vault, nothing of the disk is open."""
    texts = [not_imported(vessel.pool)]
    if vessel.encrypted:
        texts.append(nothing_attached(vessel))
    return shtext.lines(*texts)


# --- how fast -----------------------------------------------------------------------------------

# `N bytes transferred in S secs (R bytes/sec)`; GNU's dd says `copied, S s,`.
_RATE = (
    "/ bytes / { n = $1; for (i = 3; i <= NF; i++) if ($i ~ /^s(ecs|,|$)/) t = $(i - 1) } "
    'END { if (n > 0) printf "%.0f\\n", n / (t > 0.000001 ? t : 0.000001) }'
)
_MEGABYTES = 'BEGIN { printf "%.1f", r / 1000000 }'


def measure(device: str, path: str) -> str:
    """Reads a bounded part of /dev/`device`, and writes bytes per second into the file `path`.

    0 stands for a disk that did not give them in time. Leaves with dd's status where it failed.
    """
    read = sh.timeout(READ_SECONDS, dd.read(device, READ_MIB))
    return shtext.lines(
        f"o=$({read} 2>&1)",
        "s=$?",
        'if [ "$s" -ne 0 ] && [ "$s" -ne 124 ]; then printf \'%s\\n\' "$o" >&2; exit "$s"; fi',
        f"r=$(printf '%s\\n' \"$o\" | awk {sh.quote(_RATE)})",
        f"printf '%s\\n' \"${{r:-0}}\" > {sh.quote(path)} || exit 1",
        'if [ "${r:-0}" = 0 ]; then',
        f"  printf '%s\\n' 'It did not give {READ_MIB} MiB within {READ_SECONDS} seconds.'",
        "else",
        "  printf 'It is read at %s MB per second.\\n' "
        f'"$(awk -v r="$r" {sh.quote(_MEGABYTES)})"',
        "fi",
    )


_LOSS = (
    "BEGIN { if (b <= 0 || a <= 0) "
    'print "The speed could not be compared: one of the two is not known."; '
    'else if (a >= b) print "Encryption costs no speed that could be measured."; '
    'else printf "Encryption costs %.1f percent of the speed.\\n", 100 * (1 - a / b) }'
)


def compare(before: str, after: str) -> str:
    """Prints the loss between two measured speeds in percent."""
    return (
        f'awk -v b="$(cat {sh.quote(before)} 2>/dev/null)" '
        f'-v a="$(cat {sh.quote(after)})" {sh.quote(_LOSS)}'
    )


# --- nothing of the key ---------------------------------------------------------------------------

_HAS_KEY = "NR == 1 { k = $0; next } index($0, k) { found = 1; exit } END { exit !found }"


def key_is_nowhere(places: tuple[str, ...], home: str) -> str:
    """Leaves with 1 if a file below `places` holds the line that stands on standard input.

    The key stays in this shell's memory: printf is a builtin, and awk reads it from a pipe. The
    list of the files lies in `home`, which is one of them: so a search that missed it failed.
    """
    where = " ".join(map(sh.quote, places))
    names = sh.quote(f"{home}/files")
    return shtext.lines(
        "IFS= read -r k || exit 1",
        '[ "${#k}" -ge 32 ] || ' + shtext.refuse("No key came in to be searched for."),
        f"find {where} -xdev -type f > {names} 2>/dev/null",
        f"grep -qxF {names} {names} || " + shtext.refuse("The files could not be listed."),
        "while IFS= read -r f; do",
        # Who runs the exported script keeps the key in a file of that name himself.
        '  [ "$f" != "${ZR_GELI_KEY:-}" ] || continue',
        # awk takes a NUL for the end of a line, and would not see what stands behind it.
        "  if { printf '%s\\n' \"$k\"; tr -d '\\000' < \"$f\"; } 2>/dev/null | "
        f"LC_ALL=C awk {sh.quote(_HAS_KEY)}; then",
        "    printf 'The key lies in the file %s.\\n' \"$f\" >&2",
        "    exit 1",
        "  fi",
        f"done < {names}",
        f"rm -f {names}",
    )
