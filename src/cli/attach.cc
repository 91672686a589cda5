#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cli/context.h"
#include "cli/foreground.h"
#include "cli/group_state.h"
#include "cli/output.h"
#include "daemon/client.h"
#include "daemon/group_name.h"
#include "daemon/group_tasks.h"
#include "kernel/folder.h"
#include "kernel/proc/stat.h"

namespace perdure::cli {
namespace {

// A process is saved by one engine only. Groups that this user may not look at
// cannot be asked.
Status refuse_member(const Context& context, pid_t pid) {
  auto places = context.places.groups("");
  if (!places.ok()) return Ok{};
  for (const daemon::GroupPlace& place : *places) {
    GroupState state = look_for_processes_of(place);
    if (std::find(state.processes.begin(), state.processes.end(), pid) == state.processes.end())
      continue;
    return Error(Code::kExists, fmt::format("pid {} belongs to group {} already", pid, place.name))
        .with_remedy(fmt::format(
            "`perdure checkpoint {0}` saves it; `perdure detach {0}` lets it go", place.name));
  }
  return Ok{};
}

Result<int> attach_process(const Context& context) {
  const Arguments& arguments = context.arguments;
  pid_t pid = 0;
  const std::string& text = arguments.target;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || pid <= 0)
    return Error(Code::kInvalid, "'" + text + "' is no process number");
  auto stat = kernel::proc::read_stat(pid);
  if (!stat.ok()) {
    return Error(Code::kGone, "there is no process " + text)
        .with_remedy("`ps` lists processes, `perdure ps` groups");
  }
  if (stat->comm == "perdure-engine" || stat->comm == "perdure-init") {
    return Error(Code::kInvalid, fmt::format("pid {} ({}) is a part of Perdure", pid, stat->comm))
        .with_remedy("attach the program itself, not what saves it");
  }
  PD_TRY(refuse_member(context, pid));
  std::string name = arguments.name;
  if (name.empty()) {
    name = daemon::name_for_command(stat->comm, [&](const std::string& tried) {
      return kernel::exists(context.places.place(tried, arguments.store).directory);
    });
  }
  PD_TRY(daemon::check_group_name(name));
  daemon::GroupPlace place = context.places.place(name, arguments.store);
  daemon::AttachTask task(place, {.name = name, .pid = pid}, settings_of(arguments));
  return launch(
      context, place, task, Ground::kBackground, Redraw::kNo, [&](const control::Started& started) {
        if (arguments.json)
          return print(holding_json(name, {started.engine_pid(), pid, started.processes()}));
        return print(fmt::format("{}: attached, process {}, {} process{}\n", name, pid,
                                 started.processes(), started.processes() == 1 ? "" : "es"));
      });
}

Result<int> show_terminal(daemon::Client& client, const std::string& name) {
  auto terminal = PD_TRY(client.terminal());
  PD_TRY(client.watch_end());
  RelayEnd end =
      PD_TRY(relay_terminal(client, std::move(terminal.master), terminal.replay, Redraw::kYes));
  return finish_relay(end, name);
}

struct Held {
  daemon::Client client;
  control::StatusReply status;
};

// Code::kNotFound if the group has no engine; Code::kGone if its engine is just dying: the socket
// of a killed process accepts connections until its last thread has gone.
Result<Held> ask(const daemon::GroupPlace& place) {
  daemon::Client client = PD_TRY(daemon::Client::connect(place));
  control::StatusReply status = PD_TRY(client.status());
  return Held{std::move(client), std::move(status)};
}

Result<int> attach_group(const Context& context) {
  const Arguments& arguments = context.arguments;
  if (!arguments.name.empty()) {
    return Error(Code::kInvalid, "a group that exists has its name: --name is for a process")
        .with_remedy("perdure attach " + arguments.target);
  }
  daemon::GroupPlace place = PD_TRY(context.places.find_group(arguments.target, arguments.store));
  auto held = ask(place);
  if (!held.ok()) {
    const Code why = held.error().code();
    if (why != Code::kNotFound && why != Code::kGone) return std::move(held).error();
    daemon::TakeOverTask task(place, settings_of(arguments));
    PD_TRY(launch(context, place, task, Ground::kBackground, Redraw::kNo,
                  [&](const control::Started& started) {
                    if (arguments.json) return Status(Ok{});
                    return print(fmt::format("{}: taken over by engine {}, process {}\n",
                                             place.name, started.engine_pid(), started.root_pid()));
                  }));
    held = PD_TRY(ask(place));
  }
  auto& [client, status] = *held;
  if (status.has_terminal() && on_terminal() && !arguments.background && !arguments.json)
    return show_terminal(client, place.name);
  PD_TRY(print(arguments.json
                   ? holding_json(place.name, {status.engine_pid(), status.root_pid(),
                                               static_cast<size_t>(status.processes_size())})
                   : fmt::format("{}: held by engine {}\n", place.name, status.engine_pid())));
  return 0;
}

}  // namespace

Result<int> attach(const Context& context) {
  return daemon::is_number(context.arguments.target) ? attach_process(context)
                                                     : attach_group(context);
}

}  // namespace perdure::cli
