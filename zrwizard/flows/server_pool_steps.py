"""The steps from a prepared disk to a pool, and for a vault back to a disk that is closed."""

from __future__ import annotations

from zrwizard.flows import server_shtext, shtext
from zrwizard.flows.server_choices import Plans
from zrwizard.flows.server_disk_steps import KEY, before_file, guard, is_past, only_our_row
from zrwizard.freebsd import geli, sh, zpool
from zrwizard.plan import Command, Danger, Feed, Phase, Step

_PLACES = ("/tmp", "/var/tmp")  # noqa: S108 - on the target


def pool_steps(plans: Plans) -> tuple[Step, ...]:
    """Return the steps that make the pool (or find it), and those that close a vault again."""
    vessel = plans.vessel
    steps: list[Step] = []
    if vessel.encrypted:
        steps.append(_attach(plans))
    if vessel.keep:
        steps.append(_kept(plans))
    else:
        steps += [_again(plans), _create(plans)]
        if vessel.encrypted:
            steps.append(_speed_after(plans))
    if vessel.encrypted or not plans.purpose.whole:
        steps.append(_export(plans))
    if vessel.encrypted:
        steps += [_detach(plans), _key_gone(plans), _closed(plans)]
    return tuple(steps)


def _attach(plans: Plans) -> Step:
    vessel = plans.vessel
    there = server_shtext.is_attached(vessel)
    return Step(
        id="attach",
        phase=Phase.POOL,
        title=f"Open {vessel.provider} with the key",
        why="The key goes through standard input into geli, which keeps it in its own memory.",
        action=Feed(geli.attach(vessel.provider), KEY),
        danger=Danger.CHANGES,
        look=f"{is_past(plans)} || {there}",
        guard=shtext.is_disk(vessel.identity),
        proof=f"{there} || " + shtext.refuse(f"There is no /dev/{vessel.device}."),
    )


def _again(plans: Plans) -> Step:
    pool, token = plans.vessel.pool, plans.token
    ours = shtext.scan_for_ours(token)
    mine = shtext.pool_is_ours(pool, token)
    return Step(
        id="pool-again",
        phase=Phase.POOL,
        title="Take up the pool of an earlier try of this run, if there is one",
        why="After a restart of that machine a run goes on with the pool that it made.",
        action=Command(f'zpool import -N -o cachefile=none "$({ours})"', timeout=180),
        danger=Danger.CHANGES,
        look=shtext.lines(
            f"{is_past(plans)} && exit 0", f"{mine} && exit 0", f'[ -z "$({ours})" ]'
        ),
        proof=mine,
    )


def _create(plans: Plans) -> Step:
    vessel, token = plans.vessel, plans.token
    pool = vessel.pool
    ours = shtext.pool_is_ours(pool, token)
    create = zpool.create(
        pool,
        vessel.device,
        options={"cachefile": "none", "ashift": "12", "comment": shtext.mark(token)},
        # A volume that were a disk there would bring its partitions' labels, swap0 say, with it.
        properties={"atime": "off", "compression": "lz4", "volmode": "none"},
    )
    encrypted = (
        (
            f"{server_shtext.is_attached(vessel)} || "
            + shtext.refuse(f"{vessel.provider} is not open."),
        )
        if vessel.encrypted
        else ()
    )
    return Step(
        id="pool",
        phase=Phase.POOL,
        title=f"Make the pool {pool} on {vessel.device}",
        why="Reading is not noted, data are compressed; nothing of it is mounted there or shows as "
        "a disk, and no start of the machine imports it by itself.",
        action=Command(create, timeout=180),
        danger=Danger.ERASES,
        look=shtext.lines(f"{is_past(plans)} && exit 0", ours),
        guard=guard(vessel, only_our_row(vessel), *encrypted),
        proof=shtext.lines(
            f"{ours} || " + shtext.refuse(f"The pool {pool} does not carry this run's mark."),
            server_shtext.lies_on(vessel),
        ),
    )


def _kept(plans: Plans) -> Step:
    vessel = plans.vessel
    pool = vessel.pool
    here = server_shtext.lies_on(vessel)
    imported = sh.command("zpool", "import", "-N", "-o", "cachefile=none", pool)
    return Step(
        id="pool-kept",
        phase=Phase.POOL,
        title=f"Import the pool {pool}, with nothing mounted",
        why="It was made before, and is kept with everything in it.",
        action=Command(
            f"{imported} || "
            + shtext.refuse(
                f"{vessel.device} holds no pool called {pool} that could be imported. See what "
                "zpool import lists there, and give that name as disk.pool. If the disk was never "
                f"finished: geli clear {vessel.provider}, and start with another server name."
            ),
            timeout=180,
        ),
        danger=Danger.CHANGES,
        look=f"{is_past(plans)} || ( {here} ) 2>/dev/null",
        proof=here,
    )


def _speed_after(plans: Plans) -> Step:
    vessel = plans.vessel
    after = f"{plans.home}/speed.after"
    return Step(
        id="speed-after",
        phase=Phase.POOL,
        title="Measure how fast it is read through the encryption",
        why="What encryption costs on this machine is good to know before the first backup.",
        action=Command(
            shtext.lines(
                f"( {server_shtext.measure(vessel.device, after)}\n) || exit",
                server_shtext.compare(before_file(plans), after),
            ),
            timeout=server_shtext.READ_SECONDS + 30,
        ),
        danger=Danger.CHANGES,
        look=f"{is_past(plans)} || {{ {sh.is_file(after)}; }}",
    )


def _export(plans: Plans) -> Step:
    pool = plans.vessel.pool
    imported = server_shtext.is_imported(pool)
    return Step(
        id="export",
        phase=Phase.POOL,
        title=f"Export {pool}",
        why="A pool that was exported cleanly is imported anywhere without force.",
        action=Command(zpool.export(pool), timeout=180),
        danger=Danger.CHANGES,
        look=f"{is_past(plans)} || ! {imported}",
        guard=server_shtext.lies_on(plans.vessel),
        proof=server_shtext.not_imported(pool),
    )


def _detach(plans: Plans) -> Step:
    vessel = plans.vessel
    open_ = server_shtext.is_attached(vessel)
    return Step(
        id="detach",
        phase=Phase.POOL,
        title=f"Close {vessel.provider}",
        why="geli forgets the key; from now on the disk is noise to everybody there.",
        action=Command(geli.detach(vessel.provider)),
        danger=Danger.CHANGES,
        look=f"{is_past(plans)} || ! {open_}",
        proof=server_shtext.nothing_attached(vessel),
    )


def _key_gone(plans: Plans) -> Step:
    return Step(
        id="key-gone",
        phase=Phase.POOL,
        title="Search for the key where it could have been left",
        why="It should have been nowhere but in memory. It is sent over once more, to be compared "
        "with every file in /tmp and /var/tmp.",
        action=Feed(server_shtext.key_is_nowhere(_PLACES, plans.home), KEY),
        look=is_past(plans),
    )


def _closed(plans: Plans) -> Step:
    closed = server_shtext.closed(plans.vessel)
    mark = sh.quote(f"{plans.home}/closed")
    return Step(
        id="closed",
        phase=Phase.POOL,
        title="Prove that the disk is closed",
        why="No pool imported, nothing of the disk open under any name.",
        action=Command(shtext.lines(f"( {closed}\n) || exit", f": > {mark}")),
        danger=Danger.CHANGES,
        look=f"{is_past(plans)} && ( {closed}\n) 2>/dev/null",
        proof=closed,
    )
