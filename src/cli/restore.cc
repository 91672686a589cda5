#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/clock.h"
#include "cli/context.h"
#include "cli/epoch_choice.h"
#include "cli/foreground.h"
#include "cli/group_state.h"
#include "cli/json.h"
#include "cli/open_store.h"
#include "cli/output.h"
#include "daemon/group_name.h"
#include "daemon/group_tasks.h"
#include "kernel/terminal_mode.h"

namespace perdure::cli {
namespace {

Status say(const Context& context, const std::string& name, const control::Started& started) {
  if (!context.arguments.json) {
    return tell(fmt::format("{}: epoch {} restored in {}, process {}\n", name, started.epoch(),
                            duration_text(started.total_us()), started.root_pid()));
  }
  JsonWriter json;
  json.begin_object().key("name").string(name).key("epoch").number(started.epoch());
  json.key("total_us").number(started.total_us()).key("pages").number(started.pages());
  json.key("lazy_pages").number(started.lazy_pages());
  json.key("root_pid").number(started.root_pid()).key("engine_pid").number(started.engine_pid());
  json.key("timing").raw(started.timing_json()).end_object();
  return print(json.take());
}

// What has just been killed takes a moment to die, the more memory the longer.
Status refuse_living(const daemon::GroupPlace& place) {
  constexpr std::chrono::milliseconds kDyingTime{2000}, kLookAgain{2};
  auto until = std::chrono::steady_clock::now() + kDyingTime;
  for (;;) {
    GroupState::Running running = look_for_processes_of(place).running;
    if (running == GroupState::Running::kNo) return Ok{};
    bool may_be_dying = running == GroupState::Running::kNoEngine;
    if (!may_be_dying || std::chrono::steady_clock::now() > until) break;
    std::this_thread::sleep_for(kLookAgain);
  }
  return Error(Code::kBusy, "group " + place.name + " is running")
      .with_remedy("`perdure kill " + place.name +
                   "` ends it first, or restore a copy with --name NEW");
}

// A number is left to the engine, which looks for it anyway. A time needs a look at what there is;
// a running group's store is read beside its writer.
Result<Epoch> wanted_epoch(const Arguments& arguments, const daemon::GroupPlace& source) {
  EpochChoice choice{arguments.epoch, arguments.at, arguments.back_ns};
  if (!choice.by_time()) return arguments.epoch;
  auto store = PD_TRY(open_store(source));
  return choose_epoch(store->epochs(), choice, SystemClock().realtime_ns(), source.name);
}

}  // namespace

Result<int> restore(const Context& context) {
  const Arguments& arguments = context.arguments;
  daemon::GroupPlace source = PD_TRY(the_group(context));
  daemon::GroupPlace target = source;
  bool copy = !arguments.new_name.empty() && arguments.new_name != source.name;
  if (copy) {
    PD_TRY(daemon::check_group_name(arguments.new_name));
    target = context.places.place(arguments.new_name, source.store);
  }
  PD_TRY(refuse_living(target));

  engine::RestoreOptions options;
  options.name = target.name;
  options.epoch = PD_TRY(wanted_epoch(arguments, source));
  options.files = arguments.files;
  options.isolate = arguments.isolate;
  options.eager = arguments.eager;
  auto size = kernel::window_size(STDOUT_FILENO).value_or(kernel::WindowSize{});
  options.terminal_size = {size.rows, size.columns};
  Ground ground = arguments.background ? Ground::kBackground : Ground::kForeground;
  auto streams = ground == Ground::kBackground ? daemon::CallersStreams::kSilence
                                               : daemon::CallersStreams::kKeep;
  daemon::RestoreTask task(target, std::move(options), copy ? source.directory : "", streams,
                           settings_of(arguments));
  return launch(context, target, task, ground, Redraw::kYes, [&](const control::Started& started) {
    return say(context, target.name, started);
  });
}

}  // namespace perdure::cli
