#!/bin/sh
# shellcheck disable=SC2317,SC2094 # called by a trap; a pipe is opened from both ends
# lanes.sh DIR: what mover.sh, beside it, does with DIR, but streams that do not wait for each other
# come side by side: first those that others wait for, then each lane with a mover.sh of its own.
# Started again it begins at its beginning; what is there already costs a look. DIR is as mover.sh has
# it, with the same files, state and exit statuses, and
#
# DIR/lanes     for each line of the list, in its order: 0 (comes first) or the number of its lane
# DIR/lane.N    the directory of that lane's mover; its pause, log and resumed are those of DIR
#
# The state has the sums of all lanes; NUMBER is one more than datasets are there, TARGET and the last
# line are those of a lane that is sending, if there is one. SENT and SIZE are of all that are sending.
# The first lane that fails ends the others like a signal does, and its status is that of the whole.
# The limit is shared out evenly. One lane cares for the connection's master, so that there is one.
# Renames wait for all streams: a list that has some is for mover.sh alone (exit status 19).
PATH=$PATH:/sbin:/bin:/usr/sbin:/usr/bin LC_ALL=C
export PATH LC_ALL; umask 077; set -fu
mover=$(cd "$(dirname "$0")" && pwd)/mover.sh || exit 19
limit=0 grace=10 tick=10
# shellcheck source=/dev/null
cd "${1:?}" && . ./settings && [ -r list ] && [ -r lanes ] || exit 19
movers='' phase='' since=0 status=0

now() { date +%s; }
say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$1" >>log; }
nap() { sleep "$(($1 / 10)).$(($1 % 10))" 9>&- & wait $!; } # unlike a plain sleep it ends with a signal
state() { # state TARGET EVENT PHASE NUMBER SENT SIZE HAD DONE RETRIES
    [ "$3" = "$phase" ] || { phase=$3 since=$(now); }
    printf '%s\n' "$3 $4 $count $since $(now) $5 $6 $7 $8 $9" "$1" "$2" >state.new && mv state.new state
}
sum() { # sets sums, target and event by the states of the lanes
    set +f; set -- lane.*/state; set -f
    [ -e "$1" ] || set -- /dev/null
    count=$count awk -v FS='\n' '
    BEGIN { split("ended paused renaming looking waiting sending", word, " ")
            for (n in word) rank[word[n]] = n + 0
            top = unknown = 0; phase = "looking"; target = event = "-" }
    FNR == 1 {
        split($0, part, " ")
        number += part[2] - (part[1] != "ended" && part[2] > 0); sent += part[6]; size += part[7]
        had += part[8]; finished += part[9]; retries += part[10]
        if (part[1] == "sending" && !part[7]) unknown = 1
        leads = rank[part[1]] > top
        if (leads) { top = rank[part[1]]; phase = part[1] }
    }
    FNR == 2 && leads { target = $0 }
    FNR == 3 && leads { event = $0 }
    END { printf "%s %.0f %.0f %.0f %.0f %.0f %.0f\n%s\n%s\n", phase,
              number < ENVIRON["count"] ? number + 1 : number, sent,
              unknown ? 0 : size, had, finished, retries, target, event }
    ' "$@" >sums
    { read -r sums; read -r target; read -r event; } <sums
}
told() { # told [PHASE TARGET EVENT]: the sums become the state
    sum
    # A lane that has ended is not the end while another is still to come.
    [ "${sums%% *}" != ended ] || sums="looking ${sums#* }"
    [ $# -eq 0 ] || { sums="$1 ${sums#* }" target=$2 event=$3; }
    # shellcheck disable=SC2086 # numbers
    state "$target" "$event" $sums
}
leave() { told ended "${3:--}" "$2"; exit "$1"; } # leave STATUS EVENT [TARGET]

gone() { # gone PID SECONDS: 0 as soon as that process has ended, 1 if it does not
    left=$(($2 * 10))
    while kill -0 "$1" 2>/dev/null; do
        [ "$left" -gt 0 ] || return 1
        sleep 0.1 9>&-
        left=$((left - 1))
    done
}
finish() { # the movers end as by a signal: each has its receiver save what it has
    for pid; do kill "$pid"; done 2>/dev/null
    for pid; do gone "$pid" "$((grace * 3 + 5))" || kill -KILL "$pid"; done 2>/dev/null
}
guard() { # ends the movers as soon as this is no more; nobody else holds lanes.life open for writing
    trap '' HUP INT TERM
    read -r _ <&8
    read -r _ left_over <lanes.pids
    # shellcheck disable=SC2086 # numbers
    finish $left_over
    rm -f lanes.pids lanes.life
}
stopped() {
    trap '' HUP INT TERM
    # shellcheck disable=SC2086 # numbers
    finish $movers
    say "Stopped by a signal; started again it goes on from here."
    leave 18 "Stopped by a signal; started again it goes on from here."
}

prepare() { # prepare LANE LANES: the directory of one of so many that run side by side
    mkdir -p "lane.$1" && rm -f "lane.$1/state" "lane.$1/pid" || return
    awk -v lane="$1" 'NR == FNR { of[NR] = $1; next } of[FNR] == lane' lanes list >"lane.$1/list" || return
    name='Before the lanes: '; [ "$1" -eq 0 ] || name="Lane $1: "
    {
        cat settings
        echo "limit=$(((limit + $2 - 1) / $2)) lane='$name'"
        [ "$1" -le 1 ] || echo shared=no
    } >"lane.$1/settings" || return
    for file in pause log resumed; do ln -sf "../$file" "lane.$1/$file" || return; done
}
run() { # run LANE...: their movers, until the last has ended or one has failed
    for lane; do
        ( # one of which the guardian does not know yet must not run: it could outlive a kill
            until [ -s "lane.$lane/pid" ]; do
                kill -0 $$ 2>/dev/null || exit 18
                sleep 0.05
            done
            exec sh "$mover" "lane.$lane"
        ) 9>&- </dev/null & movers="$movers $!"
        echo "$guardian$movers" >lanes.new && mv lanes.new lanes.pids
        echo "$!" >"lane.$lane/pid"
    done
    while [ -n "$movers" ]; do
        nap "$tick"
        running=
        for pid in $movers; do
            if kill -0 "$pid" 2>/dev/null; then running="$running $pid"; continue; fi
            wait "$pid"; result=$?
            [ "$status" -ne 0 ] || status=$result failed=$pid
        done
        movers=$running
        told
        [ "$status" -eq 0 ] || give_up "$@"
    done
}
give_up() { # give_up LANE...: one of these has failed, the others end
    # shellcheck disable=SC2086 # numbers
    finish $movers
    for pid in $movers; do wait "$pid"; done
    for lane; do
        read -r pid <"lane.$lane/pid"
        [ "$pid" != "$failed" ] || { read -r _; read -r target; read -r event; } <"lane.$lane/state"
    done
    leave "$status" "$event" "$target"
}

count=$(grep -c '' list)
[ "$(grep -c '' lanes)" -eq "$count" ] && ! grep -qv '^stream	' list && ! grep -qvE '^[0-9]$' lanes || exit 19
[ ! -e lanes.pids ] || { read -r pid _ <lanes.pids && gone "$pid" "$((grace * 3 + 10))"; rm -f lanes.pids; }
set +f; rm -rf lane.*/state lanes.life; set -f
touch log resumed && mkfifo lanes.life || exit 19
exec 9<>lanes.life 8<lanes.life
# In parentheses: a shell that redirects a function keeps what it closes.
(guard) 9>&- & guardian=$!
exec 8<&-
echo "$guardian" >lanes.pids
trap stopped HUP INT TERM
side=$(grep -v '^0' lanes | sort -u)
! grep -q '^0' lanes || { prepare 0 1 && run 0; } || exit 19
# shellcheck disable=SC2086 # numbers
set -- $side
for lane; do prepare "$lane" $# || exit 19; done
run "$@"
say "All $count datasets are there."
leave 0 "All $count datasets are there."
