# Completion of perdure(1) for bash: verbs, options, names of groups, epochs and PIDs.

_perdure_groups() {
  local store=()
  local at
  for ((at = 1; at < COMP_CWORD; at++)); do
    if [[ ${COMP_WORDS[at]} == --store ]]; then
      store=(--store "${COMP_WORDS[at + 1]}")
    fi
  done
  "${COMP_WORDS[0]}" ps --names "${store[@]}" 2>/dev/null
}

_perdure_pids() {
  local process
  for process in /proc/[0-9]*; do
    printf '%s\n' "${process#/proc/}"
  done
}

_perdure_options() {
  case $1 in
    run | attach) echo "--name --store --detach --every --keep --metrics-port --compress --no-compress --json --help" ;;
    checkpoint) echo "--wait --keep --files --json --store --help" ;;
    restore) echo "--epoch --at --back --name --files --isolate --eager --detach --every --keep --metrics-port --compress --no-compress --json --store --help" ;;
    ps) echo "--json --names --watch --metrics --store --help" ;;
    rm) echo "--force --json --store --help" ;;
    log) echo "-n --graph --timing --since --thin --all --json --store --help" ;;
    dump) echo "--output --pid --at --back --json --store --help" ;;
    show | scrub) echo "--json --store --help" ;;
    diff) echo "--all --json --store --help" ;;
    check) echo "--json --help" ;;
    resume) echo "--every --json --store --help" ;;
    detach | pause | kill) echo "--json --store --help" ;;
  esac
}

_perdure() {
  local verbs="run attach detach checkpoint restore pause resume ps log kill rm show dump diff scrub check"
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$word")
    return
  fi
  # Behind -- the command that run starts completes itself.
  local at
  for ((at = 2; at < COMP_CWORD; at++)); do
    if [[ $verb == run && ${COMP_WORDS[at]} == -- ]]; then
      if declare -F _command_offset >/dev/null; then
        _command_offset $((at + 1))
      else
        mapfile -t COMPREPLY < <(compgen -c -f -- "$word")
      fi
      return
    fi
  done
  case $before in
    --store) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    --every) mapfile -t COMPREPLY < <(compgen -W "10ms 100ms 1s 1m" -- "$word"); return ;;
    --thin) mapfile -t COMPREPLY < <(compgen -W "100ms 1s 10s 1m 10m 1h" -- "$word"); return ;;
    -o | --output) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --files) mapfile -t COMPREPLY < <(compgen -W "unchanged volatile" -- "$word"); return ;;
    --epoch) mapfile -t COMPREPLY < <(compgen -W "newest" -- "$word"); return ;;
    --name | --keep | --metrics-port | --at | --back | --since | --pid | -n) return ;;
  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_perdure_options "$verb")" -- "$word")
    return
  fi
  case $verb in
    run) mapfile -t COMPREPLY < <(compgen -W "--" -- "$word") ;;
    attach) mapfile -t COMPREPLY < <(compgen -W "$(_perdure_groups) $(_perdure_pids)" -- "$word") ;;
    ps | check) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$(_perdure_groups)" -- "$word") ;;
  esac
}

complete -F _perdure perdure
