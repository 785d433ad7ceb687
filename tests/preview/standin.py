"""A machine for previews without ZFS: real sh on a real pty, and stand-ins for zfs and mount.

What they know lies in files of one directory, so a test can see what was done there.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.bridge import Bridge
from zrwizard.preview.session import Door
from zrwizard.secrets import Secrets

MOUNT = """\
#!/bin/sh
here={here}
case "$1" in
'') cat "$here/mounts"; exit 0;;
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
#!/bin/sh
here={here}
case "$1 $2 $3 $4 $5" in
'get -H -o value mounted') grep -F -q "$6 on " "$here/mounts" && echo yes || echo no;;
'get -H -o value readonly') cat "$here/readonly" 2>/dev/null || echo off;;
*) echo "zfs: $*" >> "$here/refused"; exit 64;;
esac
"""


class Machine:
    """The stand-ins in `here`; `mounts` is what mount(8) prints, `log` what was done."""

    def __init__(self, here: Path) -> None:
        self.here = here
        here.mkdir()
        (here / "mounts").touch()
        (here / "log").touch()
        self.tool("mount", MOUNT.format(here=here))
        self.tool("umount", UMOUNT.format(here=here))
        self.tool("zfs", ZFS.format(here=here))

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

    def bridge(self, monkeypatch: pytest.MonkeyPatch) -> Bridge:
        """Return a console of this machine, to be used as a context."""
        with monkeypatch.context() as patch:
            patch.setenv("PATH", f"{self.here / 'bin'}:{os.environ['PATH']}")
            return Bridge()


def door(bridge: Bridge, state_dir: Path, cancel: threading.Event | None = None) -> Door:
    """Return what opens the console of `bridge`."""
    return Door(bridge.url, bridge.url, Secrets(), state_dir, cancel or threading.Event())
