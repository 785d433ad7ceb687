"""The steps from a disk as it is to an encrypted or partitioned one whose keys are in escrow.

Nothing is written to the disk that matters to anybody before the bundle of its keys was opened
again. Each step that erases carries a guard that looks at the disk's identity once more.
"""

from __future__ import annotations

from zrwizard.facts import Use
from zrwizard.flows import sealing, server_shtext, server_told, shtext
from zrwizard.flows.disk_steps import ALIGN
from zrwizard.flows.server_choices import Plans, Vessel
from zrwizard.freebsd import geli, gpart, host, kld, sh, size, zpool
from zrwizard.freebsd.gpart import Entry
from zrwizard.plan import Command, Danger, Feed, Local, Phase, Step

KEY = "geli-key"
"""The name of the secret that opens the disk; it rests with the keyring."""
METADATA = "geli.metadata"


def key_steps(plans: Plans) -> tuple[Step, ...]:
    """Return the steps that need nothing of the disk: a private directory, and the keys."""
    there = f"[ -d {sh.quote(plans.home)} ]"
    identity = plans.vessel.identity
    detail = (plans.name, plans.purpose.shape, identity.serial or "", str(identity.size))
    return (
        Step(
            id="home",
            phase=Phase.KEYS,
            title="Make a private directory in memory",
            why="What the wizard notes on the way lies there, readable by root only.",
            action=Command(host.make_directory(plans.home, "700")),
            danger=Danger.CHANGES,
            look=there,
            proof=there,
        ),
        Step(
            id="keys",
            phase=Phase.KEYS,
            title=f"Make the keys of {plans.name} on this machine",
            why="They are made from this machine's random source, and kept in a directory that "
            "only you can read. Keys that are there already stay as they are.",
            action=Local(
                "keys",
                (*detail, plans.vessel.part) if plans.vessel.part else detail,
                server_told.make_keys(plans),
            ),
            danger=Danger.CHANGES,
        ),
    )


def disk_steps(plans: Plans) -> tuple[Step, ...]:
    """Return the steps that make the disk what it shall be, or find that it is so already."""
    modules = [_module("zfs", "zfs", "zfs-module", "Load ZFS")]
    if plans.vessel.encrypted:
        modules.append(
            _module("geom_eli", "g_eli", "geli-module", "Load geli, the disk encryption")
        )
    if plans.vessel.keep:
        return (*modules, _keep(plans))
    return (
        *modules,
        _speed(plans),
        *_old_labels(plans),
        *_old_table(plans),
        *_table(plans),
        *_encryption(plans),
    )


def escrow_step(plans: Plans) -> Step:
    """Return the step after which losing this machine no longer means losing the backups."""
    return Step(
        id="escrow",
        phase=Phase.ESCROW,
        title="Pack all keys into the escrow bundle, open it again, and compare",
        why="Without the key the disk is noise for ever. Nothing is written to it before the "
        "bundle was seen to bring every key back.",
        action=Local("escrow", (plans.name,), server_told.escrow(plans)),
        danger=Danger.CHANGES,
    )


def _module(file: str, module: str, id: str, title: str) -> Step:
    return Step(
        id=id,
        phase=Phase.DISK,
        title=title,
        why="What follows needs it; loading it now keeps its messages out of other answers.",
        action=Command(kld.load(file), timeout=60),
        danger=Danger.CHANGES,
        look=kld.is_loaded(module),
        proof=kld.is_loaded(module),
    )


def guard(vessel: Vessel, *more: str, pool: str | None = None) -> str:
    """Return the guard that every erasing step shares, and what this one asks besides."""
    return shtext.lines(
        shtext.is_disk(vessel.identity),
        shtext.in_no_other_pool(vessel.disk, vessel.labels, pool),
        *more,
    )


def _keep(plans: Plans) -> Step:
    vessel = plans.vessel
    checks = [shtext.is_disk(vessel.identity)]
    if vessel.encrypted:
        checks.append(
            f"( {server_shtext.has_metadata(vessel, plans.home)} ) || "
            + shtext.refuse(
                f"The geli metadata on {vessel.provider} are not those that belong to the keys "
                f"called {plans.name}."
            )
        )
    else:
        checks.append(
            f"{shtext.has_row(vessel.disk.name, vessel.entry)} || "
            + shtext.refuse(f"{vessel.disk.name} holds another table than at the review.")
            if vessel.entry
            else ":"
        )
    return Step(
        id="keep-disk",
        phase=Phase.DISK,
        title=f"See that {vessel.disk.name} is the disk that was set up before",
        why="It is kept with everything on it: nothing is erased.",
        action=Command(shtext.lines(*checks)),
    )


def is_past(plans: Plans) -> str:
    """Succeeds once this run has made the pool and closed the disk, until the next restart there.

    After a restart the disk is opened, looked at and closed once more; that costs nothing.
    """
    return sh.exists(f"{plans.home}/closed")


# --- how fast it is -------------------------------------------------------------------------------


def before_file(plans: Plans) -> str:
    """Return where the speed before encryption is noted."""
    return f"{plans.home}/speed.before"


def _speed(plans: Plans) -> Step:
    vessel = plans.vessel
    name = vessel.disk.name
    return Step(
        id="speed-before",
        phase=Phase.DISK,
        title=f"Measure how fast {name} is read",
        why="A disk that cannot be read now will not keep backups. The number is compared once it "
        "is encrypted."
        if vessel.encrypted
        else "A disk that cannot be read now will not keep backups.",
        action=Command(
            server_shtext.measure(name, before_file(plans)),
            timeout=server_shtext.READ_SECONDS + 30,
        ),
        danger=Danger.CHANGES,
        look=sh.is_file(before_file(plans)),
    )


# --- what was on it -------------------------------------------------------------------------------


def _old_labels(plans: Plans) -> list[Step]:
    vessel = plans.vessel
    holds = [hold for hold in vessel.disk.holds if hold.use is Use.IMPORTABLE]
    steps = []
    for number, provider in enumerate(sorted({hold.provider for hold in holds}), 1):
        pools = ", ".join(sorted({hold.what for hold in holds if hold.provider == provider}))
        # A label that an earlier try has wiped already is no failure.
        text = (
            f"o=$({zpool.labelclear(f'/dev/{provider}')} 2>&1) && exit 0\n"
            "printf '%s\\n' \"$o\" >&2\n"
            'case "$o" in\n'
            '  *"failed to read label"*) exit 0 ;;\n'
            "esac\n"
            "exit 1"
        )
        names = "|".join(map(_literal, _names(vessel, provider)))
        listed = sh.quote(f"^[[:space:]]+({names})[[:space:]]+ONLINE")
        steps.append(
            Step(
                id=f"old-labels-{number}",
                phase=Phase.DISK,
                title=f"Wipe the old ZFS labels of {provider}",
                why=f"The old pool {pools} would stay visible.",
                action=Command(text),
                danger=Danger.ERASES,
                destroys=f"The pool {pools} on {provider} can no longer be imported.",
                look=_labels_are_past(vessel),
                guard=guard(vessel, shtext.holds_what_was_seen(vessel.identity)),
                proof=f"if {zpool.scan()} 2>/dev/null | grep -Eq {listed}; then exit 1; fi",
                proof_timeout=90,
            )
        )
    return steps


def _labels_are_past(vessel: Vessel) -> str:
    """Succeeds once something came after the old labels; the survey saw none of it."""
    changed = shtext.has_changed(vessel.identity)
    return f"{server_shtext.is_sealed(vessel)} || {changed}" if vessel.encrypted else changed


def _literal(word: str) -> str:
    return "".join(c if c.isalnum() or c in "_-/" else f"[{c}]" for c in word)


def _names(vessel: Vessel, provider: str) -> list[str]:
    """The names under which `zpool import` may list a provider."""
    rows = vessel.disk.table.entries if vessel.disk.table else ()
    labels = [
        f"gpt/{row.label}"
        for row in rows
        if row.label and provider == gpart.partition(vessel.disk.name, row.index)
    ]
    return [provider, *labels]


def _old_table(plans: Plans) -> list[Step]:
    vessel = plans.vessel
    name = vessel.disk.name
    if not vessel.has_contents:
        return []
    rows = (vessel.entry,) if vessel.entry else ()
    ours = shtext.only_rows(name, rows) if rows else shtext.has_no_table(name)
    return [
        Step(
            id="old-table",
            phase=Phase.DISK,
            title=f"Destroy the old partition table of {name}",
            why="The disk begins anew; its table would contradict what comes.",
            action=Command(gpart.destroy(name)),
            danger=Danger.ERASES,
            destroys=f"Everything on {name}: {vessel.identity.summary}.",
            look=shtext.lines(
                f"{shtext.has_changed(vessel.identity)} || exit 1", f"( {ours} ) 2>/dev/null"
            ),
            guard=guard(vessel, shtext.holds_what_was_seen(vessel.identity)),
            proof=shtext.has_no_table(name),
        )
    ]


# --- one partition --------------------------------------------------------------------------------


def only_our_row(vessel: Vessel) -> str:
    """Leaves with 1 if the disk has a row that the plan does not make, or, whole, any table."""
    if vessel.entry is None:
        return shtext.has_no_table(vessel.disk.name)
    return shtext.only_rows(vessel.disk.name, (vessel.entry,)) + " || exit 1"


def _table(plans: Plans) -> list[Step]:
    vessel = plans.vessel
    entry = vessel.entry
    if entry is None:
        return []
    name = vessel.disk.name
    made = f"{gpart.backup(name)} 2>/dev/null | grep -q '^GPT '"
    nothing = None if vessel.has_contents else f"Nothing: the survey found {name} empty."
    rows = shtext.only_rows(name, (entry,))
    return [
        Step(
            id="new-table",
            phase=Phase.DISK,
            title=f"Make a new partition table on {name}",
            why="Every computer then sees that the disk is in use.",
            action=Command(gpart.create(name)),
            danger=Danger.ERASES,
            destroys=nothing,
            look=shtext.lines(f"{made} || exit 1", f"( {rows} ) 2>/dev/null"),
            guard=guard(vessel, shtext.has_no_table(name)),
            proof=shtext.lines(f"{made} || exit 1", rows),
        ),
        _partition(vessel, entry),
    ]


def _partition(vessel: Vessel, entry: Entry) -> Step:
    name = vessel.disk.name
    there = shtext.has_row(name, entry)
    length = size.human(entry.sectors * vessel.disk.disk.sectorsize)
    return Step(
        id=f"partition-{entry.index}",
        phase=Phase.DISK,
        title=f"Make the partition {entry.label}, {length}",
        why="It begins on a whole megabyte, which suits every disk, and is found by its label "
        "whatever name the disk has.",
        action=Command(
            gpart.add(
                name,
                index=entry.index,
                label=entry.label,
                type=entry.type,
                align=ALIGN,
                bytes=None,
            )
        ),
        danger=Danger.ERASES,
        look=there,
        guard=guard(vessel, only_our_row(vessel)),
        proof=f"{there} || "
        + shtext.refuse(f"The row of partition {entry.index} is not as it was computed."),
    )


# --- encryption -----------------------------------------------------------------------------------


def _encryption(plans: Plans) -> list[Step]:
    vessel = plans.vessel
    if not vessel.encrypted:
        return []
    provider = vessel.provider
    copy = f"{plans.home}/{METADATA}"
    past = is_past(plans)
    return [
        Step(
            id="geli-init",
            phase=Phase.DISK,
            title=f"Encrypt {provider}",
            why="AES-XTS with 256 bits, in sectors of 4 KiB. The key comes from this machine, "
            "passes through the other one's memory, and is written nowhere there.",
            action=Feed(geli.init(provider), KEY),
            danger=Danger.ERASES,
            destroys=f"Everything on {provider} is noise from then on.",
            look=server_shtext.is_sealed_as_planned(vessel),
            guard=guard(vessel, only_our_row(vessel), server_shtext.has_no_seal(vessel)),
            proof=f"{server_shtext.is_sealed_as_planned(vessel)} || "
            + shtext.refuse(f"{provider} does not carry the geli metadata that it should."),
        ),
        Step(
            id="key-opens",
            phase=Phase.DISK,
            title="See that the key opens it",
            why="A line that was cut in the middle of the key would have made another lock.",
            action=Feed(
                f"{geli.try_key(provider)} || "
                + shtext.refuse(
                    f"The key does not open {provider}: it did not arrive whole. Nothing is on "
                    f"that disk yet; type: geli clear {provider}, and start again."
                ),
                KEY,
            ),
            look=f"{past} || {server_shtext.is_attached(vessel)}",
        ),
        *sealing.metadata_steps(provider, copy, METADATA, past, whose="the disk's", keep="key"),
    ]
