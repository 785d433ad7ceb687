#!/bin/sh
# shellcheck disable=SC2094 # pipes are opened from both ends
# measure.sh DIR ciphers|streams: measures on the link how fast bytes come from there to here. Reads
# DIR/settings of mover.sh; leaves nothing behind. Exits 0 even if nothing could be measured. Prints
#   ciphers   "CIPHER BYTES SECONDS", each cipher twice in turn, over connections of their own
#   streams   "trip COUNT SECONDS" for so many round trips, "one BYTES SECONDS" for one stream and a
#             line "two BYTES SECONDS" for each of two at once; over the master, if there is one
# $3, $4, $5: tenths of a second that a measurement lasts at most, blocks of 64 KiB that it brings at
# most, seconds until its first byte must have come.
PATH=$PATH:/sbin:/bin:/usr/sbin:/usr/bin LC_ALL=C
export PATH LC_ALL; umask 077; set -fu
ssh='' host='' s='' clock='' kids='' trips=10
# shellcheck source=/dev/null
cd "${1:?}" && . ./settings || exit 19
lasts=${3:-15} blocks=${4:-8192} login=${5:-15}

control() { eval "exec $ssh" '"$@"'; } # control OPTION... HOST COMMAND: ssh itself
after() { # after SECONDS PID: ends that process then, unless it is ended itself before
    sleep "$1" & nap=$!
    trap 'kill "$nap" 2>/dev/null; exit' TERM
    wait "$nap"; kill "$2" 2>/dev/null
}
stop() { [ -z "$clock" ] || { kill "$clock"; wait "$clock"; } 2>/dev/null; clock=''; }
tidy() { stop; [ -z "$s" ] || kill "$s" 2>/dev/null; rm -f "flow.$$.$tag" "told.$$.$tag"; }
timed() { # timed NAME: the line of what dd told, in FreeBSD's words or the others'
    sed -n -e "s/^\([1-9][0-9]*\) bytes.* in \([0-9.]*\) secs.*/$1 \1 \2/p" \
        -e "s/^\([1-9][0-9]*\) bytes.* copied, \([0-9.]*\) s.*/$1 \1 \2/p" "told.$$.$tag"
}
tie() { # tie: what is written to 4 is read from 3. Under no name for longer than it takes to open both
    # ends, so that whoever comes late, its measurement ended, cannot make a file of it and fill the disk.
    mkfifo "flow.$$.$tag" || exit 19
    exec 8<>"flow.$$.$tag" 3<"flow.$$.$tag" 4>"flow.$$.$tag" 8>&-
    rm -f "flow.$$.$tag"
}
bring() { # bring NAME OPTION...: the clock begins with the first byte, so that no login is counted
    name=$1; shift
    tie
    (control "$@" "$host" "exec dd if=/dev/zero bs=65536 count=$blocks 2>/dev/null") \
        >&4 2>/dev/null </dev/null 3<&- 4>&- & s=$!
    exec 4>&-
    (after "$login" "$s") 3<&- >/dev/null & clock=$!
    dd bs=1 count=1 <&3 >/dev/null 2>&1
    stop
    (after "$((lasts / 10)).$((lasts % 10))" "$s") 3<&- >/dev/null & clock=$!
    dd bs=65536 of=/dev/null <&3 2>"told.$$.$tag"
    stop
    wait "$s" 2>/dev/null; s=''
    timed "$name"
}
echo_there() { # a first dd there takes the login's time, the second one's clock is that of the trips
    tie; exec 5<&3 6>&4 7>"told.$$.$tag"; tie
    (control "$host" "dd bs=2 count=1 2>/dev/null; exec dd bs=2 count=$trips") \
        <&5 >&4 2>&7 3<&- 4>&- 5<&- 6>&- 7>&- & s=$!
    exec 4>&- 5<&- 7>&-
    (after "$login" "$s") 3<&- 6>&- >/dev/null & clock=$!
    n=0
    while [ "$n" -le "$trips" ] && echo >&6 . && read -r _ <&3; do n=$((n + 1)); done 2>/dev/null
    exec 6>&-
    wait "$s" 2>/dev/null; s=''
    stop
    timed trip | sed "s/ $((trips * 2)) / $trips /"
}
start() { # start TAG COMMAND...: in a process of its own, which cleans up behind itself
    (tag=$1; shift; trap tidy EXIT; trap 'exit 18' HUP INT TERM; trap '' PIPE; "$@") & kids="$kids $!"
}
end() { # its line, or both lines, have been printed
    # shellcheck disable=SC2086 # numbers
    wait $kids
    kids=''
}

# shellcheck disable=SC2086 # numbers
trap '[ -z "$kids" ] || kill $kids 2>/dev/null; exit 18' HUP INT TERM
case ${2-} in
ciphers)
    known=$(control -Q cipher 2>/dev/null)
    for _ in 1 2; do
        for cipher in aes128-gcm@openssh.com chacha20-poly1305@openssh.com; do
            printf '%s\n' "$known" | grep -qxF "$cipher" || continue
            # Just what the configuration would get.
            start 1 bring "$cipher" -o ControlMaster=no -o ControlPath=none -o "Ciphers=^$cipher"
            end
        done
    done ;;
streams)
    start 1 echo_there; end
    start 1 bring one; end
    start 1 bring two; start 2 bring two; end ;;
*) exit 19 ;;
esac
