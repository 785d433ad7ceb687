"""Whatever a tool prints, a parser answers or raises ParseError."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.freebsd import (
    ParseError,
    cksum,
    compatibility,
    dhclient,
    diskinfo,
    geli,
    geom,
    gpart,
    host,
    ifconfig,
    inventory,
    mount,
    netstat,
    size,
    ssh,
    ssh_dialogue,
    swapinfo,
    sysctl,
    uname,
    zfs,
    zfs_diff,
    zfs_inspect,
    zfs_receive,
    zfs_send,
    zpool,
    zpool_errors,
    zpool_history,
    zpool_import,
)

PARSERS: dict[str, Callable[[str], object]] = {
    "cksum": cksum.parse,
    "diskinfo": diskinfo.parse,
    "diskinfo -s": diskinfo.parse_ident,
    "geli": geli.parse_status,
    "geom": geom.parse_disks,
    "gpart show": gpart.parse_show,
    "gpart backup": gpart.parse_backup,
    "date": host.parse_now,
    "id": host.parse_user_id,
    "ls": host.parse_names,
    "ifconfig -l": ifconfig.parse_names,
    "ifconfig": ifconfig.parse,
    "mount": mount.parse_mounted,
    "df": mount.parse_room,
    "netstat -rn": netstat.parse_default_route,
    "size": size.parse,
    "size of zfs": size.parse_zfs,
    "size of gpart": lambda text: size.parse_gpart(text, 512),
    "ssh-keyscan": ssh.parse_scan,
    "ssh-keygen": ssh.parse_fingerprints,
    "fingerprint": ssh.normal_fingerprint,
    "swapinfo": swapinfo.parse,
    "kern.disks": sysctl.parse_disks,
    "bootmethod": sysctl.parse_bootmethod,
    "number": sysctl.parse_number,
    "uname": uname.parse,
    "zfs list": lambda text: inventory.parse(text.split("\n")),
    "zfs list in detail": zfs_inspect.parse,
    "written": zfs_inspect.parse_bytes,
    "zpool history": zpool_history.parse,
    "zfs roots": zfs.parse_roots,
    "zfs guids": zfs.parse_guids,
    "zfs get": zfs.parse_properties,
    "zfs value": zfs.parse_value,
    "zfs used": zfs.parse_used,
    "zfs version": zfs.parse_version,
    "estimate": zfs_send.parse_estimate,
    "zpool list": zpool.parse_list,
    "zpool status": zpool.parse_status,
    "zpool import": zpool_import.parse,
    "zpool value": zpool.parse_value,
}
SILENT: dict[str, Callable[[str], object]] = {
    "receive log": zfs_receive.parse_log,
    "netstat": netstat.parse_rows,
    "dhclient": dhclient.classify,
    "gpart complaint": gpart.explain,
    "receive complaint": zfs_receive.explain,
    "diff complaint": zfs_diff.explain,
    "mounts": lambda text: mount.parse_zfs(text.encode(), {"zroot", "zroot/usr", "bak"}),
    "mountpoints": lambda text: zfs_inspect.parse_mountpoints(text.encode(), {"zroot", "bak"}),
    "send complaint": zfs_send.explain,
    "zpool complaint": zpool_errors.explain,
    "ssh failure": ssh_dialogue.explain,
    "ssh prompt": ssh_dialogue.prompt_at_end,
    "release": lambda text: compatibility.choose(text, {"openzfs-2.0-freebsd"}),
}

ENTRIES = json.loads((Path(__file__).parent / "recorded.json").read_text("utf-8"))
REAL: list[str] = [
    entry[part] for entry in ENTRIES for part in ("stdout", "stderr", "tty") if entry.get(part)
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Real output that lost a piece, got another piece in the middle, or was cut."""
    text = draw(st.sampled_from(REAL))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 40)))
    piece = draw(st.one_of(st.text(max_size=8), st.sampled_from(REAL).map(lambda t: t[:60])))
    return text[:start] + piece + text[end:]


ANYTHING = st.one_of(st.text(max_size=200), damaged(), st.sampled_from(REAL))


@pytest.mark.parametrize("name", PARSERS)
@given(text=ANYTHING)
@settings(max_examples=60, deadline=None)
def test_nothing_but_parse_error(name: str, text: str) -> None:
    try:
        PARSERS[name](text)
    except ParseError as failure:
        assert failure.tool  # noqa: PT017
        assert failure.what  # noqa: PT017
        assert len(failure.excerpt) < 1000  # noqa: PT017
        assert str(failure).isprintable()  # noqa: PT017


@pytest.mark.parametrize("name", SILENT)
@given(text=ANYTHING)
@settings(max_examples=60, deadline=None)
def test_nothing_at_all(name: str, text: str) -> None:
    SILENT[name](text)
