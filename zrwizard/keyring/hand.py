"""How to use a backup server by hand, without zrwizard: for the sheet and the bundle's README.

Plain ASCII, so that any printer and any console shows it. A line that begins with four blanks is
typed, everything else is a paragraph; nothing in here is a secret.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from zrwizard.freebsd import sshd
from zrwizard.keyring.sshconfig import alias
from zrwizard.keyring.store import (
    ESCROW_AGE,
    ESCROW_ENC,
    GELI_KEY,
    METADATA,
    PLAIN,
    SSH_CONFIG,
    USERS,
    VAULT,
    Record,
)

WIDTH = 80
_PLACE = "~/.local/share/zrwizard/keys"
_SSH = f"ssh -F {SSH_CONFIG}"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it: paragraphs, and commands behind four blanks."""

    title: str
    lines: tuple[str, ...]

    def laid_out(self) -> list[str]:
        """Return the rows below the heading, of at most 80 columns each."""
        return [row for line in self.lines for row in _wrapped(line)]


def _wrapped(line: str) -> list[str]:
    """Return a line as rows of at most 80 columns; a command goes on behind a backslash."""
    if len(line) <= WIDTH:
        return [line]
    if not line.startswith("    "):
        under = "    " if line.startswith("  - ") else ""
        return textwrap.wrap(line, WIDTH, subsequent_indent=under, break_on_hyphens=False)
    parts = textwrap.wrap(line.strip(), WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    rows = [f"{'      ' if number else '    '}{part}" for number, part in enumerate(parts)]
    return [f"{row} \\" for row in rows[:-1]] + rows[-1:]


def sections(record: Record) -> tuple[Section, ...]:
    """Return every section that this server needs, in the order in which a bad day needs them."""
    found = [_disk(record)]
    if record.shape == VAULT:
        found.append(_attach(record))
    found += [_import(record), _list(record), _restore(record), _away(record)]
    if record.host:
        found += [_narrow(record), _revoke(record)]
    return tuple(found)


def readme(record: Record) -> str:
    """Return the README inside the escrow bundle: what each file is, and everything by hand."""
    rows = [f"The keys of the backup server {record.name} ({record.shape}), made by zrwizard.", ""]
    rows += _wrapped(
        "This is everything that is needed to reach the server and to open its disk. Whoever has "
        "these files has the backups: keep them encrypted, and remove them from any machine "
        "where they were only unpacked to be used once."
    )
    for section in (_files(record), _back(record), *sections(record)):
        rows += ["", section.title, "-" * len(section.title), *section.laid_out()]
    return "\n".join(rows) + "\n"


def opening(record: Record, iterations: int) -> Section:
    """Return how the bundle is opened by age and by openssl; each asks for the passphrase."""
    return Section(
        "Open the escrow bundle",
        (
            "With age (https://age-encryption.org; a package on every system):",
            f"    age -d {ESCROW_AGE} | tar -xpf -",
            "Or with the openssl of any FreeBSD base system:",
            f"    openssl enc -d -aes-256-cbc -pbkdf2 -md sha256 -iter {iterations} "
            f"-in {ESCROW_ENC} | tar -xpf -",
            f"Both make the directory {record.name}. What openssl opened is checked in there "
            "(where there is no sha256sum, compare what sha256 prints for each file):",
            "    sha256sum -c SHA256SUMS",
        ),
    )


def _files(record: Record) -> Section:
    rows = ["keyring.json    what these keys are for, and every certificate ever issued"]
    if record.shape == VAULT:
        rows += [
            f"{GELI_KEY}        the disk's key: 128 hex digits and a newline, all of it needed",
            f"{METADATA}   a copy of the disk's geli metadata (geli restore)",
        ]
    rows += [
        "ca, ca.pub      the CA; its passphrase protects it",
        "login*          the key for a root shell; the same passphrase",
        "deliver*        may deliver the disk's key, and nothing else",
        "receive*        may receive backups and ask a few questions, and nothing else",
        "host*.pub       the server's host key and its certificate",
        "known_hosts     makes ssh trust servers that the CA has certified",
        f"{SSH_CONFIG}      how ssh reaches the server; it has this directory's place in it",
        "revoked.spec    the certificates that are revoked",
    ]
    return Section("The files", tuple(rows))


def _back(record: Record) -> Section:
    return Section(
        "Put them back",
        (
            f"    mkdir -p {_PLACE} && chmod 700 {_PLACE}",
            f"    mv {record.name} {_PLACE}/",
            f"    zrwizard keys sheet {record.name}",
            f"The last command writes {SSH_CONFIG} for this place; without zrwizard, edit the "
            "paths in it by hand. The commands below are typed in that directory.",
        ),
    )


def _disk(record: Record) -> Section:
    rows = [
        "Names such as da0 change; the serial number does not. On the server, or on any FreeBSD "
        "live medium that the disk is plugged into:",
        "    geom disk list",
        f"Look for {_ident(record)}. DISK stands for its name (say, da0) below.",
    ]
    if record.part:
        rows.append(f"What is used is its partition /dev/gpt/{record.part}.")
    return Section("Find the disk", tuple(rows))


def _ident(record: Record) -> str:
    size = f"mediasize: {record.size}"
    return f"ident: {record.serial}, {size}" if record.serial else size


def _provider(record: Record) -> str:
    return f"gpt/{record.part}" if record.part else "DISK"


def _attach(record: Record) -> Section:
    provider = _provider(record)
    rows = []
    if record.host:
        rows += [
            "From your own machine; the key passes through the server's memory only:",
            f"    {_SSH} {alias(record.name, 'login')} "
            f"'geli attach -p -k - /dev/{provider}' < {GELI_KEY}",
            "Or where the disk is plugged into, with the bundle's files at hand:",
        ]
    rows += [
        f"    geli attach -p -k {GELI_KEY} /dev/{provider}",
        f"This makes /dev/{provider}.eli. Should geli find no metadata on the disk, and only then:",
        f"    geli restore {METADATA} /dev/{provider}",
    ]
    return Section("Attach it", tuple(rows))


def _pool(record: Record) -> str:
    return record.pool or "POOL"


def _import(record: Record) -> Section:
    return Section(
        "Import the pool",
        (
            f"    zpool import -N -o cachefile=none {_pool(record)}",
            "-N mounts nothing. Where it was last used by another system, add -f. With -o "
            "readonly=on nothing at all is written. Without a name it lists what there is.",
        ),
    )


def _list(record: Record) -> Section:
    return Section(
        "List the backups",
        (f"    zfs list -r -t filesystem,volume,snapshot -o name,used,creation {_pool(record)}",),
    )


def _restore(record: Record) -> Section:
    send = f"zfs send -R {_pool(record)}/DATASET@SNAPSHOT"
    rows = []
    if record.host:
        rows += [
            "A whole tree, on the machine that is to get it (NEW is its pool there):",
            f"    {_SSH} {alias(record.name, 'login')} '{send}' | zfs receive -u -d NEW",
        ]
    rows += [
        "Between two pools in one machine:",
        f"    {send} | zfs receive -u -d NEW",
        "Single files: mount the snapshot, which cannot be changed, and copy them:",
        f"    mount -t zfs {_pool(record)}/DATASET@SNAPSHOT /mnt",
        "zrwizard restore does a whole machine, with its boot blocks.",
    ]
    return Section("Restore", tuple(rows))


def _away(record: Record) -> Section:
    export = f"    zpool export {_pool(record)}"
    if record.shape == PLAIN:
        return Section("Export it", (export,))
    return Section(
        "Export and detach it",
        (
            export,
            f"    geli detach /dev/{_provider(record)}.eli",
            "    geli status",
            "The last one must not list the disk: then it is as safe as when it is unplugged.",
        ),
    )


def _narrow(record: Record) -> Section:
    receive, deliver = (alias(record.name, role) for role in ("receive", "deliver"))
    if record.shape == VAULT:
        rows = [
            "They need no passphrase. The disk is open for as long as the first command runs:",
            f"    {_SSH} {receive} hold",
            "and in another window, while it waits:",
            f"    {_SSH} {deliver} key < {GELI_KEY}",
            'It says "ready"; press Control-D there to have it exported and detached. Meanwhile:',
        ]
    else:
        rows = ["They need no passphrase, and can do nothing else:"]
    rows += [
        f"    zfs send -R TREE@SNAPSHOT | {_SSH} {receive} receive DATASET",
        f"    {_SSH} {receive} inventory",
        "Other questions: token DATASET, space, health; abandon DATASET gives up a half received "
        f"stream. DATASET is below {_pool(record)}, without its name.",
    ]
    return Section("The single-purpose keys", tuple(rows))


def _revoke(record: Record) -> Section:
    login, place = alias(record.name, "login"), sshd.paths(record.name).directory
    return Section(
        "When a key was stolen",
        (
            f"    zrwizard keys revoke {record.name} SERIAL",
            'Without zrwizard: add a line "serial: N" to revoked.spec, and then:',
            f"    {_SSH} {login} 'cat > {place}/spec' < revoked.spec",
            f"    {_SSH} {login} 'cd {place} && ssh-keygen -k -s ca.pub -f new spec && "
            "mv new revoked'",
            f"The keys whose certificates count are {', '.join(USERS)}. The CA itself cannot be "
            "revoked: if it is stolen and its passphrase known, set the server up with a new one.",
        ),
    )
