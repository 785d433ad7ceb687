"""The flow `restore`, question by question, and every answer that will not do."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flows.world import ANSWERS, TOKEN, World, target
from tests.listing import dataset, snapshot
from zrwizard import facts as known
from zrwizard.facts import Hold, Use
from zrwizard.flows.ask_disk import BY_SERIAL
from zrwizard.flows.moves import (
    Agree,
    Answers,
    Ask,
    Choose,
    Enter,
    EnterSecret,
    Look,
    Prepare,
    Review,
    Stuck,
)
from zrwizard.flows.restore import KEYS, RESTORE
from zrwizard.freebsd import inventory, tree
from zrwizard.plan import Plan, Transfer, Upload, from_json


def full(world: World, **changes: str) -> Answers:
    given = {**ANSWERS, "server.host_key": world.server["fingerprint"]}
    return Answers({**given, **{k.replace("__", "."): v for k, v in changes.items()}})


def asked(world: World, answers: Answers) -> Ask:
    move = world.walk(answers)
    assert isinstance(move, Ask), move
    return move


def stuck(world: World, answers: Answers) -> Stuck:
    move = world.walk(answers)
    assert isinstance(move, Stuck), move
    return move


def problem(move: Ask) -> str:
    assert move.problem is not None
    assert move.problem.key == move.question.key
    assert move.problem.what
    assert move.problem.now
    return str(move.problem)


# --- the way through ------------------------------------------------------------------------------


def test_questions_come_in_order_and_each_is_asked_once() -> None:
    world = World(target("blank"))
    answers = Answers()
    keys: list[str] = []
    pages: list[str] = []
    kinds: list[type[Any]] = []
    while True:
        move = world.walk(answers)
        if isinstance(move, Review):
            break
        assert isinstance(move, Ask)
        assert move.problem is None
        key = move.question.key
        keys.append(key)
        pages.append(move.question.page)
        kinds.append(type(move.question))
        answers = answers.put(key, full(world)[key])
    assert keys == [
        "network.nic",
        "network.mode",
        "network.address",
        "network.gateway",
        "network.nameserver",
        "server.host",
        "server.port",
        "server.user",
        "server.host_key",
        "server.auth",
        "secret.server",
        "source.dataset",
        "source.snapshot",
        "source.boot_environment",
        "source.way",
        "source.release",
        "target.disk",
        "target.swap",
        "target.pool",
        "target.geli",
        "finish.action",
    ]
    assert pages == sorted(pages, key=["network", "login", "source", "disks", "layout"].index)
    assert kinds[8] is Agree
    assert kinds[10] is EnterSecret
    named = {key.name for key in RESTORE.keys}
    assert set(keys) - {"secret.server"} <= named
    looks = [move.what for move in world.moves if isinstance(move, Look)]
    assert looks == ["target", "hostkey", "datasets", "tree", "features", "estimate"]
    plans = [move.plan for move in world.moves if isinstance(move, Prepare)]
    assert [[step.id for step in plan.steps] for plan in plans] == [
        ["address", "reach"],
        ["home", "old-login", "known-hosts", "ssh-config", "login"],
    ]
    assert not any(plan.erases for plan in plans)


def test_all_keys_have_help_and_example() -> None:
    assert len({key.name for key in KEYS}) == len(KEYS)
    for key in KEYS:
        assert key.help
        assert key.example


def test_flow_is_pure() -> None:
    world = World(target("blank"))
    world.walk(full(world))
    first = RESTORE.next_move(world.facts, full(world))
    assert RESTORE.next_move(world.facts, full(world)) == first
    assert isinstance(first, Review)


def test_changed_server_is_prepared_again() -> None:
    world = World(target("blank"))
    world.walk(full(world))
    move = RESTORE.next_move(world.facts, full(world, server__host="10.99.0.3"))
    assert isinstance(move, Prepare)
    assert move.plan.steps[-1].id == "reach"


def test_prepared_steps_are_part_of_the_plan() -> None:
    world = World(target("blank"))
    move = world.walk(full(world))
    assert isinstance(move, Review)
    ids = [step.id for step in move.plan.steps]
    for prepared in (m.plan for m in world.moves if isinstance(m, Prepare)):
        for step in prepared.steps:
            assert step.id in ids


def test_the_transfer_knows_its_datasets_and_survives_json() -> None:
    world = World(target("blank"))
    move = world.walk(full(world))
    assert isinstance(move, Review)
    (transfer,) = [s.action for s in move.plan.steps if isinstance(s.action, Transfer)]
    names = [share.name for share in transfer.shares]
    assert names[0] == "zroot"
    assert len(set(names)) == len(names) > 1
    assert all(name.startswith("zroot/") for name in names[1:])
    assert sum(share.size for share in transfer.shares) == transfer.estimate
    assert from_json(move.plan.to_json()) == move.plan


# --- network --------------------------------------------------------------------------------------


def test_keep_is_locked_without_an_address_and_offered_with_one() -> None:
    world = World(target("blank"))
    found = asked(world, Answers({"network.nic": "vtnet0", "network.mode": "keep"}))
    assert "has no address yet" in problem(found)
    nics = tuple(
        replace(nic, addresses=(known.ifconfig.Address("10.99.0.1", 24),))
        for nic in world.target.nics
    )
    world = World(replace(world.target, nics=nics))
    question = asked(world, Answers({"network.nic": "vtnet0"})).question
    assert isinstance(question, Choose)
    assert question.default == "keep"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("network.nic", "em9", "'em9' is not one of the choices"),
        ("network.mode", "wlan", "'wlan' is not one of the choices"),
        ("network.address", "10.99.0.1", "lacks the length"),
        ("network.address", "10.99.0.300/24", "not an IPv4 address"),
        ("network.address", "10.99.0.0/24", "names the whole network"),
        ("network.gateway", "10.98.0.1", "does not lie in the network 10.99.0.0/24"),
        ("network.gateway", "10.99.0.1", "cannot be the target itself"),
        ("network.gateway", "x", "not an IPv4 address"),
        ("network.nameserver", "dns.example", "not an IP address"),
        ("server.host", "a b", "not an address or a name"),
        ("server.host", "-oProxyCommand=x", "not an address or a name"),
        ("server.port", "0", "not a TCP port"),
        ("server.port", "70000", "not a TCP port"),
        ("server.port", "２２", "not a TCP port"),
        ("server.user", "ro ot", "not a user name"),
        ("server.user", "-l", "not a user name"),
        ("server.host_key", "MD5:aa", "not a fingerprint"),
        ("server.auth", "telepathy", "not one of the choices"),
        ("source.dataset", "hostB", "The server has no dataset hostB"),
        ("source.dataset", "hostA/nosuch", "The server has no dataset hostA/nosuch"),
        ("source.dataset", "hostA@x", "The server has no dataset hostA@x"),
        ("source.snapshot", "nosuch", "'nosuch' is not one of the choices"),
        ("source.way", "raft", "'raft' is not one of the choices"),
        ("source.limit", "much", "much is not a size"),
        ("source.limit", "500", "less than 1 KiB a second"),
        ("source.boot_environment", "ROOT/nosuch", "'ROOT/nosuch' is not one of the choices"),
        ("source.release", "12", "'12' is not one of the choices"),
        ("target.disk", "NOSUCH", "The target has no disk NOSUCH"),
        ("target.swap", "much", "not a size"),
        ("target.swap", "1000", "not a multiple of 4 KiB"),
        ("target.swap", "4g", "target.swap"),
        ("target.pool", "mirror", "cannot be the name of a pool"),
        ("target.pool", "9lives", "cannot be the name of a pool"),
        ("target.pool", "a b", "cannot be the name of a pool"),
        ("finish.action", "explode", "'explode' is not one of the choices"),
    ],
)
def test_bad_answer_is_asked_again_with_a_sentence(key: str, value: str, says: str) -> None:
    world = World(target("blank"))
    move = asked(world, full(world).put(key, value))
    assert move.question.key == key
    text = problem(move)
    assert says in text or says == key


def test_no_network_card_is_the_end() -> None:
    world = World(replace(target("blank"), nics=()))
    assert "no Ethernet interface" in stuck(world, Answers()).problems[0].what


def test_not_root_is_the_end() -> None:
    move = stuck(World(replace(target("blank"), uid=1001)), Answers())
    assert move.exit == 4


# --- server ---------------------------------------------------------------------------------------


def test_wrong_host_key_is_refused_and_not_tried_again() -> None:
    world = World(target("blank"))
    other = "SHA256:SGE1vl/TIi+4Za3S0Z69/nhVG1VjeqJNT1QwRlZgySc"
    move = stuck(world, full(world, server__host_key=other))
    assert move.exit == 3
    assert "Changed or wrong host key" in move.problems[0].what
    assert other in move.problems[0].what
    assert world.server["fingerprint"] in move.problems[0].what
    assert not any(isinstance(m, Prepare) and "login" in m.mark for m in world.moves)


def test_host_key_is_shown_for_agreement() -> None:
    world = World(target("blank"))
    question = asked(world, full(world).drop("server.host_key")).question
    assert isinstance(question, Agree)
    assert question.value == world.server["fingerprint"]
    assert question.value in question.text
    assert "ED25519" in question.text


def test_fingerprint_may_lack_its_prefix() -> None:
    world = World(target("blank"))
    bare = world.server["fingerprint"].removeprefix("SHA256:")
    assert isinstance(world.walk(full(world, server__host_key=bare)), Review)


def test_key_login_asks_for_the_file() -> None:
    world = World(target("blank"))
    question = asked(world, full(world, server__auth="key")).question
    assert isinstance(question, EnterSecret)
    assert (question.secret, question.from_file) == ("key", True)


def test_server_without_datasets() -> None:
    world = World(target("blank"))
    world.server["roots"] = ""
    assert "has no ZFS file systems" in stuck(world, full(world)).problems[0].what


def test_host_is_recommended_among_the_datasets() -> None:
    world = World(target("blank"))
    question = asked(world, full(world).drop("source.dataset")).question
    assert isinstance(question, Choose)
    assert question.default == "hostA"
    assert [o.value for o in question.options if o.recommended] == ["hostA"]


def test_newest_complete_snapshot_is_recommended_and_others_say_what_stays_behind() -> None:
    world = World(target("blank"))
    question = asked(world, full(world).drop("source.snapshot")).question
    assert isinstance(question, Choose)
    assert not any(option.locked for option in question.options)
    rows = {option.value: (option.recommended, option.detail) for option in question.options}
    assert rows == {
        "2025-08-09": (False, "7 datasets; hostA/var stay behind"),
        "2025-08-08-deep": (True, "8 datasets"),
        # The cloned boot environment is younger than this snapshot.
        "2025-08-01-deep": (
            False,
            "6 datasets; hostA/ROOT/2025-08-08-deep, hostA/ROOT/2025-08-08-deep/usr stay behind",
        ),
    }
    assert question.options[0].cells[1] == "2025-08-09 00:00"


@pytest.mark.parametrize("value", ["newest", "2025-08-08-deep", "hostA@2025-08-08-deep"])
def test_snapshot_by_several_names(value: str) -> None:
    world = World(target("blank"))
    move = world.walk(full(world, source__snapshot=value))
    assert isinstance(move, Review)
    assert move.plan.title == "Restore hostA@2025-08-08-deep onto vtbd0"


def test_no_complete_snapshot_says_what_is_missing_where() -> None:
    world = World(target("blank"))
    world.server["tree"] = [row for row in world.server["tree"] if "hostA/var@" not in row]
    move = asked(world, full(world, source__snapshot="newest"))
    assert "No snapshot of hostA is complete: 2025-08-09 is missing on hostA/var." in problem(move)


@pytest.mark.parametrize("value", ["default", "ROOT/default", "hostA/ROOT/default"])
def test_boot_environment_by_several_names(value: str) -> None:
    world = World(target("blank"))
    move = world.walk(full(world, source__boot_environment=value))
    assert isinstance(move, Review)
    step = next(step for step in move.plan.steps if step.id == "bootfs")
    assert "bootfs=zroot/ROOT/default zroot" in str(step.action)


def test_boot_environment_named_like_the_snapshot_is_recommended() -> None:
    world = World(target("blank"))
    question = asked(world, full(world).drop("source.boot_environment")).question
    assert isinstance(question, Choose)
    assert question.default == "ROOT/2025-08-08-deep"


def encrypted(world: World, dataset: str) -> None:
    """Make `dataset` an encryption root, with what is below it."""
    rows = [row.split("\t") for row in world.server["tree"]]
    column = inventory.COLUMNS.split(",").index("encryptionroot")
    for row in rows:
        if tree.below(row[0].partition("@")[0], dataset):
            row[column] = dataset
    world.server["tree"] = ["\t".join(row) for row in rows]


def listed(plan: Plan) -> list[list[str]]:
    """The rows of the mover's list."""
    step = next(step for step in plan.steps if step.id == "mover-list")
    assert isinstance(step.action, Upload)
    return [row.split("\t") for row in (step.action.content or "").splitlines()]


def reviewed(world: World, answers: Answers) -> Plan:
    move = world.walk(answers)
    assert isinstance(move, Review), move
    return move.plan


def test_what_is_encrypted_comes_raw_and_with_its_heirs_in_one_stream() -> None:
    world = World(target("blank"))
    encrypted(world, "hostA/var")
    plan = reviewed(world, full(world))
    assert [row[5:8] for row in listed(plan) if row[1] == "hostA/var"] == [["every", "raw", "tree"]]
    assert any(note.startswith("hostA/var comes with all below it") for note in plan.notes)
    move = asked(world, full(world, source__way="tree"))
    assert "hostA/var is encrypted" in problem(move)


def test_an_encrypted_root_is_refused() -> None:
    world = World(target("blank"))
    encrypted(world, "hostA")
    assert "hostA itself is encrypted" in problem(asked(world, full(world)))


def test_an_encrypted_boot_environment_cannot_be_chosen() -> None:
    world = World(target("blank"))
    encrypted(world, "hostA/ROOT/default")
    text = problem(asked(world, full(world)))
    assert "it is encrypted, and the loader of FreeBSD cannot read it" in text


def test_datasets_without_the_snapshot_stay_behind_and_that_is_said() -> None:
    world = World(target("blank"))
    plan = reviewed(world, full(world, source__snapshot="2025-08-09"))
    assert not any(row[1].startswith("hostA/var") for row in listed(plan))
    assert "hostA/var has no @2025-08-09 and is not sent." in plan.notes
    move = asked(world, full(world, source__snapshot="2025-08-09", source__way="tree"))
    assert "zfs send -R ends at hostA/var, which has no @2025-08-09" in problem(move)


def test_every_dataset_has_its_stream_in_an_order_that_can_be_received() -> None:
    world = World(target("blank"))
    rows = listed(reviewed(world, full(world)))
    clone = "hostA/ROOT/2025-08-08-deep"
    assert [row[2] for row in rows] == [
        "zroot",
        "zroot/ROOT",
        "zroot/ROOT/default",
        "zroot/ROOT/2025-08-08-deep",
        "zroot/ROOT/2025-08-08-deep/usr",
        "zroot/swapvol",
        "zroot/var",
        "zroot/var/mail it",
    ]
    origins = {row[1]: row[3] for row in rows if row[3] != "-"}
    assert origins == {clone: "hostA/ROOT/default@2025-08-01-deep"}
    default = next(row for row in rows if row[1] == "hostA/ROOT/default")
    assert default[4:6] == ["2025-08-01-deep,2025-08-08-deep", "every"]


def test_only_the_chosen_snapshot_comes_where_that_is_wanted() -> None:
    world = World(target("blank"))
    plan = reviewed(world, full(world, source__way="latest"))
    points = {row[1]: row[4] for row in listed(plan)}
    assert points["hostA"] == "2025-08-08-deep"
    # The clone builds upon the older one.
    assert points["hostA/ROOT/default"] == "2025-08-01-deep,2025-08-08-deep"
    assert any("Older snapshots stay behind" in note for note in plan.notes)
    proof = next(step.proof for step in plan.steps if step.id == "transfer")
    assert '" 9 >&2' in str(proof)


def test_one_stream_for_everything_can_be_chosen() -> None:
    world = World(target("blank"))
    plan = reviewed(world, full(world, source__way="tree"))
    step = next(step for step in plan.steps if isinstance(step.action, Transfer))
    assert isinstance(step.action, Transfer)
    assert "zfs receive -v -Fu" in step.action.text
    assert "zfs destroy -R" in step.action.reset
    assert not step.action.mover
    assert not any(row.id.startswith("mover") for row in plan.steps)


def options_of(world: World, **answers: str) -> tuple[str, str]:
    """More options of zfs send in the mover's settings, and in the single stream's command."""
    plan = reviewed(world, full(world, **answers))
    settings = next(step.action for step in plan.steps if step.id == "mover-settings")
    assert isinstance(settings, Upload)
    line = next(row for row in str(settings.content).splitlines() if row.startswith("options="))
    whole = reviewed(world, full(world, source__way="tree", **answers))
    action = next(step.action for step in whole.steps if isinstance(step.action, Transfer))
    assert isinstance(action, Transfer)
    found = re.search(r"zfs send -v -P ([^@]*?)-R ", action.text)
    assert found
    return line.removeprefix("options=").strip("'"), found[1].strip()


def test_blocks_come_as_they_lie_on_disk() -> None:
    world = World(target("blank"))
    assert options_of(world) == ("-L -c -e", "-L -c -e")
    looks = [move.detail for move in world.moves if isinstance(move, Look)]
    assert ("hostA@2025-08-08-deep", "-L", "-c", "-e") in looks, "another stream was estimated"


def test_blocks_come_plain_where_that_is_wanted() -> None:
    world = World(target("blank"))
    assert options_of(world, source__form="plain") == ("", "")
    assert "features" not in [move.what for move in world.moves if isinstance(move, Look)]


@pytest.mark.parametrize("lacks", ["server", "target", "right"])
def test_an_old_zfs_on_either_side_gets_plain_streams(lacks: str) -> None:
    """An OpenZFS before 2.0 may not know the options, or loses data by them (openzfs #6224)."""
    machine = target("blank")
    if lacks == "target":
        machine = replace(machine, zfs_version=(0, 8, 6))
    world = World(machine)
    if lacks == "server":
        rows = world.server["features"].splitlines(keepends=True)
        world.server["features"] = "".join(row for row in rows if "zstd_compress" not in row)
    if lacks == "right":
        world.server["features"] = ""
    assert options_of(world) == ("", "")


def test_a_limit_is_given_to_the_mover() -> None:
    world = World(target("blank"))
    plan = reviewed(world, full(world, source__limit="10m"))
    step = next(step for step in plan.steps if step.id == "mover-settings")
    assert isinstance(step.action, Upload)
    assert "limit=10485760\n" in str(step.action.content)
    move = asked(world, full(world, source__limit="10m", source__way="tree"))
    assert "has no limit" in problem(move)


def test_a_name_that_becomes_too_long_is_refused() -> None:
    world = World(target("blank"))
    deep = "hostA/" + "/".join(["d" * 48] * 5)
    world.server["tree"] += [
        dataset(deep).rstrip(),
        snapshot(deep + "@2025-08-08-deep", 1, 9).rstrip(),
    ]
    move = asked(world, full(world, target__pool="restored"))
    assert move.question.key == "target.pool"
    assert "the longest name would have 269 bytes; ZFS takes 255" in problem(move)


def test_tree_without_boot_environment() -> None:
    world = World(target("blank"))
    move = asked(world, full(world, source__dataset="hostA/var", source__snapshot="newest"))
    assert move.question.key == "source.dataset"
    assert "holds no boot environment" in problem(move)


def test_dataset_without_snapshots() -> None:
    world = World(target("blank"))
    world.server["tree"] = [row for row in world.server["tree"] if "@" not in row.split("\t")[0]]
    assert "hostA has no snapshots" in problem(asked(world, full(world)))


def test_refused_estimate_is_the_end() -> None:
    world = World(target("blank"), refuses="hostA/var@x does not exist: a child lacks it.")
    move = stuck(world, full(world))
    assert "a child lacks it" in move.problems[0].what


# --- disk -----------------------------------------------------------------------------------------


def disk_question(world: World) -> Choose:
    question = asked(world, full(world).drop("target.disk")).question
    assert isinstance(question, Choose)
    return question


def test_disks_of_the_blank_machine() -> None:
    question = disk_question(World(target("blank")))
    assert {o.label: o.locked for o in question.options} == {
        "ada0": None,
        "cd0": "it is an optical drive",
        "da0": None,
        "vtbd0": None,
        "vtbd1": None,
        "Several disks": None,
    }
    assert question.default is None
    row = next(o for o in question.options if o.label == "da0")
    assert row.value == "SCSI0001"
    assert row.cells == (
        "da0",
        "1.0 GiB",
        "WD MyPassport",
        "SCSI0001",
        "no partition table, no pool",
    )


def test_disks_of_the_used_machine() -> None:
    locked = {o.label: o.locked for o in disk_question(World(target("used"))).options}
    assert locked["vtbd0"] == "it holds the pool zroot, which could be imported"
    assert locked["vtbd1"] == "it belongs to the imported pool wd"
    assert locked["ada0"] == "it holds the attached encrypted provider ada0.eli"
    assert locked["da0"] is None


@pytest.mark.parametrize(
    ("disk", "says"),
    [
        ("vtbd0", "name it by its serial number: ZRDISK0001"),
        ("vtbd1", "it belongs to the imported pool wd"),
        ("ZRDISK0002", "it belongs to the imported pool wd"),
        ("ada0", "encrypted provider"),
        ("cd0", "optical drive"),
    ],
)
def test_disk_in_use_is_refused_for_safety(disk: str, says: str) -> None:
    world = World(target("used"))
    move = stuck(world, full(world, target__disk=disk))
    assert move.exit == 3
    assert says in str(move.problems[0])


def test_old_pool_is_freed_by_the_serial_number_and_shown() -> None:
    world = World(target("used"))
    move = world.walk(full(world, target__disk="ZRDISK0001"))
    assert isinstance(move, Review)
    destroyed = [step.destroys for step in move.plan.steps if step.destroys]
    assert "The pool zroot on vtbd0p4 can no longer be imported." in destroyed
    assert any("GPT with freebsd-boot" in text for text in destroyed)


def test_old_pool_can_be_chosen_by_typing() -> None:
    world = World(target("used"))
    values = [o.value for o in disk_question(world).options]
    assert BY_SERIAL in values
    move = asked(world, full(world, target__disk=BY_SERIAL))
    assert isinstance(move.question, Enter)
    assert move.question.key == "target.disk"
    assert BY_SERIAL not in [o.value for o in disk_question(World(target("blank"))).options]


@pytest.mark.parametrize("use", [use for use in Use if use is not Use.IMPORTABLE])
def test_every_hard_claim_locks_even_a_named_disk(use: Use) -> None:
    machine = target("blank")
    disks = tuple(
        replace(disk, holds=(Hold(use, "x", disk.name),)) if disk.name == "vtbd0" else disk
        for disk in machine.disks
    )
    world = World(replace(machine, disks=disks))
    assert stuck(world, full(world)).exit == 3


def test_hanging_scan_locks_every_disk() -> None:
    world = World(replace(target("blank"), hung=("zpool import",)))
    assert all(option.locked for option in disk_question(world).options)
    move = stuck(world, full(world))
    assert move.exit == 3
    assert "`zpool import` did not come back" in move.problems[0].what


def test_small_disk_says_both_sizes() -> None:
    world = World(target("blank"))
    world.server["estimate"] = "full\thostA@2025-08-08-deep\t9000000000\nsize\t9000000000\n"
    world.server["tree"] = [
        row.replace("\t12000000\t12000000\t", "\t12000000\t8000000000\t")
        for row in world.server["tree"]
    ]
    move = asked(world, full(world))
    text = problem(move)
    assert move.question.key == "target.disk"
    assert "room for 3.6 GiB, the tree needs 7.5 GiB" in text


def test_tiny_disk_has_no_room_for_a_pool() -> None:
    machine = target("blank")
    disks = tuple(
        replace(d, disk=replace(d.disk, mediasize=300 * 1024**2)) if d.name == "vtbd0" else d
        for d in machine.disks
    )
    world = World(replace(machine, disks=disks))
    assert "too small" in problem(asked(world, full(world)))


def test_same_serial_twice_needs_the_name() -> None:
    machine = target("blank")
    disks = tuple(
        replace(d, disk=replace(d.disk, ident="SAME")) if d.name.startswith("vtbd") else d
        for d in machine.disks
    )
    world = World(replace(machine, disks=disks))
    assert "vtbd0 and vtbd1 have the same serial number" in problem(
        asked(world, full(world, target__disk="SAME"))
    )
    assert isinstance(world.walk(full(world, target__disk="vtbd1")), Review)


def test_name_of_an_imported_pool_is_taken() -> None:
    world = World(target("used"))
    move = asked(world, full(world, target__disk="SCSI0001", target__swap="0", target__pool="wd"))
    assert "is imported on the target already" in problem(move)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from([key.name for key in KEYS]), st.text(max_size=20), max_size=6)
)
def test_no_answer_raises(changes: dict[str, str]) -> None:
    world = World(target("used"))
    move = world.walk(Answers({**full(world), **changes}))
    assert isinstance(move, Ask | Stuck | Review)


def test_token_marks_pool_and_directory() -> None:
    world = World(target("blank"))
    move = world.walk(full(world))
    assert isinstance(move, Review)
    text = move.plan.to_json()
    assert f"comment=zrwizard-{TOKEN}" in text
    assert f"/tmp/zr-{TOKEN}/ssh_config" in text
