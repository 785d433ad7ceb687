"""The flow `server`, question by question, and everything that will not do."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flows.server_world import ANSWERS, SERIAL, ServerWorld, box, full
from zrwizard.facts import Hold, Use
from zrwizard.flows.ask_disk import BY_SERIAL
from zrwizard.flows.moves import Answers, Ask, Choose, Enter, EnterSecret, Look, Review, Stuck
from zrwizard.flows.server import KEYS, SERVER
from zrwizard.freebsd import gpart
from zrwizard.freebsd.zpool import Pool
from zrwizard.plan import Danger

PAGES = ["purpose", "disks", "access", "keys", "system", "placing", "keys"]
SECRETS = ["secret.ca-passphrase", "secret.escrow-passphrase"]


def asked(world: ServerWorld, answers: Answers) -> Ask:
    move = world.walk(answers)
    assert isinstance(move, Ask), move
    return move


def stuck(world: ServerWorld, answers: Answers) -> Stuck:
    move = world.walk(answers)
    assert isinstance(move, Stuck), move
    for problem in move.problems:
        assert problem.what.strip().endswith((".", ")."))
        assert problem.now
    return move


def problem(move: Ask) -> str:
    assert move.problem is not None
    assert move.problem.key == move.question.key
    assert move.problem.what
    assert move.problem.now
    return str(move.problem)


def steps(world: ServerWorld, answers: Answers) -> list[str]:
    move = world.walk(answers)
    assert isinstance(move, Review), move
    return [step.id for step in move.plan.steps]


def kept(world: ServerWorld | None = None) -> ServerWorld:
    """A world whose new USB disk was set up before for the keys called knox."""
    bare = (world or ServerWorld()).disk("da0", contents="4294967295 0", table=None)
    return bare.changed(sealed=("da0",)).keys()


# --- the way through ------------------------------------------------------------------------------


def way(world: ServerWorld, answers: Answers) -> tuple[list[str], list[str], list[type[Any]]]:
    """Keys, pages and kinds of the questions that are asked on the way to the plan."""
    given = Answers()
    found: list[Ask] = []
    while not isinstance(move := world.walk(given), Review):
        assert isinstance(move, Ask)
        assert move.problem is None
        found.append(move)
        given = given.put(move.question.key, answers[move.question.key])
    return (
        [ask.question.key for ask in found],
        [ask.question.page for ask in found],
        [type(ask.question) for ask in found],
    )


def test_questions_come_in_the_order_of_the_keys_and_each_is_asked_once() -> None:
    world = ServerWorld()
    keys, pages, kinds = way(world, full())
    assert keys == [*(key.name for key in KEYS), *SECRETS]
    assert list(dict.fromkeys(pages)) == PAGES[:-1]
    assert pages[-2:] == ["keys", "keys"]
    assert kinds[-2:] == [EnterSecret, EnterSecret]
    assert [(look.what, look.detail) for look in world.looks] == [
        ("target", ()),
        ("system", ()),
        ("own", ("knox",)),
    ]


def test_plain_server_is_not_asked_about_encryption() -> None:
    keys, _, _ = way(ServerWorld(), full(server__shape="plain", server__port="2223"))
    assert set(ANSWERS) - set(keys) == {"disk.whole", "server.trial_port", "keys.delivery"}


def test_disk_alone_needs_few_answers() -> None:
    keys, _, _ = way(ServerWorld(), full(server__scope="disk"))
    assert keys == [
        "server.name",
        "server.shape",
        "server.scope",
        "target.disk",
        "disk.whole",
        "disk.pool",
        *SECRETS,
    ]


def test_defaults_lead_to_a_vault_that_keeps_what_it_gets() -> None:
    world = ServerWorld()
    given = Answers({"target.disk": SERIAL, "secret.ca-passphrase": "given"})
    given = given.put("secret.escrow-passphrase", "given")
    while not isinstance(move := world.walk(given), Review):
        assert isinstance(move, Ask)
        question = move.question
        assert isinstance(question, Choose | Enter)
        assert question.default
        given = given.put(question.key, question.default)
    assert move.plan.title == "Set up the vault knox on da0"
    assert given["server.host"] == "192.0.2.20"
    assert given["receive.force"] == "no"
    assert given["reach.how"] == "lan"


def test_all_keys_have_help_and_example() -> None:
    assert len({key.name for key in KEYS}) == len(KEYS)
    assert {key.name for key in KEYS} == set(ANSWERS) - set(SECRETS)
    for key in KEYS:
        assert key.help
        assert key.example


def test_machine_is_described_before_it_is_decided_what_becomes_of_it() -> None:
    question = asked(ServerWorld(), full().drop("server.scope")).question
    about = (
        "The machine knox: FreeBSD 14.2-RELEASE on amd64, 989.5 MiB of memory, OpenSSH_9.7p1; "
        "network bfe0 (192.0.2.20); its clock is 0 seconds off."
    )
    assert about in question.help
    move = ServerWorld().walk(full())
    assert isinstance(move, Review)
    assert move.plan.notes[0] == about


def test_flow_is_pure() -> None:
    world = ServerWorld()
    first = world.walk(full())
    assert isinstance(first, Review)
    assert SERVER.next_move(world.facts, full()) == first


def test_another_name_is_looked_for() -> None:
    world = ServerWorld()
    world.walk(full())
    move = SERVER.next_move(world.facts, full(server__name="fort"))
    assert isinstance(move, Look)
    assert (move.what, move.detail) == ("own", ("fort",))


def test_helps_are_sentences_without_jargon() -> None:
    for answers in (full(), full(server__shape="plain", server__port="2223")):
        world = ServerWorld()
        given = Answers()
        while not isinstance(move := world.walk(given), Review):
            assert isinstance(move, Ask)
            question = move.question
            assert question.help.endswith("."), question.key
            assert len(question.help) > 60, question.key
            for word in ("TODO", "provider", "principal", "KRL", "daemon"):
                assert word not in question.help, question.key
            given = given.put(question.key, answers[question.key])


# --- answers that will not do ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("server.name", "Knox", "not a name of small letters"),
        ("server.name", "-knox", "not a name of small letters"),
        ("server.name", "a/b", "not a name of small letters"),
        ("server.name", "x" * 33, "not a name of small letters"),
        ("server.shape", "castle", "not one of the choices"),
        ("server.scope", "half", "not one of the choices"),
        ("target.disk", "NOSUCH", "no disk NOSUCH"),
        ("disk.whole", "perhaps", "not one of the choices"),
        ("disk.pool", "mirror", "cannot be the name of a pool"),
        ("disk.pool", "9lives", "cannot be the name of a pool"),
        ("disk.pool", "a b", "cannot be the name of a pool"),
        ("server.host", "a b", "not an address or a name"),
        ("server.host", "-oProxyCommand=x", "not an address or a name"),
        ("server.port", "0", "not a TCP port"),
        ("server.port", "２２", "not a TCP port"),
        ("server.port", "70000", "not a TCP port"),
        ("server.trial_port", "22", "Port 22 is where it listens in the end"),
        ("server.trial_port", "x", "not a TCP port"),
        ("keys.delivery", "pigeon", "not one of the choices"),
        ("keys.host_days", "0", "not a number of days"),
        ("keys.login_days", "-1", "not a number of days"),
        ("keys.single_days", "99999", "not a number of days"),
        ("receive.force", "maybe", "not one of the choices"),
        ("system.files", "some", "not one of the choices"),
        ("system.root", "writeonly", "not one of the choices"),
        ("system.swap", "burn", "not one of the choices"),
        ("reach.how", "smoke", "not one of the choices"),
        ("reach.name", "a;b", "neither a name nor an address"),
        ("reach.address", "192.0.2.20", "not keep, dhcp"),
        ("reach.address", "192.0.2.0/24 192.0.2.1", "names the whole network"),
        ("reach.address", "192.0.2.20/24 192.0.3.1", "does not lie in the network"),
        ("reach.address", "192.0.2.20/24 192.0.2.20", "does not lie in the network"),
        ("reach.address", "x/24 y", "not a pair of IPv4 addresses"),
        ("source.dataset", "zroot@x", "not a dataset's name"),
        ("source.dataset", "zroot/$(reboot)", "not a dataset's name"),
        ("source.user", "hugh; rm", "not a user name"),
    ],
)
def test_bad_answer_is_asked_again_with_a_sentence(key: str, value: str, says: str) -> None:
    move = asked(ServerWorld(), full().put(key, value))
    assert move.question.key == key
    assert says in problem(move)


def test_busy_ports_are_refused_unless_an_earlier_run_listens_there() -> None:
    plain = full(server__shape="plain", server__port="22")
    assert "listens on port 22 there already" in problem(asked(ServerWorld(), plain))
    world = ServerWorld().changed(listening=(22, 2222))
    assert "listens on port 2222 there already" in problem(asked(world, full()))
    assert isinstance(world.changed(marks=("knox",)).walk(full()), Review)
    assert isinstance(world.changed(marks=("knox",), listening=(22, 2223)).walk(full()), Review)


def test_fixed_address_needs_one_interface() -> None:
    target = box()[0]
    second = replace(target.nics[0], name="em0")
    world = ServerWorld().changed(nics=(*target.nics, second))
    move = asked(world, full(reach__address="dhcp"))
    assert "several network interfaces in use (bfe0, em0)" in problem(move)


# --- what is missing ------------------------------------------------------------------------------


def test_not_root_is_the_end() -> None:
    assert stuck(ServerWorld().changed(uid=1001), Answers()).exit == 4


@pytest.mark.parametrize(
    ("changes", "says", "now"),
    [
        ({"zfs_version": None}, "ZFS does not answer", "kldload zfs"),
        ({"memory": 268435456}, "256.0 MiB of memory", "another computer"),
        ({"tmp_free": 100_000}, "of room in /tmp", "/tmp"),
        ({"seeded": False}, "random source gave nothing", "Wait a minute"),
        ({"openssh": "bash: ssh: not found"}, "no OpenSSH", "Install"),
        ({"openssh": "OpenSSH_6.6p1"}, "too old", "Update"),
        ({"skew": -3600.0}, "3600 seconds behind this machine's. A certificate", "ntpd -g -q"),
        ({"skew": 86400.0}, "24.0 hours ahead of this machine's.", "ntpd -g -q"),
        ({"skew": 90.0, "ntp_running": True}, "90 seconds ahead", "ntpd runs there"),
        ({"nics": ()}, "no network address", "dhclient"),
    ],
)
def test_what_is_missing_is_said_before_anything_else_is_asked(
    changes: dict[str, Any], says: str, now: str
) -> None:
    world = ServerWorld().changed(**changes)
    given = {key: ANSWERS[key] for key in ("server.name", "server.shape", "server.scope")}
    move = stuck(world, Answers(given))
    assert move.exit == 2
    assert any(says in each.what and now in each.now for each in move.problems), move.problems


def test_everything_that_is_missing_is_said_at_once() -> None:
    world = ServerWorld().changed(memory=1, tmp_free=1, seeded=False, skew=999.0, disks=())
    assert len(stuck(world, full()).problems) == 5


def test_a_minute_of_difference_is_no_difference() -> None:
    assert isinstance(ServerWorld().changed(skew=-59.0).walk(full()), Review)


@pytest.mark.parametrize("path", ["/etc/rc.conf", "/etc/ssh/sshd_config"])
def test_files_that_must_be_edited_must_be_readable(path: str) -> None:
    world = ServerWorld().text(path, None, "it is no text in UTF-8")
    assert "it is no text in UTF-8" in stuck(world, full()).problems[0].what


def test_damaged_rc_conf_is_said() -> None:
    world = ServerWorld().text("/etc/rc.conf", 'hostname="knox\n')
    assert "/etc/rc.conf cannot be edited" in stuck(world, full()).problems[0].what


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"live": True}, "install medium"), ({"etc_writable": False}, "/etc cannot be written")],
)
def test_only_the_disk_where_nothing_else_would_last(changes: dict[str, Any], says: str) -> None:
    world = ServerWorld().changed(**changes)
    move = asked(world, full())
    assert move.question.key == "server.scope"
    assert isinstance(move.question, Choose)
    assert move.question.default == "disk"
    assert says in problem(move)
    found = steps(world, full(server__scope="disk"))
    assert found[-3:] == ["prove-disk", "sheet", "ready"]
    assert not {"certify", "receiver", "rc-conf", "trial-cut"} & set(found)


def test_disk_alone_needs_neither_clock_nor_ssh() -> None:
    world = ServerWorld().changed(live=True, skew=1e6, openssh="", nics=())
    assert "geli-init" in steps(world, full(server__scope="disk"))


# --- the disk -------------------------------------------------------------------------------------


def disk_question(world: ServerWorld) -> Choose:
    question = asked(world, full().drop("target.disk")).question
    assert isinstance(question, Choose)
    return question


def test_disks_of_the_box() -> None:
    question = disk_question(ServerWorld())
    locked = {option.label: option.locked for option in question.options}
    assert locked == {
        "ada0": "/ is mounted from it",
        "cd0": "it is an optical drive",
        "da0": None,
        "da1": "it holds the pool tank, which could be imported",
        "A disk that holds an old pool": None,
    }
    row = next(option for option in question.options if option.label == "da0")
    assert row.cells[:4] == ("da0", "1.8 TiB", "WD My Passport 0820", SERIAL)
    assert "Everything on it is erased: MBR with ntfs" in row.detail


def test_old_pool_is_freed_by_the_serial_number_alone() -> None:
    move = stuck(ServerWorld(), full(target__disk="da1"))
    assert move.exit == 3
    assert "name it by its serial number: W6203ABC" in move.problems[0].now
    question = asked(ServerWorld(), full(target__disk=BY_SERIAL)).question
    assert isinstance(question, Enter)
    plan = ServerWorld().walk(full(target__disk="W6203ABC"))
    assert isinstance(plan, Review)
    destroyed = [step.destroys for step in plan.plan.steps if step.destroys]
    assert "The pool tank on da1p1 can no longer be imported." in destroyed


@pytest.mark.parametrize("use", [use for use in Use if use is not Use.IMPORTABLE])
def test_every_hard_claim_locks_even_a_named_disk(use: Use) -> None:
    world = ServerWorld().disk("da0", holds=(Hold(use, "x", "da0"),))
    assert stuck(world, full()).exit == 3


def test_encrypted_disk_is_never_written_to() -> None:
    world = ServerWorld().changed(sealed=("da0",))
    move = stuck(world, full())
    assert move.exit == 3
    assert "da0 is encrypted with geli" in move.problems[0].what
    assert "`geli clear da0`" in move.problems[0].now
    partition = ServerWorld().changed(sealed=("da1p1",))
    assert "da1p1 is encrypted" in stuck(partition, full(target__disk="W6203ABC")).problems[0].what


def test_hanging_scan_locks_every_disk() -> None:
    move = stuck(ServerWorld().changed(hung=("zpool import",)), full())
    assert "`zpool import` did not come back" in move.problems[0].what


def test_no_disk_at_all_is_said_early() -> None:
    target = box()[0]
    world = ServerWorld().changed(disks=target.disks[:2])
    move = stuck(world, full().drop("target.disk"))
    assert "No disk can hold the backups (ada0: / is mounted from it" in move.problems[0].what
    assert "Plug in the disk" in move.problems[0].now


def test_twins_are_refused_since_the_server_could_not_tell_them_apart() -> None:
    target = box()[0]
    da0 = next(disk for disk in target.disks if disk.name == "da0")
    twin = replace(da0, disk=replace(da0.disk, name="da2"))
    world = ServerWorld().changed(disks=(*target.disks, twin))
    move = stuck(world, full(target__disk="da0"))
    assert "same serial number and size" in move.problems[0].what
    assert "Unplug the other one" in move.problems[0].now


def test_serial_number_that_the_receiver_cannot_hold() -> None:
    world = ServerWorld().disk("da0", ident="A$(reboot)B")
    move = stuck(world, full(target__disk="da0"))
    assert "cannot be used" in move.problems[0].what


def test_tiny_disk() -> None:
    world = ServerWorld().disk("da0", mediasize=50 * 1024**2, contents="4294967295 0", table=None)
    assert "too small" in stuck(world, full()).problems[0].what


def test_name_of_an_imported_pool_is_taken() -> None:
    target = box()[0]
    world = ServerWorld(replace(target, pools=(Pool("wd", 1, 1, 1, "ONLINE", None),)))
    assert "imported on that machine already" in problem(asked(world, full()))


# --- keys that are there --------------------------------------------------------------------------


def test_unusable_keys_are_refused_with_their_fault() -> None:
    world = ServerWorld().keys(problem="geli.key can be read by others. chmod 600 it.")
    move = asked(world, full())
    assert move.question.key == "server.name"
    assert "geli.key can be read by others" in problem(move)


def test_keys_of_a_disk_that_is_not_here() -> None:
    move = asked(ServerWorld().keys(serial="OTHER"), full())
    assert move.question.key == "server.name"
    assert "belong to the disk OTHER (1.8 TiB)" in problem(move)


def test_keys_of_another_disk_that_is_here() -> None:
    world = kept()
    move = stuck(world, full(target__disk="W6203ABC"))
    assert "the keys called knox belong to another disk (WX11A1234567)" in move.problems[0].what


def test_disk_that_was_set_up_is_offered_and_kept() -> None:
    row = next(option for option in disk_question(kept()).options if option.label == "da0")
    assert row.cells[4] == "already set up: keep it"
    assert row.recommended
    move = kept().walk(full())
    assert isinstance(move, Review)
    assert not move.plan.erases
    assert all(step.danger is not Danger.ERASES for step in move.plan.steps)
    ids = [step.id for step in move.plan.steps]
    assert ids[2:12] == [
        "zfs-module",
        "geli-module",
        "keep-disk",
        "escrow",
        "attach",
        "pool-kept",
        "export",
        "detach",
        "key-gone",
        "closed",
    ]
    assert any("nothing on it is erased" in note for note in move.plan.notes)


def test_kept_disk_under_another_name_is_found_by_its_identity() -> None:
    world = kept()
    disks = tuple(
        replace(disk, disk=replace(disk.disk, name="da7")) if disk.name == "da0" else disk
        for disk in world.target.disks
    )
    other = world.changed(disks=disks, sealed=("da7",))
    move = other.walk(full())
    assert isinstance(move, Review)
    assert not move.plan.erases
    assert move.plan.disks[0].name == "da7"


def test_kept_partition_is_known_by_its_label() -> None:
    row = "GPT 128\n1 freebsd-zfs 2048 3906961408 knox0 \n"
    world = ServerWorld().disk("da0", table=gpart.parse_backup(row), contents="1 2")
    sealed = world.changed(sealed=("da0p1",)).keys()
    move = sealed.walk(full())
    assert isinstance(move, Review)
    attach = next(step for step in move.plan.steps if step.id == "attach")
    assert "geli attach -p -k - gpt/knox0" in str(attach.action)


def test_kept_plain_disk() -> None:
    row = "GPT 128\n1 freebsd-zfs 2048 3906961408 knox0 \n"
    world = ServerWorld().disk(
        "da0",
        table=gpart.parse_backup(row),
        contents="1 2",
        holds=(Hold(Use.POOL, "hosta", "da0p1"),),
    )
    answers = full(server__shape="plain", server__port="2223")
    ids = steps(world.keys(metadata=""), answers)
    assert ids[2:6] == ["zfs-module", "keep-disk", "escrow", "pool-kept"]
    # The same pool below another label is somebody else's.
    other = world.disk("da0", table=gpart.parse_backup(row.replace("knox0", "tank0")))
    assert stuck(other.keys(metadata=""), answers).exit in (2, 3)


def test_lost_metadata_are_to_be_put_back() -> None:
    world = ServerWorld().keys()
    move = stuck(world, full())
    assert "the geli metadata that it should carry is gone" in move.problems[0].what
    assert "geli restore" in move.problems[0].now


def test_disk_that_a_killed_run_encrypted() -> None:
    world = ServerWorld().keys(metadata="").changed(sealed=("da0",))
    move = stuck(world, full())
    assert "go on with that run" in move.problems[0].now
    assert "`geli clear da0`" in move.problems[0].now


def test_keys_without_a_disk_yet_are_used() -> None:
    assert "geli-init" in steps(ServerWorld().keys(serial="", size=0, metadata=""), full())
    assert "geli-init" in steps(ServerWorld().keys(metadata=""), full())


def test_passphrase_is_typed_twice_only_where_it_is_new() -> None:
    question = asked(ServerWorld(), full().drop("secret.ca-passphrase")).question
    assert isinstance(question, EnterSecret)
    assert (question.secret, question.twice) == ("ca-passphrase", True)
    question = asked(kept(), full().drop("secret.ca-passphrase")).question
    assert isinstance(question, EnterSecret)
    assert not question.twice


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(st.sampled_from([key.name for key in KEYS]), st.text(max_size=20), max_size=6),
    st.booleans(),
)
def test_no_answer_raises(changes: dict[str, str], old: bool) -> None:
    world = kept() if old else ServerWorld()
    move = world.walk(Answers({**full(), **changes}))
    assert isinstance(move, Ask | Stuck | Review)


def test_every_help_fits_on_a_small_screen() -> None:
    """80 columns have room for 78 letters of it, and 24 rows for six lines."""
    seen: dict[str, str] = {}
    for shape in ("vault", "plain"):
        given = dict(full(server__shape=shape))
        for key in [*given, None]:
            move = ServerWorld().walk(Answers({k: v for k, v in given.items() if k != key}))
            if isinstance(move, Ask):
                seen[move.question.key] = move.question.help
    assert len(seen) > 15
    long = {key: text for key, text in seen.items() if len(textwrap.wrap(text, 78)) > 6}
    assert not long
