"""Stand-in tools for the receiver: small sh programs whose world is a directory, $world.

`attached/PROVIDER` and `imported/POOL` are what is open; `mode/WORD` makes a tool behave badly;
`calls` has every command line, `syslog` what was logged, `received` what came.
"""

from __future__ import annotations

HEAD = """\
#!/bin/sh
world={world}
mode() { [ -e "$world/mode/$1" ]; }
"""

# A tool that is told to be slow says so in `stage` first: whoever cuts it waits for that.
SLOW = """\
slow() {
  mode "$1" || return 0
  echo "$$" >"$world/stage.new"
  mv "$world/stage.new" "$world/stage.$1"
  sleep 60
}
less() { # less WORD: one of the times that it is to fail is used up; 1 when there is none left
  mode "$1" || return 1
  n=$(cat "$world/mode/$1"); [ "$n" -gt 0 ] || return 1
  echo $((n - 1)) >"$world/mode/$1"
}
echo "${0##*/} $*" >>"$world/calls"
"""

GELI = """\
oops() {
  printf 'geli: %s\n' "$1" 'There was an error with at least one provider.' >&2
  exit 1
}
verb=$1; shift
case $verb in
status)
  ! mode noclass || { echo "geli: Command 'status' not available; try 'load' first." >&2; exit 1; }
  for one in "$world"/attached/*; do
    [ -e "$one" ] || continue
    one=${one##*/}; echo "$one  ACTIVE  ${one%.eli}"
  done ;;
attach)
  # As recorded on FreeBSD: with -d it would be gone in the middle of the import.
  [ "$1 $2" = '-p -k' ] || oops "Missing -p flag."
  from=$3 provider=$4
  ! mode nometadata || oops "Cannot read metadata from $provider: Invalid argument."
  sum=$(cat -- $([ "$from" = - ] || echo "$from") | sha256sum)
  slow attach_slow
  [ "$sum" = "$(cat "$world/key.sum")" ] || oops "Wrong key for $provider."
  [ ! -e "$world/attached/$provider.eli" ] || oops "Cannot access $provider (error=1)."
  : >"$world/attached/$provider.eli" ;;
detach)
  force=; [ "$1" != -f ] || { force=1; shift; }
  [ -e "$world/attached/$1.eli" ] || oops "No such device: $1."
  ! less detach_busy && { [ -n "$force" ] || [ -z "$(ls "$world/imported")" ]; } ||
    oops "Cannot destroy device $1.eli (error=16)."
  rm "$world/attached/$1.eli" ;;
*) exit 64 ;;
esac
"""

ZPOOL = """\
verb=$1; shift
case $verb in
list) ls "$world/imported" ;;
import)
  [ "$1 $2 $3 $4 $5" = '-N -f -o cachefile=none -d' ] || exit 64
  device=${6##*/}
  case $device in *.eli) [ -e "$world/attached/$device" ] || : >"$world/mode/nopool" ;; esac
  ! mode nopool || { echo "cannot import '$7': no such pool available" >&2; exit 1; }
  slow import_slow
  echo "$device" >"$world/imported/$7"
  slow import_late ;;
export)
  force=; [ "$1" != -f ] || { force=1; shift; }
  [ -e "$world/imported/$1" ] || { echo "cannot open '$1': no such pool" >&2; exit 1; }
  slow export_slow
  if less export_busy || { [ -z "$force" ] && mode export_forced; } ||
    { read -r reader <"$world/receiving" && kill -0 "$reader"; } 2>/dev/null; then
    echo "cannot export '$1': pool is busy" >&2; exit 1
  fi
  rm "$world/imported/$1" ;;
status) [ -e "$world/imported/$1" ] || exit 1; echo "  pool: $1"; echo ' state: ONLINE' ;;
*) exit 64 ;;
esac
"""

ZFS = """\
verb=$1; shift
[ -n "$(ls "$world/imported")" ] || { echo 'no pools available' >&2; exit 1; }
case $verb in
list) printf 'wd\\tfilesystem\\t77\\t1\\t1700000000\\t98304\\t98304\\t0\\n' ;;
get) shift 3; echo "value of $*" ;;
receive)
  [ "$1" != -A ] || { echo "abandoned $2"; exit 0; }
  echo $$ >"$world/receiving"
  : >"$world/received"
  while read -r line; do
    echo "$line" >>"$world/received"
    [ "$line" != end ] || { rm "$world/receiving"; exit 0; }
    ! mode nospace || break
  done
  rm "$world/receiving"
  if mode nospace; then why='out of space'; else why='incomplete stream'; fi
  echo "cannot receive new filesystem stream: $why" >&2
  exit 1 ;;
*) exit 64 ;;
esac
"""

GEOM = """\
case "$1 $2" in
'disk list') cat "$world/disks" ;;
'part list') cat "$world/parts.$3" ;;
*) exit 64 ;;
esac
"""

LOGGER = """\
printf '%s\\n' "$*" >>"$world/syslog"
"""


def programs(world: str) -> dict[str, str]:
    """Return every stand-in by its name, for the world in that directory."""
    head = HEAD.replace("{world}", world) + SLOW
    bodies = {
        "geli": GELI,
        "zpool": ZPOOL,
        "zfs": ZFS,
        "geom": GEOM,
        "logger": LOGGER,
    }
    return {name: head + body for name, body in bodies.items()}


def disk(name: str, serial: str, size: int) -> str:
    """One disk as `geom disk list` shows it (facts B1)."""
    return f"""\
Geom name: {name}
Providers:
1. Name: {name}
   Mediasize: {size} (1.8T)
   Sectorsize: 512
   Mode: r0w0e0
   descr: WD My Passport 0820
   lunname: WD
   ident: {serial}
   rotationrate: 5400
   fwsectors: 63
   fwheads: 255

"""


def parts(name: str, *labels: str) -> str:
    """The partitions of a disk as `geom part list` shows them."""
    text = f"Geom name: {name}\nmodified: false\nstate: OK\nProviders:\n"
    for number, label in enumerate(labels, 1):
        text += f"{number}. Name: {name}p{number}\n   Mediasize: 1048576 (1.0M)\n"
        text += f"   label: {label}\n   length: 1048576\n   type: freebsd-zfs\n"
    return text + f"Consumers:\n1. Name: {name}\n   Mediasize: 4194304 (4.0M)\n\n"
