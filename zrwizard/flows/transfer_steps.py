"""The steps that bring the tree over, detached from the line: stream by stream, or all in one."""

from __future__ import annotations

from zrwizard import mover
from zrwizard.flows import shtext
from zrwizard.flows.choices import Choices
from zrwizard.flows.pool_steps import snapshots_are_there, unless_finished
from zrwizard.freebsd import host, sh, ssh, tree, zfs_receive, zfs_send
from zrwizard.mover import lanes
from zrwizard.plan import Command, Danger, Phase, Share, Step, Transfer, Upload

_JOB = "transfer"


def transfer_steps(choices: Choices) -> tuple[Step, ...]:
    """Return the one long step, with those before it that write down what it is to do."""
    if choices.carriage.whole:
        return (_transfer(choices, _in_one(choices), _WHOLE),)
    send = " ".join(("zfs send", "-b" if choices.source.received else "-p", *choices.carriage.form))
    count = choices.lanes.count
    beside = f", {count} side by side" if count > 1 else ""
    why = (
        f"Dataset by dataset{beside}: {send} there, zfs receive -s -u here. What was cut "
        "goes on, what is finished is never sent again, and nothing is mounted."
    )
    return (*_writing(choices), _transfer(choices, _in_pieces(choices), why))


_WHOLE = (
    "One replication stream brings file systems, snapshots and their properties. Nothing is "
    "mounted."
)


def _transfer(choices: Choices, action: Transfer, why: str) -> Step:
    return Step(
        id="transfer",
        phase=Phase.TRANSFER,
        title=f"Receive {choices.source.snapshot} with everything below it",
        why=why,
        action=action,
        danger=Danger.CHANGES,
        look=unless_finished(choices, snapshots_are_there(choices)),
        guard=shtext.lines(
            shtext.must_be_ours(choices.pool, choices.token),
            f"{ssh.check(choices.login.session)} 2>/dev/null || "
            + shtext.refuse("The login to the server is gone: log in again."),
        ),
        proof=snapshots_are_there(choices),
        proof_timeout=300,
    )


# -- stream by stream -----------------------------------------------------------------------------


def _directory(choices: Choices) -> str:
    return f"{choices.home}/mover"


def _writing(choices: Choices) -> list[Step]:
    where = _directory(choices)
    streams = choices.carriage.sized(choices.made.streams)
    settings = mover.settings(
        direction=mover.Direction.PULL,
        ssh=ssh.words(choices.login.session),
        host=ssh.ALIAS,
        shared=True,
        received=choices.source.received,
        options=choices.carriage.form,
        limit=choices.carriage.limit,
    )
    there = f"[ -d {sh.quote(where)} ]"
    files = (
        ("script", "mover.sh", mover.SCRIPT, "the script that goes from stream to stream"),
        (
            "list",
            mover.LIST,
            mover.listing(streams, choices.made.renames),
            f"the {len(streams)} streams and their order",
        ),
        ("settings", mover.SETTINGS, settings, "how the server is reached, and how patient to be"),
        *(_lanes(choices) if choices.lanes.of else ()),
    )
    return [
        Step(
            id="mover",
            phase=Phase.TRANSFER,
            title="Make a directory for the transfer",
            why="It lies in memory, like all that this run leaves on the machine.",
            action=Command(host.make_directory(where, "700")),
            danger=Danger.CHANGES,
            look=unless_finished(choices, there),
            proof=there,
        ),
        *(_file(choices, id, f"{where}/{name}", text, what) for id, name, text, what in files),
    ]


def _lanes(choices: Choices) -> tuple[tuple[str, str, str, str], ...]:
    return (
        ("lanes", lanes.LANES, lanes.text(choices.lanes.of), "which streams come side by side"),
        ("lanes-script", "lanes.sh", lanes.SCRIPT, "the script that lets them"),
    )


def _file(choices: Choices, id: str, path: str, text: str, what: str) -> Step:
    same = shtext.same_file_text(path, text)
    return Step(
        id=f"mover-{id}",
        phase=Phase.TRANSFER,
        title=f"Write down {what}",
        why="The transfer runs there by itself, whatever becomes of the console.",
        action=Upload(path, 0o600, content=text),
        danger=Danger.CHANGES,
        look=unless_finished(choices, same),
        proof=same,
    )


def _in_pieces(choices: Choices) -> Transfer:
    where, carriage = _directory(choices), choices.carriage
    streams = choices.made.streams
    script = "lanes.sh" if choices.lanes.of else "mover.sh"
    return Transfer(
        text=sh.command("sh", f"{where}/{script}", where),
        job=_JOB,
        pool=choices.pool,
        nic=choices.network.nic,
        estimate=carriage.total,
        streams=len(streams),
        reset="",
        shares=tuple(Share(row.target, carriage.sizes.get(row.source, 0)) for row in streams),
        mover=where,
        lanes=choices.lanes.count,
    )


# -- all in one -----------------------------------------------------------------------------------


def _in_one(choices: Choices) -> Transfer:
    source, sizes, sent = choices.source, choices.carriage.sizes, choices.made.sent
    return Transfer(
        text=_job(choices),
        job=_JOB,
        pool=choices.pool,
        nic=choices.network.nic,
        estimate=choices.carriage.total,
        streams=sum(len(places) for places in sent.values()),
        reset=_reset(choices),
        shares=tuple(
            Share(tree.renamed(name, source.root, choices.pool), sizes.get(name, 0))
            for name in sent
        ),
    )


def _job(choices: Choices) -> str:
    status = f"{choices.home}/send.rc"
    # An encrypted tree that is sent with -b comes without the keys of its clones.
    encrypted = any(choices.source.tree[name].root for name in choices.made.sent)
    own = ("-b",) * (choices.source.received and not encrypted)
    stream = zfs_send.replicate(choices.source.snapshot, *own, *choices.carriage.form)
    send = ssh.run(choices.login.session, stream)
    # Without pipefail the left end's status would be lost; a cut stream ends the right one too.
    return shtext.lines(
        f"rm -f {sh.quote(status)}",
        sh.pipeline(sh.keep_status(send, status), zfs_receive.receive(choices.pool)),
        "r=$?",
        f"s=$(cat {sh.quote(status)})",
        'printf \'sending ended with status %s, receiving with %s\\n\' "${s:-?}" "$r"',
        '[ "${s:-1}" -le "$r" ] || r=${s:-1}',
        'exit "$r"',
    )


def _reset(choices: Choices) -> str:
    pool = sh.quote(choices.pool)
    top = f"{choices.pool}/"
    return shtext.lines(
        shtext.must_be_ours(choices.pool, choices.token),
        f"zfs list -H -o name -d 1 -t filesystem,volume {pool} | while IFS= read -r d; do",
        '  case "$d" in',
        f"    {sh.quote(top)}*) ;;",
        "    *) continue ;;",
        "  esac",
        # A clone may be gone with its origin.
        '  zfs list -H -o name "$d" >/dev/null 2>&1 || continue',
        '  zfs destroy -R "$d" || exit 1',
        "done || exit 1",
        f"zfs list -H -o name -d 1 -t snapshot {pool} | while IFS= read -r d; do",
        '  zfs destroy -R "$d" || exit 1',
        "done",
    )
