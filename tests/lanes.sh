# Sourced by ./test: steps are declared first, then run in lanes, several at once, and told in the order of their names.
#
#     build PRESET                                  build/PRESET; builds run one after another, each fills the machine
#     step [-a] [-b PRESET]... NAME COMMAND...      -b: the builds it needs, - for none (without -b: all of them)
#                                                   -a: runs alone, nothing beside it (it measures)
#     run_steps LANES ONLY                          runs those whose name contains ONLY, and the builds they need
#
# A step starts when a lane is free, its builds are there and everything before it has started or waits for its builds:
# put the long ones first. Its counts are the last line `N passed, N failed, N skipped` that it prints (none: it counts
# as one by its exit status). All that a failed step said is printed, of the others what they skipped and the lines
# that begin with `figures: `.

names=() commands=() needs=() alone=() state=()   # state: waiting, a process id, or done
declare -A build_state=()                         # of a preset: waiting, passed, failed
presets=()
passed=0 failed=0 skipped=0 told=0

build() {
    local before=
    [ ${#presets[@]} -eq 0 ] || before=${presets[-1]}
    presets+=("$1")
    build_state[$1]=waiting
    add "build $1" "$before" "" build_preset "$1"
}

build_preset() {
    cmake --preset "$1" && nice cmake --build --preset "$1"
}

step() {
    local need= is_alone=
    while [[ ${1:-} == -? ]]; do
        case $1 in
        -a) is_alone=alone ;;
        -b) need+="${2#-} " && shift ;;
        *) echo "step: what is $1?" >&2; exit 2 ;;
        esac
        shift
    done
    add "$1" "${need:-${presets[*]}}" "$is_alone" "${@:2}"
}

add() {   # NAME NEEDS ALONE COMMAND...
    names+=("$1") needs+=("$2") alone+=("$3") state+=(waiting)
    commands+=("$(printf '%q ' "${@:4}")")
}

# Only the steps asked for stay, with the builds they need.
choose() {   # ONLY
    local i wanted=" " keep
    for i in "${!names[@]}"; do
        if [[ "${names[i]}" == *"$1"* ]]; then
            wanted+="- ${needs[i]} "
            [[ "${names[i]}" == "build "* ]] && wanted+="${names[i]#build } "
        fi
    done
    if [ "$wanted" = " " ]; then
        echo "no step has a name with: $1" >&2
        exit 2
    fi
    for i in "${!names[@]}"; do
        if [[ "${names[i]}" == "build "* ]]; then
            keep=${names[i]#build }
            [[ "$wanted" == *" $keep "* ]] && continue
            build_state[$keep]=passed
        elif [[ "${names[i]}" == *"$1"* ]]; then
            continue
        fi
        state[i]=dropped
    done
}

is_ready() {   # I
    local preset
    for preset in ${needs[$1]}; do
        [ "${build_state[$preset]:-failed}" = passed ] || return 1
    done
}

log_of() {   # I
    echo "build/log/${names[$1]//[ \/]/-}.log"
}

start() {   # I
    local log
    log=$(log_of "$1")
    (
        TIMEFORMAT='%R %U %S'
        { time eval "${commands[$1]}" >"$log" 2>&1 </dev/null; } 2>"${log%.log}.time"
    ) &
    state[$1]=$!
}

# The step of a process ended with a status: its counts, and what waits for it may start.
end() {   # I STATUS
    local log counts p=0 f=0 s=0 took user system
    log=$(log_of "$1")
    counts=$(grep -aE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
    if [ -n "$counts" ]; then
        read -r p _ f _ s _ <<<"${counts//,/}"
    elif [ "$2" -eq 0 ]; then
        p=1
    fi
    [ "$2" -ne 0 ] && [ "$f" -eq 0 ] && f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    [[ "${names[$1]}" == "build "* ]] && build_state[${names[$1]#build }]=$([ "$f" -eq 0 ] && echo passed || echo failed)
    read -r took user system < <(tail -n 1 "${log%.log}.time")
    {
        LC_ALL=C printf '%-34s %5d passed %3d failed %3d skipped %5.0f s %5.0f s cpu\n' \
            "${names[$1]}" "$p" "$f" "$s" "$took" "$(LC_ALL=C awk "BEGIN { print $user + $system }")"
        if [ "$f" -gt 0 ]; then
            sed 's/^/    /' "$log"
        elif [ "$s" -gt 0 ]; then
            grep -ai 'skipped' "$log" | grep -avE '^[0-9]+ passed' | sed 's/^/    /' | head -n 12
        fi
        [ "$f" -gt 0 ] || sed -n 's/^figures: /    /p' "$log"
    } >"${log%.log}.told"
    state[$1]=done
}

# Prints the lines of the steps that are done, as far as no step before them is still to come.
tell() {
    while [ "$told" -lt ${#names[@]} ]; do
        case ${state[told]} in
        done) cat "$(log_of "$told" | sed 's/log$/told/')" ;;
        dropped) ;;
        *) return ;;
        esac
        told=$((told + 1))
    done
}

running() {   # prints the numbers of the steps that run
    local i
    for i in "${!state[@]}"; do
        [[ ${state[i]} =~ ^[0-9]+$ ]] && echo "$i"
    done
}

# Ends what runs: first as Ctrl-C would, so that tests can stop their servers, then for good.
stop_all() {
    local i try
    trap '' INT TERM
    for try in INT TERM KILL; do
        for i in $(running); do
            kill -s $try -- "-${state[i]}" 2>/dev/null
        done
        for _ in $(seq 100); do
            [ -n "$(for i in $(running); do kill -0 -- "-${state[i]}" 2>/dev/null && echo "$i"; done)" ] || return
            sleep 0.1
        done
    done
}

start_what_can() {   # LANES
    local i free busy
    mapfile -t busy < <(running)
    free=$(($1 - ${#busy[@]}))
    for i in "${!names[@]}"; do
        [ $free -gt 0 ] || return
        [ "${state[i]}" = waiting ] && is_ready "$i" || continue
        if [ -n "${alone[i]}" ]; then
            [ ${#busy[@]} -eq 0 ] || return
            free=1
        fi
        start "$i"
        busy+=("$i")
        free=$((free - 1))
    done
}

is_build_failed() {
    [[ " ${build_state[*]} " == *" failed "* ]]
}

# Returns when all has ended; after a build that failed nothing more starts, as everything would say the same.
run_steps() {   # LANES ONLY
    local pid status i
    choose "$2"
    set -m   # a step is a process group, which can be ended as a whole
    trap 'stop_all; echo "interrupted"; exit 130' INT TERM
    while true; do
        is_build_failed || start_what_can "$1"
        [ -n "$(running)" ] || break
        wait -n -p pid
        status=$?
        for i in $(running); do
            [ "${state[i]}" = "${pid:-}" ] && end "$i" $status
        done
        tell
    done 2>/dev/null
    trap - INT TERM
    if is_build_failed; then
        for i in "${!state[@]}"; do
            [ "${state[i]}" = waiting ] && state[i]=dropped
        done
        tell
    fi
}
