// The perdure command: parse, find the places, run the verb, tell the error. Nothing is set up
// before it is needed: a restore is faster than many programs' start.
#include <stdlib.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "cli/arguments.h"
#include "cli/context.h"
#include "cli/output.h"
#include "kernel/daemonize.h"

namespace perdure::cli {
namespace {

Result<int> run_verb(const Context& context) {
  switch (context.arguments.verb) {
    case Verb::kRun:
      return run(context);
    case Verb::kAttach:
      return attach(context);
    case Verb::kDetach:
      return detach(context);
    case Verb::kCheckpoint:
      return checkpoint(context);
    case Verb::kRestore:
      return restore(context);
    case Verb::kPause:
      return pause(context);
    case Verb::kResume:
      return resume(context);
    case Verb::kPs:
      return ps(context);
    case Verb::kLog:
      return log(context);
    case Verb::kKill:
      return kill(context);
    case Verb::kRm:
      return rm(context);
    case Verb::kShow:
      return show(context);
    case Verb::kDump:
      return dump(context);
    case Verb::kDiff:
      return diff(context);
    case Verb::kScrub:
      return scrub(context);
    case Verb::kCheck:
      return check(context);
  }
  return Error(Code::kInternal, "no such verb");
}

// Whether the verb may start an engine, which is to give up what the user passed. It is looked for
// before anything of our own is open.
bool may_launch(Verb verb) {
  switch (verb) {
    case Verb::kRun:
    case Verb::kAttach:
    case Verb::kRestore:
    case Verb::kKill:
    case Verb::kRm:
      return true;
    default:
      return false;
  }
}

Result<int> run_command(const Arguments& arguments, char** words) {
  const char* (*variable)(const char*) = [](const char* name) -> const char* {
    return ::getenv(name);
  };
  auto places = PD_TRY(daemon::Places::find(variable, ::geteuid() == 0, ::geteuid()));
  std::vector<int> inherited;
  if (may_launch(arguments.verb)) inherited = kernel::inherited_descriptors();
  return run_verb({arguments, places, words, std::move(inherited)});
}

int main_of(int count, char** words) {
  Parsed parsed =
      parse_arguments(std::vector<std::string>(words + (count > 0 ? 1 : 0), words + count));
  if (!parsed.arguments) {
    if (!parsed.mistake.empty()) {
      print_error(Error(Code::kInvalid, parsed.mistake).with_remedy(parsed.remedy));
    }
    (void)print(parsed.output).ok();
    return parsed.exit_status;
  }
  Result<int> status = run_command(*parsed.arguments, words);
  if (status.ok()) return *status;
  print_error(status.error());
  return exit_status(status.error().code());
}

}  // namespace
}  // namespace perdure::cli

int main(int count, char** words) { return perdure::cli::main_of(count, words); }
