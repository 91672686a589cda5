# shellcheck shell=bash
# Sourced by ./test and ./demo: steps that say what they do in one line and show their log only when they fail.

# The lines of a log that tell why a step failed: what the compiler, CMake or CTest call an error, or else its end.
show_failure() {
  local log=$1
  local lines
  lines=$(grep -nE '(error|Error|FAILED|fatal|undefined reference|\*\*\*Failed|\*\*\*Timeout|SUMMARY: |tidy: )' "$log" | head -n 40)
  if [[ -n $lines ]]; then
    printf '%s\n' "$lines"
    echo '... and the end of the log:'
  fi
  tail -n 40 "$log"
}

# step NAME LOG COMMAND...: runs COMMAND with its output in LOG; one line when it succeeds.
step() {
  local name=$1 log=$2
  shift 2
  mkdir -p "$(dirname "$log")"
  local begin=$SECONDS
  [[ -t 1 ]] && printf '%-34s ...\r' "$name"
  if "$@" >"$log" 2>&1 </dev/null; then
    printf '%-34s %4d s\n' "$name" $((SECONDS - begin))
    return 0
  fi
  printf '%-34s FAILED after %d s\n' "$name" $((SECONDS - begin))
  show_failure "$log"
  echo "Full log: ${log#"$PWD"/}"
  echo "Replay:   $*"
  return 1
}

# configure PRESET DIRECTORY [OPTION...]: a configured directory is used as it is; ninja re-runs CMake by itself.
configure() {
  local preset=$1 directory=$2
  shift 2
  [[ -e $directory/build.ninja ]] && return 0
  step "configure $preset" "$directory/configure.log" cmake --preset "$preset" "$@"
}
