#!/bin/sh
# ciphers.sh DIR: measures on the link how fast each cipher brings bytes from there to here, over a
# connection of its own, twice in turn. Reads DIR/settings of mover.sh; leaves nothing behind.
# Prints a line "CIPHER BYTES SECONDS" for each measurement that worked; exits 0 even if none did.
# $2, $3, $4: tenths of a second that one of them lasts at most, blocks of 64 KiB that it brings at most,
# seconds until its first byte must have come.
PATH=$PATH:/sbin:/bin:/usr/sbin:/usr/bin LC_ALL=C
export PATH LC_ALL; umask 077; set -fu
ssh='' host='' s='' clock=''
# shellcheck source=/dev/null
cd "${1:?}" && . ./settings || exit 19
lasts=${2:-15} blocks=${3:-8192} login=${4:-15}
flow=flow.$$ told=told.$$

control() { eval "exec $ssh" '"$@"'; } # control OPTION... HOST COMMAND: ssh itself
link() { # link CIPHER: ssh with just what the configuration would get; no master is used
    control -o ControlMaster=no -o ControlPath=none -o "Ciphers=^$1" "$host" \
        "exec dd if=/dev/zero bs=65536 count=$blocks 2>/dev/null"
}
after() { # after SECONDS PID: ends that process then, unless it is ended itself before
    sleep "$1" & nap=$!
    trap 'kill "$nap" 2>/dev/null; exit' TERM
    wait "$nap"; kill "$2" 2>/dev/null
}
stop() { [ -z "$clock" ] || { kill "$clock"; wait "$clock"; } 2>/dev/null; clock=''; }
tidy() { stop; [ -z "$s" ] || kill "$s" 2>/dev/null; rm -f "$flow" "$told"; }
measure() { # measure CIPHER: the clock begins with the first byte, so that no login is counted
    rm -f "$flow"; mkfifo "$flow" || exit 19
    (link "$1") >"$flow" 2>/dev/null </dev/null & s=$!
    exec 3<"$flow"
    (after "$login" "$s") 3<&- >/dev/null & clock=$!
    dd bs=1 count=1 <&3 >/dev/null 2>&1
    stop
    (after "$((lasts / 10)).$((lasts % 10))" "$s") 3<&- >/dev/null & clock=$!
    dd bs=65536 of=/dev/null <&3 2>"$told"
    stop
    exec 3<&-
    wait "$s" 2>/dev/null; s=''
    # FreeBSD's words and the others'.
    sed -n -e "s/^\([1-9][0-9]*\) bytes.* in \([0-9.]*\) secs.*/$1 \1 \2/p" \
        -e "s/^\([1-9][0-9]*\) bytes.* copied, \([0-9.]*\) s.*/$1 \1 \2/p" "$told"
}

trap tidy EXIT
trap 'exit 18' HUP INT TERM
known=$(control -Q cipher 2>/dev/null)
for _ in 1 2; do
    for cipher in aes128-gcm@openssh.com chacha20-poly1305@openssh.com; do
        ! printf '%s\n' "$known" | grep -qxF "$cipher" || measure "$cipher"
    done
done
