"""The questions about the server itself: its name and shape, how it is reached, its keys."""

from __future__ import annotations

import re

from zrwizard.facts import Facts, OwnFacts, SystemFacts, TargetFacts
from zrwizard.flows import server_checks
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.moves import Ask, Choose, Enter, EnterSecret, Look, Option
from zrwizard.flows.server_choices import ALL, DISK, PLAIN, VAULT, Access, Keys, Purpose
from zrwizard.freebsd import size

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?", re.ASCII)
_DAYS = 36500


def own(talk: Talk, target: TargetFacts) -> OwnFacts:
    """Return what there is of the keys of the name that was given."""
    question = Enter(
        key="server.name",
        page="purpose",
        title="What is the backup server called?",
        help="A short name of your own choice. The keys are kept on this machine under it, and "
        "`ssh NAME` will reach the server.",
        default="knox",
        example="knox",
    )
    name = talk.enter(
        question,
        lambda text: (
            None
            if _NAME.fullmatch(text)
            else f"{text!r} is not a name of small letters, digits and dashes, up to 32."
        ),
    )
    found = talk.facts.own
    if found is None or found.name != name:
        raise Due(Look("own", (name,), f"Looking for keys called {name} on this machine"))
    if found.problem:
        talk.refuse(
            question,
            f"There are keys called {name} in {found.directory}, but they cannot be used: "
            f"{found.problem}",
            "Mend that, or give another name; nothing there is written over.",
        )
    if found.there and found.size and not _is_here(found, target):
        whose = found.serial or "without a serial number"
        talk.refuse(
            question,
            f"The keys called {name} belong to the disk {whose} ({size.human(found.size)}), which "
            "this machine does not have.",
            "Plug that disk in and look again, or give another name.",
        )
    return found


def _is_here(found: OwnFacts, target: TargetFacts) -> bool:
    return any(
        (disk.disk.ident or "", disk.disk.mediasize) == (found.serial, found.size)
        for disk in target.disks
    )


def purpose(talk: Talk, target: TargetFacts, system: SystemFacts, name: str) -> Purpose:
    """Return what is made: the shape of the server, and how much of it now."""
    shape = talk.pick(
        Choose(
            key="server.shape",
            page="purpose",
            title="What kind of backup server?",
            help="It stands in another house, and whoever takes it away has it. A vault is of no "
            "use to a thief; it opens only while a backup runs, with a key that you keep.",
            options=(
                Option(
                    VAULT,
                    "Vault",
                    detail="The disk is encrypted as a whole. Its key stays with you, and is sent "
                    "over for each backup. The machine serves nothing else: its ssh is replaced.",
                    recommended=True,
                ),
                Option(
                    PLAIN,
                    "Plain",
                    detail="The disk is not encrypted. A second ssh on a port of its own takes "
                    "the backups; the machine goes on with what it did.",
                ),
            ),
            default=VAULT,
        )
    ).value
    why = server_checks.only_disk(target, system)
    scope = talk.pick(
        Choose(
            key="server.scope",
            page="purpose",
            title="How much of it now?",
            help=f"{server_checks.about(target, system)} A backup server has FreeBSD installed "
            "on a disk of its own; the backup disk alone can be made ready on an install medium.",
            options=(
                Option(
                    ALL,
                    "Everything: this computer becomes the backup server",
                    locked=why,
                    recommended=why is None,
                ),
                Option(
                    DISK,
                    "Only the disk and the keys",
                    detail="Start this wizard again on the installed server, with the same name: "
                    "the disk is taken over as it is.",
                    recommended=why is not None,
                ),
            ),
            default=DISK if why else ALL,
        )
    ).value
    return Purpose(name, shape, scope)


# --- how it is reached --------------------------------------------------------------------------


def access(talk: Talk, target: TargetFacts, system: SystemFacts, purpose: Purpose) -> Access:
    """Return how the operator's machine reaches the server by ssh."""
    version = server_checks.openssh(system)
    assert version is not None  # noqa: S101 - what has no OpenSSH does not come this far
    host = talk.enter(
        Enter(
            key="server.host",
            page="access",
            title="Its address, as this machine reaches it now",
            help="An IP address, or a name that this machine knows. It may change once the server "
            "stands in the other house; its identity is checked by a certificate, not by this.",
            default=_first_address(target),
            example="192.0.2.20",
        ),
        lambda text: None if _HOST.fullmatch(text) else f"{text!r} is not an address or a name.",
    )
    port = _port(talk, system, purpose)
    return Access(host, port, _trial_port(talk, system, purpose, port), version)


def _first_address(target: TargetFacts) -> str:
    found = [address.address for nic in target.nics for address in nic.addresses]
    return next((address for address in found if not address.startswith("127.")), "")


def _bad_port(text: str) -> str | None:
    good = text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536
    return None if good else f"{text!r} is not a TCP port (1 to 65535)."


def _port(talk: Talk, system: SystemFacts, purpose: Purpose) -> int:
    if purpose.vault:
        help = (
            "The port of its ssh when all is done. 22 is the usual one; behind a router that "
            "forwards another one, it stays 22 here."
        )
        default = "22"
    else:
        help = "A port of its own: the ssh that the machine has goes on unchanged beside it."
        default = "2223"
    question = Enter(
        key="server.port",
        page="access",
        title="Port of its ssh",
        help=help,
        default=default,
        example=default,
    )
    port = int(talk.enter(question, _bad_port))
    # What an earlier run for the same name started there is our own.
    if not purpose.vault and port in system.listening and purpose.name not in system.marks:
        talk.refuse(
            question,
            f"An sshd listens on port {port} there already.",
            "Give a free port, such as 2223.",
        )
    return port


def _trial_port(talk: Talk, system: SystemFacts, purpose: Purpose, port: int) -> int:
    if not purpose.vault:
        return port
    question = Enter(
        key="server.trial_port",
        page="access",
        title="Port for the trial",
        help="The new ssh is first started on this port, beside the old one. Only after a login "
        "has worked there is the old one replaced, so nobody is locked out.",
        default="2222",
        example="2222",
    )
    trial = int(talk.enter(question, _bad_port))
    if trial == port:
        talk.refuse(question, f"Port {port} is where it listens in the end.", "Give another one.")
    if trial in system.listening and purpose.name not in system.marks:
        talk.refuse(question, f"An sshd listens on port {trial} there already.", "Give a free one.")
    return trial


# --- keys ---------------------------------------------------------------------------------------


def keys(talk: Talk, purpose: Purpose) -> Keys:
    """Return how the disk's key is delivered, and how long the certificates last."""
    delivery = _delivery(talk) if purpose.vault else "stdin"
    return Keys(
        delivery,
        _days(
            talk,
            "keys.host_days",
            "How many days is the server's certificate valid?",
            "With it the server proves to you that it is the right one. When it has run out you "
            "cannot log in until it is renewed at the server itself, so it lasts long.",
            "3650",
        ),
        _days(
            talk,
            "keys.login_days",
            "How many days is your login key valid?",
            "With it you log in as root. It can be renewed on this machine at any time, with the "
            "passphrase; a lost one runs out by itself.",
            "730",
        ),
        _days(
            talk,
            "keys.single_days",
            "How many days are the two single-purpose keys valid?",
            "Backups use them without anybody being there: one can only deliver the disk's key, "
            "one can only receive. They are renewed the same way.",
            "730",
        ),
    )


def _delivery(talk: Talk) -> str:
    return talk.pick(
        Choose(
            key="keys.delivery",
            page="keys",
            title="How does the disk's key get there?",
            help="The key is on this machine only. For each backup it is sent through ssh and "
            "handed to the encryption at once; it is never written to a disk there.",
            options=(
                Option(
                    "stdin",
                    "Through ssh straight into geli",
                    detail="Nothing on the server stands in between.",
                    recommended=True,
                ),
                Option(
                    "fifo",
                    "Through a named pipe",
                    detail="The classic way: a private pipe in memory, made for this one use, "
                    "with time limits on both ends.",
                ),
            ),
            default="stdin",
        )
    ).value


def _days(talk: Talk, key: str, title: str, help: str, default: str) -> int:
    def wrong(text: str) -> str | None:
        good = text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= _DAYS
        return None if good else f"{text!r} is not a number of days (1 to {_DAYS})."

    question = Enter(key=key, page="keys", title=title, help=help, default=default, example=default)
    return int(talk.enter(question, wrong))


def force(talk: Talk) -> bool:
    """Return whether a stream may destroy what is on the server (`zfs receive -F`)."""
    return (
        talk.pick(
            Choose(
                key="receive.force",
                page="keys",
                title="May a backup destroy what is on the server?",
                help="A replication stream can be told to roll back and to delete datasets and "
                "snapshots that the sender no longer has. Then a mistake at home, or a thief "
                "with the receiving key, can delete backups too.",
                options=(
                    Option(
                        "no",
                        "No, it only ever adds",
                        detail="Old snapshots are removed by you, when you log in to do it.",
                        recommended=True,
                    ),
                    Option("yes", "Yes, it may (zfs receive -F)"),
                ),
                default="no",
            )
        ).value
        == "yes"
    )


def secrets(talk: Talk, facts: Facts) -> None:
    """Have the front end obtain the two passphrases; their values stand among no answers."""
    there = facts.own is not None and facts.own.there
    ca = EnterSecret(
        key="secret.ca-passphrase",
        page="keys",
        title="Passphrase of the login key and the CA key",
        help="It protects the two keys that open everything: your login, and the one that makes "
        "new keys. Several random words are good. Without it these two keys are lost; the disk's "
        "key and the backups are not.",
        secret="ca-passphrase",  # noqa: S106 - its name
        twice=not there,
    )
    escrow = EnterSecret(
        key="secret.escrow-passphrase",
        page="keys",
        title="Passphrase of the escrow bundle",
        help="All keys are packed into one encrypted file, to be kept far from this machine: if "
        "this machine burns, that file and this passphrase are the only way to the backups. Write "
        "the passphrase down on paper, and keep it away from the file.",
        secret="escrow-passphrase",  # noqa: S106 - its name
        twice=True,
    )
    for question in (ca, escrow):
        if question.key not in talk.answers:
            raise Due(Ask(question))
