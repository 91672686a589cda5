#include "cli/help.h"

#include <array>

#include "base/assert.h"

namespace perdure::cli {
namespace {

// In the order of Verb.
constexpr std::array kVerbs = {
    VerbHelp{
        "run", "Start a command as a group", "[OPTIONS] -- COMMAND...",
        R"(On a terminal the command gets a terminal of its own, shown on yours; Ctrl-] d leaves
it running, `perdure attach NAME` comes back. Otherwise its standard streams are
yours. With -d streams that are terminals, anonymous pipes or sockets become
/dev/null; files and FIFOs that you redirect to stay.

Exit status: the command's own, 128 + N if signal N killed it; 10 to 25 if Perdure
failed (see perdure(1)).

Examples:
  perdure run -- python3 game.py
  perdure run -d --name shop -- redis-server shop.conf
  perdure run -d -- ./worker --all > worker.log)"},
    VerbHelp{"attach", "Adopt a running process, take a group over, or show its terminal",
             "[OPTIONS] PID|NAME",
             R"(PID: the process and all below it become a group; they notice nothing.
NAME: a new engine takes the group over if its engine died; then, if the group has a
terminal and you are on one, it is shown (Ctrl-] d leaves; -d does not show it).

Examples:
  perdure attach --name web 4711
  perdure attach shop)"},
    VerbHelp{"detach", "Let go of a group: it runs on, no longer saved", "[OPTIONS] [NAME]",
             R"(Its epochs stay. The engine leaves no trace in the processes.

Examples:
  perdure detach shop)"},
    VerbHelp{"checkpoint", "Save a group's state as a new epoch", "[OPTIONS] [NAME]",
             R"(Without --wait it returns as soon as the epoch is captured and the group runs again;
a failure to store it is then told by `perdure log` and engine.log.

Examples:
  perdure checkpoint --wait shop
  perdure checkpoint --wait --keep 10 --json shop)"},
    VerbHelp{"restore", "Bring an epoch back to life", "[OPTIONS] [NAME]",
             R"(Needs nothing but the store and the files that the epoch names. The group must not
run; --name NEW restores a copy beside it, also while the original runs. Epochs may
be meant by time: --at 14:03:10.250 (today) or --at "2026-05-01 14:03", --back 3s.

Examples:
  perdure restore -d shop
  perdure restore --epoch 3 shop
  perdure restore -d --back 3s shop
  perdure restore -d --at 14:03:10.250 --name shop-then shop
  perdure restore -d --epoch 1 --name shop-then shop)"},
    VerbHelp{"pause", "Stop saving a group periodically, for a while", "[OPTIONS] [NAME]",
             R"(The group runs on; `perdure checkpoint` saves it on request. A new engine saves it
periodically again.

Examples:
  perdure pause shop)"},
    VerbHelp{"resume", "Save a group periodically again, or with another period",
             "[OPTIONS] [NAME]",
             R"(Examples:
  perdure resume shop
  perdure resume --every 100ms shop)"},
    VerbHelp{
        "ps", "List groups", "[OPTIONS]",
        R"(States: running; busy (its engine does not answer yet); no engine (it runs, but cannot
be saved until `perdure attach NAME`); detached; ended (with the command's status);
lost (it does not run and did not end: `perdure restore NAME`).

--watch shows, of the last 10 seconds: epochs a second, stop windows (half are no
longer than p50, all but one in a hundred no longer than p99) and how they are spread,
bytes that changed and were written; and how long the last epoch took to be durable.

Examples:
  perdure ps
  perdure ps --watch
  perdure ps --metrics | grep stop_window
  perdure ps --json)"},
    VerbHelp{
        "log", "List a group's epochs: when, size, stop time, what changed", "[OPTIONS] [NAME]",
        R"(--graph draws the branches that rewinds make; --timing shows what the group waited for
in each stop window. On a terminal a long list is thinned, but for where branches
begin and end.

Examples:
  perdure log shop
  perdure log -n 20 --timing shop
  perdure log --graph --since 5m --thin 1s shop
  perdure log --json shop)"},
    VerbHelp{"kill", "SIGKILL to every process of a group", "[OPTIONS] NAME...",
             R"(Its epochs stay; `perdure restore NAME` brings it back.

Examples:
  perdure kill shop)"},
    VerbHelp{"rm", "Remove a group's epochs for good", "[OPTIONS] NAME...",
             R"(A group that runs is refused; --force kills it first.

Examples:
  perdure rm shop
  perdure rm --force shop web)"},
    VerbHelp{"show", "Print all records of an epoch", "[OPTIONS] [NAME] EPOCH",
             R"(Examples:
  perdure show 3
  perdure show shop newest
  perdure show --json shop 3)"},
    VerbHelp{
        "dump", "Write an epoch as a core file, for gdb", "[OPTIONS] [NAME] EPOCH",
        R"(The core has all threads and all memory of the epoch; what the program only read from
files, debuggers look up in those. Of a group with several processes each one becomes
a core with its number behind the name, or --pid chooses one. Instead of EPOCH, --at
14:03:10.250 or --back 3s mean one by its time. A core holds the program's secrets:
only you can read it.

Examples:
  perdure dump shop newest
  perdure dump -o then.core shop 3 && gdb /usr/bin/redis-server then.core
  perdure dump --pid 17 --back 3s -o then.core shop)"},
    VerbHelp{"diff", "Print what changed from one epoch to another", "[OPTIONS] [NAME] EPOCH EPOCH",
             R"(Examples:
  perdure diff 1 2
  perdure diff shop 1 newest --all)"},
    VerbHelp{"scrub", "Verify every checksum of a group's epochs", "[OPTIONS] [NAME]",
             R"(Exit status: 0 if all is well, 17 if anything is damaged.

Examples:
  perdure scrub shop)"},
    VerbHelp{
        "check", "Tell what this kernel and these privileges allow", "[OPTIONS]",
        R"(Exit status: 0 if groups can be saved and restored, 15 if something needed is missing.

Examples:
  perdure check
  perdure check --json)"},
};

}  // namespace

const char* const kProgramHelp =
    "Perdure makes any program outlive its process and machine: save, lose, restore, rewind.";

const char* const kProgramFooter = R"(Examples:
  perdure run -d --name shop -- redis-server shop.conf
  perdure checkpoint --wait shop
  perdure kill shop && perdure restore -d shop

`perdure VERB --help` tells more; perdure(1) tells all.)";

const VerbHelp& help_of(Verb verb) {
  size_t at = static_cast<size_t>(verb);
  PD_ASSERT(at < kVerbs.size());
  return kVerbs[at];
}

}  // namespace perdure::cli
