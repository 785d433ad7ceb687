#!/bin/sh
# zr-receiver NAME deliver|receive: all that the two single-purpose keys of a backup server can run.
# shellcheck disable=SC2015 # where "a && b || die" stands, it is meant
# Each session has a directory RUN/NAME+PID+TOKEN, and a guardian: a process in a session of its own
# that reads a pipe which only the session's main process holds open. When that ends, however it came
# about, the guardian ends what the session started, exports and detaches what it opened, and removes
# its marks; the orderly end is no different. If the guardian was killed too, the next session does
# that first. There is no geli attach -d: an import closes the disk in its middle, and then it is gone.
# A mark (NAME+hold, NAME+receive) is a symbolic link to its session: made and read in one act. TOKEN
# is among the arguments of a session's processes; a start time would change when a clock is set.
# What is started is on record in SESSION/open before, and ending begins with renaming that directory.
PATH=/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin LC_ALL=C IFS=' '
CONFIGS=/usr/local/etc/zrwizard DEV=/dev PLACES='/var/run/zrwizard /tmp/zrwizard'
export PATH LC_ALL; umask 077; set -fu
die() { printf 'zr-receiver: %s\n' "$2" >&2; exit "$1"; }
log() { within 5 logger -t zr-receiver -p "auth.$1" "$name: $2" >/dev/null 2>&1; }
refuse() { # nothing of the request is shown or logged: it may hold anything
    log notice "a request that is not one of the key that may $role was refused"
    die 77 "This key may only $role, and that is none of its requests."
}
within() { # within SECONDS COMMAND...: its status, or 124 when it was killed and left behind
    ticks=$(($1 * 10)); shift
    "$@" & child=$!
    while kill -0 "$child" 2>/dev/null; do
        [ $((ticks -= 1)) -ge 0 ] || { kill -KILL "$child" 2>/dev/null; return 124; }
        sleep 0.1
    done
    wait "$child"
}
until_() { # until_ SECONDS CONDITION...: 0 as soon as it holds, 1 if it did not
    left=$(($1 * 5)); shift
    until "$@"; do [ $((left -= 1)) -ge 0 ] && sleep 0.2 || return 1; done
}
is() { # is PID TEXT: such a process is there, with TEXT in its arguments
    [ -n "$1" ] && kill -0 "$1" 2>/dev/null && ps -ww -o args= -p "$1" 2>/dev/null | grep -qF -e "$2"
}
alive() { # alive SESSION: its main process or its guardian is there
    set -- "$1" "${1%+*}" "${1##*+}"
    is "${2##*+}" "$3" || is "$(cat "$RUN/$1/guard" 2>/dev/null)" "$3"
}
start() { # start SESSION RECORD COMMAND...: turns into COMMAND once that is on record
    exec sh -c 'd=$1/$2 r=$3; shift 3; printf "%s\n" "$$" "$*" >"$d/new.$$" &&
        mv "$d/new.$$" "$d/open/$r" && exec "$@"; exit 75' sh "$RUN" "$@"
}
stop() { # stop RECORD: ends that process, if it is still the same one
    { read -r pid && read -r text; } 2>/dev/null <"$1" || return 0
    for signal in TERM CONT CONT CONT CONT CONT CONT CONT KILL CONT CONT CONT KILL CONT CONT CONT; do
        is "$pid" "$text" || return 0
        kill -s "$signal" "$pid" 2>/dev/null; sleep 0.2
    done
}
shut() { # shut SESSION: nothing can start there any more, and what did start is ended
    mv "$RUN/$1/open" "$RUN/$1/shut" 2>/dev/null
    for record in worker ask want/read want/geli; do stop "$RUN/$1/shut/$record"; done
}
# listed POOL, attached PROVIDER: it is, or nobody can tell; without geli's class there is no status.
listed() { ! within 20 zpool list -H -o name >"$W/out" 2>&1 || grep -qxF -e "$1" "$W/out"; }
attached() {
    within 20 geli status -s >"$W/out" 2>&1 || { ! grep -q 'not available' "$W/out"; return; }
    awk -v name="$1.eli" '$1 == name { found = 1 } END { exit !found }' "$W/out"
}
closed() { { [ -z "$2" ] || ! listed "$2"; } && { [ -z "$3" ] || ! attached "$3"; }; }
clean() { # clean SESSION: ends it and closes what it opened; its marks go only after that
    shut "$1"
    other=$(readlink "$RUN/$name+receive")
    [ "$(cat "$RUN/$other/inside" 2>/dev/null)" != "$1" ] || shut "$other"
    set -- "$1" "$(cat "$RUN/$1/pool" 2>/dev/null)" "$(cat "$RUN/$1/disk" 2>/dev/null)"
    round=0 hard=
    until closed "$@"; do
        [ $((round += 1)) -le 7 ] || { log crit "the disk or its pool does not go; look at it"; return 1; }
        [ "$round" -lt 5 ] || hard=-f
        [ "$round" -eq 1 ] || sleep 1
        [ -z "$2" ] || within 30 zpool export $hard "$2" >"$W/out" 2>&1 || [ $? -ne 124 ] || hard=-f
        [ -z "$3" ] || within 20 geli detach $hard "$3" >"$W/out" 2>&1
    done
    [ -z "$3" ] || log notice "the disk is detached"
    set +f; for mark in "$RUN/$name"+*; do [ "$(readlink "$mark")" != "$1" ] || rm -f "$mark"; done; set -f
    rm -rf "${RUN:?}/$1"
}
take() { # take MARK: 0 it is ours, 1 somebody alive has it, 2 what somebody dead left does not go
    tries=0
    until ln -sn "$me" "$1" 2>/dev/null; do
        [ $((tries += 1)) -le 20 ] || return 2
        set -- "$1" "$(readlink "$1")"
        [ -n "$2" ] || continue # it went meanwhile
        ! alive "$2" || return 1
        take "$RUN/$name+after+$2" || return # one cleans up after a session, once
        [ "$(readlink "$1")" != "$2" ] || clean "$2" || { rm -f "$RUN/$name+after+$2"; return 2; }
        rm -f "$RUN/$name+after+$2"
    done
}
find_disk() { # sets disk to the one with our serial and size (or its partition), whatever its name is
    within 30 geom disk list >"$W/out" 2>/dev/null
    disk=$(awk -v serial="$serial" -v size="$size" '
        function decide() { if (bytes == size && (ident "") == (serial "")) print name }
        /^Geom name:/ { decide(); name = $3; bytes = ident = "" }
        $1 == "Mediasize:" { bytes = $2 }
        $1 == "ident:" { sub(/^ *ident: */, ""); sub(/ +$/, ""); ident = $0 == "(null)" ? "" : $0 }
        END { decide() }' "$W/out")
    case $disk in '' | *[!a-z0-9]*) die 69 "Not exactly one disk has our serial number and size." ;; esac
    [ -n "$part" ] || return 0
    within 30 geom part list "$disk" >"$W/out" 2>/dev/null
    disk=$(awk -v label="$part" '$2 == "Name:" { name = $3 }
        $1 == "label:" && ($2 "") == (label "") { print name }' "$W/out")
    case $disk in '' | *[!a-z0-9]*) die 69 "Not exactly one partition of our disk has the label $part." ;; esac
}
unlock() { # unlock SESSION KEYFILE: one attach; the result is its status and what it said
    (start "$1" want/geli geli attach -p -k "$2" "$disk") >"$RUN/$1/said" 2>&1
    printf '%s\n' $? "$(head -n 1 "$RUN/$1/said" | tr -cd '[:print:]')" >"$RUN/$1/open/want/result"
} 2>/dev/null
alone() { ! kill -0 "$PPID" 2>/dev/null; } # the sshd of this session has gone, and with it who waits for us
brought() { [ -L "$want/by" ] || [ -s "$want/result" ] || alone; }
answered() { [ -s "$want/result" ] || ! alive "$(readlink "$want/by")" || alone; }
unseal() { # attach the vault's disk with a key that a deliver session brings
    ! listed "$pool" && ! attached "$disk" || die 75 "Somebody else has attached the disk, or imported the pool."
    within 60 dd if="$DEV/$disk" of=/dev/null bs=1048576 count=3 2>/dev/null || die 69 "The disk cannot be read."
    want=$W/open/want # made complete and then renamed: a key must never find a plain file for a pipe
    mkdir "$W/want" && { [ "$delivery" = stdin ] || mkfifo -m 600 "$W/want/key"; } &&
        echo "$disk" >"$W/disk" && mv "$W/want" "$want" || die 74 "Nothing can be written on the server."
    [ "$delivery" = stdin ] || unlock "$me" "$want/key" &
    until_ "$wait" brought || die 70 "No key came within $wait seconds."
    until_ "$attach" answered || die 70 "The key was not there in full within $attach seconds."
    ! alone || die 70 "Whoever asked for the disk has gone."
    { read -r status && read -r said; } 2>/dev/null <"$want/result" || die 70 "The delivery of the key broke off."
    case $said in *'Cannot access'*) rm -f "$W/disk" ;; esac # it is attached by somebody else
    [ "$status" = 0 ] || die 74 "The disk does not open: $said"
}
bring_in() { # bring_in PROVIDER: it is known by its identity, so -f for what another system left
    within 120 start "$me" ask zpool import -N -f -o cachefile=none -d "$1" "$pool" >"$W/said" 2>&1 && return
    ! grep -q 'already exists' "$W/said" || rm -f "$W/pool"
    die 74 "The pool cannot be imported: $(tr -cd '[:print:]' <"$W/said")"
}
enter() { # into the running hold once its pool is there, or else into one of our own
    left=$(((wait + attach + 60) * 2))
    until take "$RUN/$name+hold"; do
        [ $? -eq 1 ] || die 74 "What an earlier session left open does not go."
        host=$(readlink "$RUN/$name+hold")
        [ "$verb" != hold ] || [ ! -d "$RUN/$host/open" ] || die 75 "Another session holds the disk."
        [ ! -e "$RUN/$host/open/ready" ] || { echo "$host" >"$W/inside"; [ ! -d "$RUN/$host/open" ] || return 0; }
        [ $((left -= 1)) -ge 0 ] && ! alone && sleep 0.5 || die 70 "Another session does not get the disk open."
    done
    if [ "$shape" = vault ]; then
        find_disk && unseal && echo "$pool" >"$W/pool" && bring_in "$DEV/$disk.eli"
    elif ! listed "$pool"; then
        find_disk && bring_in "$DEV/$disk"
    fi
    : >"$W/open/ready"
}
ask() { within 600 start "$me" ask "$@"; }
work() { # a session's work, in a process that does not have the guardian's pipe
    printf '%s\n' "$(exec sh -c 'echo $PPID')" "$token" >"$W/new" && mv "$W/new" "$W/open/worker" || exit 74
    case $verb in receive | abandon) take "$RUN/$name+receive" || die 75 "A receive is running already." ;; esac
    enter
    case $verb in
    hold) log notice "the pool is open"; echo ready && while read -r _ <&3; do :; done ;;
    receive) (start "$me" ask zfs receive -s -u $rollback "$target" <&3) ;;
    abandon) ask zfs receive -A "$target" ;;
    inventory) ask zfs list -Hp -r -t filesystem,volume,snapshot \
        -o name,type,guid,createtxg,creation,used,refer,userrefs "$pool" ;;
    token) ask zfs get -Hp -o value receive_resume_token "$target" ;;
    space) ask zfs get -Hp -o property,value used,available "$pool" ;;
    health) ask zpool status "$pool" ;;
    esac
}
receive() { # receive REQUEST...
    verb=${1-} target=$pool/${2-}
    case $verb:$# in
    hold:1 | inventory:1 | space:1 | health:1) ;;
    receive:2 | abandon:2 | token:2) case /$2/ in /./) target=$pool ;; *//* | */./* | */../* | */-*) refuse ;; esac ;;
    *) refuse ;;
    esac
    mkdir "$W" "$W/open" && mkfifo "$W/life" || die 74 "Nothing can be written on the server."
    exec 3<&0 </dev/null 9<>"$W/life"
    if command -v setsid >/dev/null; then set -- setsid; else set -- daemon -f; fi
    "$@" "$0" "$name" guard "$me" 3<&- 9>&- </dev/null >/dev/null 2>&1 &
    until_ 10 test -s "$W/guard" || { rm -rf "$W"; die 74 "No guardian starts, so nothing was opened."; }
    (exec 9>&-; work) &
    wait $!; status=$?; exec 9>&-
    until_ 1 test ! -d "$W" || is "$(cat "$W/guard" 2>/dev/null)" "$token" || # one that is killed is not gone at once
        { "$@" "$0" "$name" guard "$me" 3<&- </dev/null >/dev/null 2>&1 & }
    until_ 60 test ! -d "$W" || die 74 "The disk does not go; the server goes on trying."
    case $verb:$status in hold:0) echo closed ;; *:1[34]?) echo "zr-receiver: A signal ended it." >&2 ;; esac; exit "$status"
}
told() { read -r status <&4 || [ ! -d "$RUN/$host/open" ] || ! alive "$host"; }
fetch() { start "$host" want/read dd bs=1 count=65537 "$@" <&3 2>"$want/count"; } # a byte more than a key has
deliver() { # deliver REQUEST...
    case $* in '' | key) ;; *) refuse ;; esac
    [ "$shape" = vault ] || die 77 "This disk takes no key: it is not encrypted."
    exec 3<&0 </dev/null
    left=25 more=''
    until host=$(readlink "$RUN/$name+hold"); want=$RUN/$host/open/want
        alive "$host" && ln -sn "$me" "$want/by" 2>/dev/null; do
        [ ! -L "$want/by" ] || ! alive "$host" || die 75 "The disk has its key, or is just being given it."
        [ -n "$more" ] || [ ! -d "$RUN/$host/open" ] || ! alive "$host" || more=1 left=$((wait * 5))
        [ $((left -= 1)) -ge 0 ] && sleep 0.2 || die 70 "Nothing waits for a key."
    done
    [ -d "$want" ] && exec 4<>"$want/result" 5<>"$want/count" || die 70 "What waited for the key has ended."
    disk=$(cat "$RUN/$host/disk") status='' amount=''
    case $delivery in stdin) fetch | unlock "$host" - ;; fifo) (fetch of="$want/key") ;; esac >/dev/null &
    until_ $((attach + 5)) told
    [ -n "$status" ] || read -r status <&4 || { shut "$host"; die 70 "What waited for the key has ended."; }
    [ "$status" != 0 ] || { echo accepted; exit 0; }
    until_ 2 read -r amount <&5
    case $amount in 65537+0*) die 77 "A key has at most 64 KiB." ;; 0+0*) die 74 "The key was empty." ;; esac
    read -r said <&4
    die 74 "The disk does not open: $said"
}
configure() { # every setting exactly once, and nothing that cannot be; the file is never run
    file=$CONFIGS/$name.conf keys='attach delivery force part pool serial shape size wait '
    lines=$(grep -v '^#' "$file" 2>/dev/null | sort)
    [ "$(echo "$lines" | cut -d = -f 1 | tr '\n' ' ')" = "$keys" ] &&
        ! grep -qvxE -e '#.*|shape=(vault|plain)|size=[1-9][0-9]{0,18}|pool=[A-Za-z][A-Za-z0-9_.:-]*' \
            -e '(wait|attach)=[1-9][0-9]{0,3}|delivery=(stdin|fifo)|force=(no|yes)' \
            -e 'serial=([A-Za-z0-9_.:+/-][A-Za-z0-9_.:+/ -]*)?|part=[A-Za-z0-9_.:-]*' "$file" ||
        die 64 "The configuration called $name is not there, or not as it should be."
    { read -r attach; read -r delivery; read -r force; read -r part; read -r pool; read -r serial
        read -r shape; read -r size; read -r wait; } <<END
$(echo "$lines" | cut -d = -f 2-)
END
    if [ "$force" = yes ]; then rollback=-F; else rollback=''; fi
}
place() { # sets RUN to a directory that is ours alone
    for RUN in $PLACES; do
        mkdir -m 700 "$RUN" 2>/dev/null
        [ -z "$(find "$RUN" -prune -type d -user "$(id -u)" -perm 700 2>/dev/null)" ] || [ ! -w "$RUN" ] || return 0
    done
    die 74 "There is no private place on the server."
}
name=${1-} role=${2-}
case $name in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) die 64 "usage: zr-receiver NAME deliver|receive" ;; esac
place
case $#:$role in
2:deliver | 2:receive) exec "$0" "$name" "$role" "$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')" ;;
3:deliver | 3:receive) me=$name+$$+${3:?} ;;
3:guard) me=$3 ;;
*) die 64 "usage: zr-receiver NAME deliver|receive" ;;
esac
token=${me##*+} W=$RUN/$me
configure
if [ "$role" = guard ]; then
    trap '' HUP INT TERM
    exec 8<>"$W/life" && exec 7<"$W/life" 8>&- && echo $$ >"$W/guard" && read -r _ <&7
    until clean "$me"; do sleep 20; done; exit
fi
request=${SSH_ORIGINAL_COMMAND-}
[ ${#request} -le 255 ] || refuse
case $request in *[!A-Za-z0-9_.:/\ -]*) refuse ;; esac
# shellcheck disable=SC2086 # split, with no globs
case $role in deliver) deliver $request ;; receive) receive $request ;; esac
