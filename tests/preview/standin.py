"""A machine for previews without ZFS: real sh on a real pty, and stand-ins for zfs and mount.

What they know lies in files of one directory, so a test can see what was done there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from pathlib import Path

import pytest

from tests.bridge import Bridge
from zrwizard.preview.session import Door
from zrwizard.secrets import Secrets

_ENVIRONMENT = threading.Lock()
MOUNT = """\
#!/bin/sh
here={here}
case "$1" in
'') cat "$here/mounts"; exit 0;;
-p) sed 's/^\\(.*\\) on \\(.*\\) (zfs.*/\\1 \\2 zfs rw 0 0/' "$here/mounts"; exit 0;;
-t)
  [ "$1 $2 $3 $4" = '-t zfs -o ro' ] || exit 64
  [ ! -e "$here/broken-$(echo "$5" | tr / _)" ] || {{ echo "mount: $5: Device busy" >&2; exit 1; }}
  echo "mount $5" >> "$here/log"
  echo "$5 on $(cd "$6" && pwd -P) (zfs, local, read-only, nfsv4acls)" >> "$here/mounts";;
*) exit 64;;
esac
"""
UMOUNT = """\
#!/bin/sh
here={here}
grep -F -q " on $1 " "$here/mounts" || {{ echo "umount: $1: not a file system root" >&2; exit 1; }}
[ ! -e "$here/busy" ] || {{ echo "umount: unmount of $1 failed: Device busy" >&2; exit 1; }}
echo "umount $1" >> "$here/log"
grep -F -v " on $1 " "$here/mounts" > "$here/mounts.new"
mv "$here/mounts.new" "$here/mounts"
"""
ZFS = """\
#!{python} -IS
import json, os, sys, time
from pathlib import Path
here = Path({here!r})
told = json.loads((here / "told.json").read_text())
argv = sys.argv[1:]
mounts = dict(row.split(" (")[0].split(" on ") for row in open(here / "mounts"))
def below(name, root):
    return not root or name == root or name.startswith((root + "/", root + "@"))
def fail(text):
    sys.stderr.write(text + "\\n")
    sys.exit(1)
def known(name):
    if name not in [row["name"] for row in told["rows"]]:
        fail(f"cannot open '{{name}}': dataset does not exist")
def cell(row, column):
    if column == "mounted" and row["type"] == "filesystem":
        return "yes" if row["name"] in mounts else "no"
    if column == "mountpoint":
        return mounts.get(row["name"], row.get("mountpoint", "none"))
    return str(row.get(column, "-"))
match argv:
    case ["list", *options]:
        root = "" if options[-2] == "-o" else options[-1]
        if root:
            known(root)
        columns = options[options.index("-o") + 1].split(",")
        kinds = options[options.index("-t") + 1].split(",")
        for row in told["rows"]:
            if below(row["name"], root) and row["type"] in kinds:
                print("\\t".join(cell(row, column) for column in columns))
    case ["get", "-H", "-o", "value", "mounted", name]:
        print("yes" if name in mounts else "no")
    case ["get", "-H", "-o", "value", "readonly", name]:
        print(told["readonly"])
    case ["get", "-Hp", "-o", "value", prop, name]:
        print(told["written"].get(name, 4096))
    case ["send", "-nvP", *rest]:
        known(rest[-1])
        kind = ["incremental", rest[-2]] if len(rest) > 1 else ["full"]
        print(*kind, rest[-1], 624, sep="\\t")
        print("size", 624, sep="\\t")
    case ["diff", "-FHt", older, newer]:
        dataset = newer.partition("@")[0]
        if dataset not in mounts:
            fail("Cannot diff an unmounted snapshot: operation not applicable")
        for line in told["diffs"].get(f"{{older}} {{newer}}", []):
            text = line.replace("MOUNT", mounts[dataset].rstrip("/"))
            if text.startswith("sleep "):
                sys.stdout.flush()
                time.sleep(float(text[6:]))
            elif text.startswith("fail "):
                sys.stdout.flush()
                fail(text[5:])
            else:
                print("1700000000.000000001\\t" + text, flush=len(told["diffs"]) < 100)
    case _:
        with open(here / "refused", "a") as stream:
            print(argv, file=stream)
        sys.exit(64)
"""
ZPOOL = """\
#!/bin/sh
[ "$1" = history ] || exit 64
echo "History for '$2':"
"""


def _guid(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])


class Machine:
    """The stand-ins in `here`; `mounts` is what mount(8) prints, `log` what was done."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.told: dict[str, object] = {"rows": [], "diffs": {}, "written": {}, "readonly": "off"}
        self._rows: list[dict[str, object]] = []
        here.mkdir()
        (here / "mounts").touch()
        (here / "log").touch()
        self.tell()
        self.tool("mount", MOUNT.format(here=here))
        self.tool("umount", UMOUNT.format(here=here))
        self.tool("zfs", ZFS.format(here=str(here), python=sys.executable))
        self.tool("zpool", ZPOOL)

    def tell(self, **what: object) -> None:
        """Let the stand-in of zfs know more."""
        self.told |= what
        (self.here / "told.json").write_text(json.dumps(self.told))

    def dataset(
        self, name: str, *tags: str, mount: str | None = None, written: int = 4096, **more: object
    ) -> None:
        """Have a file system with snapshots; `mount` is where it is mounted, None: nowhere."""
        number = len(self._rows) + 1
        row: dict[str, object] = {
            "name": name,
            "type": "filesystem",
            "creation": 1_700_000_000,
            "createtxg": 10,
            "canmount": "on",
            "atime": "off",
            "encryption": "off",
            "keystatus": "none",
        }
        sizes = ("used", "referenced", "written", "logicalused", "logicalreferenced")
        row |= dict.fromkeys(sizes, written) | {"guid": 1000 + number} | more
        self._rows.append(row)
        for order, tag in enumerate(tags, 1):
            snapshot = {
                "name": f"{name}@{tag}",
                "type": "snapshot",
                "guid": _guid(f"{name}@{tag}"),
                "creation": 1_700_000_000 + 3600 * order,
                "createtxg": 100 * order,
            }
            self._rows.append(snapshot | dict.fromkeys(sizes, written))
        if mount is not None:
            with (self.here / "mounts").open("a") as stream:
                stream.write(f"{name} on {mount} (zfs, local, nfsv4acls)\n")
        self.tell(rows=self._rows)

    def share(self, name: str, origin: str) -> None:
        """Let a dataset's snapshots be those of whatever else shares `origin`, tag for tag."""
        for row in self._rows:
            dataset, at, tag = str(row["name"]).partition("@")
            if at and dataset == name:
                row["guid"] = _guid(f"{origin}@{tag}")
        self.tell(rows=self._rows)

    def tool(self, name: str, text: str) -> None:
        """Put a program called `name` on the machine."""
        path = self.here / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    @property
    def mounts(self) -> list[str]:
        """The mounted datasets, each as `DATASET on DIRECTORY`."""
        rows = (self.here / "mounts").read_text().splitlines()
        return [row.partition(" (")[0] for row in rows]

    @property
    def log(self) -> list[str]:
        """What was mounted and unmounted, in order."""
        return (self.here / "log").read_text().splitlines()

    def bridge(self) -> Bridge:
        """Return a console of this machine, to be used as a context."""
        with _ENVIRONMENT, pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{self.here / 'bin'}:{os.environ['PATH']}")
            return Bridge()


def door(bridge: Bridge, state_dir: Path, cancel: threading.Event | None = None) -> Door:
    """Return what opens the console of `bridge`."""
    return Door(bridge.url, bridge.url, Secrets(), state_dir, cancel or threading.Event())
