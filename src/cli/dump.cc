#include <fmt/format.h>

#include "base/clock.h"
#include "cli/context.h"
#include "cli/epoch_choice.h"
#include "cli/json.h"
#include "cli/open_store.h"
#include "cli/output.h"
#include "engine/core_file.h"

namespace perdure::cli {
namespace {

struct Core {
  const object::Process* process = nullptr;
  std::string path;
  engine::CoreReport report;
};

std::string pids_text(const object::Graph& graph) {
  std::string text;
  for (const auto& [id, process] : graph.processes) {
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", process.pid(), process.comm());
  }
  return text;
}

// One that was asked for by number, or all that have memory.
Result<std::vector<Core>> cores_of(const object::Graph& graph, std::optional<int> pid) {
  std::vector<Core> cores;
  if (pid) {
    const object::Process* process = graph.find_process(*pid);
    if (process == nullptr) {
      return Error(Code::kNotFound,
                   fmt::format("the epoch has no process {}; it has {}", *pid, pids_text(graph)));
    }
    PD_TRY(engine::check_has_memory(*process));
    cores.push_back({process, "", {}});
    return cores;
  }
  for (const auto& [id, process] : graph.processes) {
    if (engine::check_has_memory(process).ok()) cores.push_back({&process, "", {}});
  }
  return cores;
}

// FILE, FILE.PID where there are several, core.PID if no name was given.
std::string path_for(const Arguments& arguments, const object::Process& process, size_t cores) {
  if (arguments.output.empty()) return fmt::format("core.{}", process.pid());
  if (cores == 1) return arguments.output;
  return fmt::format("{}.{}", arguments.output, process.pid());
}

std::string core_text(const Core& core, Epoch epoch) {
  return fmt::format("{}: process {} ({}) of epoch {}, {} thread{}, {}\n  gdb {} {}\n", core.path,
                     core.process->pid(), core.process->comm(), epoch.value, core.report.threads,
                     core.report.threads == 1 ? "" : "s", bytes_text(core.report.stored_bytes),
                     core.process->executable(), core.path);
}

void append_json(JsonWriter& json, const Core& core) {
  json.begin_object().key("path").string(core.path).key("pid").number(core.process->pid());
  json.key("comm").string(core.process->comm());
  json.key("executable").string(core.process->executable());
  json.key("threads").number(core.report.threads);
  json.key("file_bytes").number(core.report.file_bytes);
  json.key("stored_bytes").number(core.report.stored_bytes).end_object();
}

}  // namespace

Result<int> dump(const Context& context) {
  const Arguments& arguments = context.arguments;
  daemon::GroupPlace place = PD_TRY(the_group(context));
  auto store = PD_TRY(open_store(place));
  Epoch epoch =
      PD_TRY(choose_epoch(store->epochs(), {arguments.epoch, arguments.at, arguments.back_ns},
                          SystemClock().realtime_ns(), place.name));
  auto reader = PD_TRY(store->read_epoch(epoch));
  const object::Graph graph = PD_TRY(engine::load_graph(*reader));
  std::vector<Core> cores = PD_TRY(cores_of(graph, arguments.pid));
  JsonWriter json;
  json.begin_object().key("group").string(place.name).key("epoch").number(epoch.value);
  json.key("captured_realtime_ns").number(reader->info().captured_realtime_ns);
  json.key("cores").begin_array();
  for (Core& core : cores) {
    core.path = path_for(arguments, *core.process, cores.size());
    core.report = PD_TRY(engine::write_core(graph, *core.process, *reader, core.path));
    append_json(json, core);
    if (!arguments.json) PD_TRY(print(core_text(core, epoch)));
  }
  json.end_array().end_object();
  if (arguments.json) PD_TRY(print(json.take()));
  return 0;
}

}  // namespace perdure::cli
