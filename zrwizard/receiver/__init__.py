"""What a backup server runs for its two single-purpose keys: the script, its settings, its start.

`receiver.sh` is the only command behind both force-commands. It opens the disk, receives, answers
a few questions, and closes the disk whatever happens. This room writes text and knows nobody.
"""

from __future__ import annotations

import re
from importlib import resources

PATH = "/usr/local/libexec/zr-receiver"
"""Where the script is installed: root:wheel, mode 0555."""
CONFIG_DIR = "/usr/local/etc/zrwizard"
"""Where its settings lie, one file for each server name: root:wheel, mode 0600."""
RC_PATH = "/usr/local/etc/rc.d/zrwizard"
"""Where the rc(8) script is installed: root:wheel, mode 0555; enabled by `zrwizard_enable`."""
ROLES = ("deliver", "receive")
KEY_LIMIT = 65536
"""Bytes that a delivered key may have."""
INVENTORY = ("name", "type", "guid", "createtxg", "creation", "used", "refer", "userrefs")
"""The columns of what `inventory` answers, in their order, separated by tabs (`zfs list -Hp`)."""

SCRIPT = resources.files(__name__).joinpath("receiver.sh").read_text(encoding="utf-8")
"""The receiver script: POSIX sh for FreeBSD's base system."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_SERIAL = re.compile(
    r"(?:[A-Za-z0-9_.:+/-](?:[A-Za-z0-9_.:+/ -]{0,126}[A-Za-z0-9_.:+/-])?)?", re.ASCII
)
_LABEL = re.compile(r"[A-Za-z0-9_.:-]{0,36}", re.ASCII)
_POOL = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,254}", re.ASCII)
_LONGEST_WAIT = 9999


def config(
    *,
    shape: str,
    serial: str,
    size: int,
    pool: str,
    part: str = "",
    delivery: str = "stdin",
    force: bool = False,
    wait: int = 60,
    attach: int = 60,
) -> str:
    """Return the settings of one server, as the script reads them: every one of them, once.

    `shape` is `vault` or `plain`; `serial` and `size` (bytes) are the disk's, as geom(8) tells them
    (no serial: empty); `part` is the GPT label of a partition, empty for the whole disk; `delivery`
    is `stdin` or `fifo`; `wait` and `attach` are the seconds for a key to come, and for it to open
    the disk. With `force` a receive may roll back, and a replication stream destroys what its
    sender no longer has (`zfs receive -F`, facts C5); without it no stream destroys a snapshot.
    Raises ValueError, in plain words, for anything that the script would not take.
    """
    _check(shape in ("vault", "plain"), "a server's shape is vault or plain")
    _check(delivery in ("stdin", "fifo"), "a key is delivered by stdin or by fifo")
    _check(0 < size < 10**18, "a disk's size is a number of bytes above nought")
    _check(_SERIAL.fullmatch(serial) is not None, f"the serial number {serial!r} cannot be used")
    _check(_LABEL.fullmatch(part) is not None, f"the partition label {part!r} cannot be used")
    _check(_POOL.fullmatch(pool) is not None, f"{pool!r} is no name for a pool")
    _check(0 < wait <= _LONGEST_WAIT, "the wait for a key is 1 to 9999 seconds")
    _check(0 < attach <= _LONGEST_WAIT, "the time to attach is 1 to 9999 seconds")
    settings = {
        "shape": shape,
        "serial": serial,
        "size": str(size),
        "part": part,
        "pool": pool,
        "delivery": delivery,
        "force": "yes" if force else "no",
        "wait": str(wait),
        "attach": str(attach),
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def config_path(name: str) -> str:
    """Return where the settings of the server `name` lie. ValueError for what is no plain name."""
    return f"{CONFIG_DIR}/{_checked(name)}.conf"


def force_command(name: str, role: str) -> str:
    """Return the force-command of a key whose `role` is `deliver` or `receive`. ValueError else."""
    _check(role in ROLES, "a single-purpose key may deliver or receive")
    return f"{PATH} {_checked(name)} {role}"


def _checked(name: str) -> str:
    _check(
        _NAME.fullmatch(name) is not None,
        f"{name!r} is no name: letters, digits, dots, dashes and underscores",
    )
    return name


def _check(fine: bool, sentence: str) -> None:
    if not fine:
        raise ValueError(sentence)


RC_SCRIPT = f"""\
#!/bin/sh

# PROVIDE: zrwizard
# REQUIRE: FILESYSTEMS NETWORKING sshd zfs
# KEYWORD: nojail shutdown

# The backup server that zrwizard set up. A plain one has an sshd of its own beside the system's,
# and a pool that is imported here without mounting anything of it. A vault stays closed.
#
# zrwizard_enable="YES" in rc.conf(5) lets it start.

. /etc/rc.subr

name="zrwizard"
desc="backup server set up by zrwizard"
rcvar="zrwizard_enable"
start_cmd="zrwizard_start"
stop_cmd="zrwizard_stop"
status_cmd="zrwizard_status"
extra_commands="status"

zrwizard_each()
{{
	for file in {CONFIG_DIR}/*.conf; do
		grep -qsx shape=plain "$file" || continue
		server="${{file##*/}}"
		server="${{server%.conf}}"
		sshd_config="/etc/ssh/zrwizard/$server/sshd_config"
		sshd_pid="$(check_pidfile "/var/run/sshd-zrwizard-$server.pid" /usr/sbin/sshd)"
		"$1"
	done
}}

zrwizard_start_one()
{{
	if [ -z "$sshd_pid" ] && [ -f "$sshd_config" ]; then
		echo "Starting the sshd of $server."
		/usr/sbin/sshd -f "$sshd_config" || warn "the sshd of $server did not start"
	fi
	# The receiver knows the disk by its serial number and imports its pool before it answers.
	SSH_ORIGINAL_COMMAND=health {PATH} "$server" receive >/dev/null ||
		warn "the pool of $server is not there"
}}

zrwizard_stop_one()
{{
	if [ -n "$sshd_pid" ]; then
		echo "Stopping the sshd of $server."
		kill "$sshd_pid"
		wait_for_pids "$sshd_pid"
	fi
}}

zrwizard_status_one()
{{
	echo "$server: sshd ${{sshd_pid:-is not running}}"
}}

zrwizard_start() {{ zrwizard_each zrwizard_start_one; }}
zrwizard_stop() {{ zrwizard_each zrwizard_stop_one; }}
zrwizard_status() {{ zrwizard_each zrwizard_status_one; }}

load_rc_config $name
: ${{zrwizard_enable:="NO"}}
run_rc_command "$1"
"""
"""The rc(8) script: starts a plain server's own sshd and imports its pool, mounting nothing."""
