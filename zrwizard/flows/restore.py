"""The flow `restore`: from a blank disk to a machine that starts, by way of a backup server."""

from __future__ import annotations

from dataclasses import dataclass

from zrwizard.facts import Facts, TargetFacts
from zrwizard.flows import (
    ask_disk,
    ask_geli,
    ask_lanes,
    ask_network,
    ask_several,
    ask_source,
    ask_transfer,
    mend_steps,
    shapes,
    shtext,
    tables,
)
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.base import Flow
from zrwizard.flows.boot_steps import boot_steps, finish_steps
from zrwizard.flows.choices import Choices
from zrwizard.flows.disk_steps import again, disk_steps, medium_has_boot_code, medium_has_loader
from zrwizard.flows.geli_steps import encryption_steps
from zrwizard.flows.manifest_steps import manifest_steps
from zrwizard.flows.moves import Answers, Key, Look, Move, Review, Stuck
from zrwizard.flows.pool_steps import pool_steps
from zrwizard.flows.prepare_steps import login_steps, network_steps
from zrwizard.flows.proof_steps import proof_steps
from zrwizard.flows.transfer_steps import transfer_steps
from zrwizard.freebsd import size
from zrwizard.plan import Plan, Problem

NAME = "restore"
TITLE = "Restore a host from a backup server onto a blank disk"

KEYS = (
    Key("network.nic", "The interface through which the server is reached.", "vtnet0"),
    Key("network.mode", "keep (the address that it has), dhcp, or static.", "dhcp"),
    Key(
        "network.address",
        "Only for static: IPv4 address and prefix length.",
        "192.0.2.10/24",
        "none",
    ),
    Key("network.gateway", "Only for static: the default gateway.", "192.0.2.1", "none"),
    Key("network.nameserver", "Only for static: a name server.", "192.0.2.1", "none"),
    Key("server.host", "The backup server's address or name.", "192.0.2.2"),
    Key("server.port", "The port of its sshd.", "2222", "22"),
    Key("server.user", "Who logs in there.", "root", "root"),
    Key(
        "server.host_key",
        "The server's host key, as `ssh-keygen -lf` prints its fingerprint there.",
        "SHA256:SGE1vl/TIi+4Za3S0Z69/nhVG1VjeqJNT1QwRlZgySc",
    ),
    Key(
        "server.auth",
        "password (secret `server`) or key (secret `key`, and `key-passphrase` if it has one).",
        "key",
        "password",
    ),
    Key("source.dataset", "The dataset that was the host's pool.", "hostA"),
    Key(
        "source.snapshot",
        "Its snapshot; `newest` is the newest one that every dataset below has.",
        "2025-08-08-deep",
        "newest",
    ),
    Key("source.boot_environment", "The boot environment to start.", "ROOT/default"),
    Key(
        "source.way",
        "every (a stream for each dataset, with all older snapshots), latest (only the chosen "
        "snapshot), or tree (one zfs send -R, which cannot go on where it was cut).",
        "every",
        "every",
    ),
    Key(
        "source.form",
        "stored (blocks come as they lie on the server's disk) or plain.",
        "stored",
        "stored",
    ),
    Key(
        "source.limit",
        "Bytes a second at most, such as 10m; none for as fast as it goes.",
        "10m",
        "none",
    ),
    Key(
        "source.streams",
        "How many streams come side by side: measured (what the link was seen to gain, one on "
        "turning disks), or 1 to 4.",
        "2",
        "measured",
    ),
    Key(
        "source.release",
        "The FreeBSD release that is restored: 13, 14, 15 or unknown.",
        "14",
        "unknown",
    ),
    Key(
        "target.disk",
        "The disk to erase: its serial number, or its name.",
        "ZRDISK0001",
        instead="target.disks",
    ),
    Key(
        "target.disks",
        "In place of target.disk: several disks to erase, for one pool over all of them.",
        "ZRDISK0001, ZRDISK0002",
        "none",
        many=True,
    ),
    Key(
        "target.layout",
        "Of several disks: mirror, mirrors (of two), raidz1, raidz2, raidz3 or stripe.",
        "raidz1",
        "mirror",
    ),
    Key(
        "target.spares",
        "Of several disks: hot spares, which are erased too.",
        "ZRDISK0003",
        "none",
        many=True,
    ),
    Key("target.swap", "Size of the swap partition; 0 for none.", "2g", "2g"),
    Key(
        "target.firmware",
        "By which firmware the disks start: both, bios (they get no EFI partition) or uefi (no "
        "partition for BIOS boot code).",
        "both",
        "both",
    ),
    Key("target.pool", "Name of the new pool.", "zroot", "zroot"),
    Key(
        "target.geli",
        "yes to encrypt the pool's partitions with geli (secret `disk-passphrase`, asked for at "
        "every start), or no.",
        "no",
        "no",
    ),
    Key(
        "target.mend",
        "What the restored fstab, loader.conf and rc.conf need: ask (each difference is shown; it "
        "is left where nobody sits there), write, or leave.",
        "write",
        "ask",
    ),
    Key(
        "target.swap_eli",
        "Swap: yes to encrypt it with a new key at each start, as-before to leave it as the "
        "restored fstab has it. Without an answer: yes where target.geli is.",
        "yes",
        "as-before",
    ),
    Key(
        "target.hostid",
        "The old machine's hostid: keep it, or new where that machine goes on beside this one.",
        "keep",
        "keep",
    ),
    Key("finish.action", "At the end: reboot, poweroff or stay.", "poweroff", "reboot"),
)


@dataclass(frozen=True, slots=True)
class Restore:
    """The flow. `next_move` goes through every question again and stops at the first open one."""

    name: str = NAME
    title: str = TITLE
    keys: tuple[Key, ...] = KEYS

    def next_move(self, facts: Facts, answers: Answers) -> Move:
        """Return the next question, look or preparation, or the plan to review."""
        try:
            return Review(_plan(Talk(facts, answers, NAME)))
        except Due as due:
            return due.move


RESTORE: Flow = Restore()


_LEFT = (
    "The restored system's own files are not changed: if the disk or the network card has another "
    "name than before, look at /etc/fstab and /etc/rc.conf."
)

_OWN = (
    "The properties are those that came to the server with the backup. What was set there since, "
    "such as readonly, stays there, and the proof lists it; but encrypted ones bring what is set "
    "now."
)


def _plan(talk: Talk) -> Plan:
    facts = talk.facts
    target = _target(facts)
    network = ask_network.network(talk, target)
    host, port = ask_network.endpoint(talk)
    reach = network_steps(network, host, port)
    talk.prepare("Reach the backup server", reach, "network", (network, host, port))
    login = ask_network.login(talk, host, port)
    talk.prepare("Log in to the backup server", login_steps(login), "login", login)
    source = ask_source.source(talk, login)
    carriage = ask_transfer.carriage(talk, target, source)
    fitted = ask_source.release(talk, target)
    placed = ask_several.placement(talk, target, ask_transfer.room_for(source, carriage))
    pool = ask_disk.pool(talk, target, ask_transfer.longest(source))
    made = ask_transfer.made(source, carriage.history, pool)
    lanes = ask_lanes.streams(talk, login, carriage, made, placed)
    encrypted = ask_geli.encrypted(talk)
    choices = Choices(
        token=facts.token,
        home=facts.home,
        network=network,
        login=login,
        source=source,
        carriage=carriage,
        made=made,
        lanes=lanes,
        places=placed.places,
        spares=placed.spares,
        shape=placed.shape,
        pool=pool,
        compatibility=fitted.name,
        compatibility_reason=fitted.reason,
        boot_files=target.boot_files,
        boot_method=target.boot_method,
        finish=ask_disk.finish(talk),
        encrypted=encrypted,
        mend=mend_steps.policy(talk),
        renew=mend_steps.renew(talk),
        seal=mend_steps.sealed_swap(talk, encrypted=encrypted),
    )
    return build(choices, target, ask_several.size_note(placed))


def _target(facts: Facts) -> TargetFacts:
    target = facts.target
    if target is None:
        raise Due(Look("target", (), "Looking at the target: disks, network, pools"))
    if target.uid != 0:
        problem = Problem("console", "The console's shell is not root's.", "Log in as root.")
        raise Due(Stuck((problem,), 4))
    return target


def build(choices: Choices, target: TargetFacts, warnings: tuple[str, ...] = ()) -> Plan:
    """Return the plan, from the network (looked at first, and skipped) to the restart."""
    login = choices.login
    done = shtext.finished(choices.home)
    steps = (
        *network_steps(choices.network, login.session.host, login.session.port),
        *login_steps(login, finished=done),
        *disk_steps(choices),
        *((*encryption_steps(choices), again(choices)) if choices.encrypted else ()),
        *pool_steps(choices),
        *transfer_steps(choices),
        *boot_steps(choices, target),
        *proof_steps(choices),
        *manifest_steps(choices),
        *finish_steps(choices),
    )
    return Plan(
        flow=NAME,
        token=choices.token,
        title=f"Restore {choices.source.snapshot} onto "
        + " and ".join(place.disk.name for place in choices.every),
        steps=steps,
        disks=tuple(place.identity for place in choices.every),
        notes=(*_notes(choices, target), *warnings),
    )


def _notes(choices: Choices, target: TargetFacts) -> tuple[str, ...]:
    each = tables.pool_bytes(choices.places[0].layout)
    left = shapes.room(choices.shape, len(choices.places), each)
    found = [
        f"The transfer is estimated at {size.human(choices.carriage.total)}; the pool has room for "
        f"{size.human(left)}.",
        *ask_transfer.told(choices.made, whole=choices.carriage.whole),
        *([_OWN] if choices.source.received else []),
        *([choices.lanes.reason] if choices.lanes.reason else []),
        choices.compatibility_reason,
        *([_LEFT] if choices.mend == mend_steps.LEAVE else []),
    ]
    if not (choices.uefi if choices.boot_method == "UEFI" else choices.bios):
        found.append(
            f"The target was started by {choices.boot_method}, and these disks start only by "
            f"{'BIOS' if choices.bios else 'UEFI'}, as target.firmware says."
        )
    if choices.bios and not medium_has_boot_code(choices):
        found.append(
            "The install medium has no BIOS boot code for ZFS: the restored system's own is used."
        )
    if choices.uefi and not medium_has_loader(choices):
        found.append("The install medium has no EFI loader: the restored system's own is used.")
    twins = [row.name for row in target.importable if row.name == choices.pool]
    held = {hold.what for place in choices.every for hold in place.disk.holds}
    if twins and choices.pool not in held:
        found.append(
            f"Another disk holds a pool that is called {choices.pool} too: remove that disk before "
            "the restart, or the loader may pick the wrong one."
        )
    if not target.live:
        found.append("The target does not run from an install medium.")
    return tuple(found)
