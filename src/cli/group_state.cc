#include "cli/group_state.h"

#include "daemon/client.h"
#include "daemon/living.h"
#include "daemon/message.h"
#include "kernel/folder.h"
#include "store/store.h"

namespace perdure::cli {
namespace {

// A list of groups is wanted now, also while one of them is being saved.
constexpr std::chrono::milliseconds kLookTime{1500};

// True if the group has an engine.
bool ask_engine(const daemon::GroupPlace& place, GroupState& state) {
  auto client = daemon::Client::connect(place);
  if (!client.ok()) return false;
  auto status = client->status(kLookTime);
  if (!status.ok()) {
    if (status.error().code() == Code::kGone) return false;
    state.running = GroupState::Running::kBusy;
    return true;
  }
  state.running = GroupState::Running::kYes;
  state.engine_pid = status->engine_pid();
  state.root_pid = status->root_pid();
  state.processes.assign(status->processes().begin(), status->processes().end());
  state.has_terminal = status->has_terminal();
  state.lazy_pages_left = status->lazy_pages_left();
  state.metrics_port = static_cast<uint16_t>(status->metrics_port());
  state.counts = status->persistence();
  return true;
}

void look_for_processes(const daemon::GroupPlace& place, GroupState& state) {
  auto living = daemon::find_living(place.directory);
  if (!living) return;
  state.running = GroupState::Running::kNoEngine;
  state.root_pid = living->root_pid;
  state.processes = std::move(living->processes);
}

void look_at_store(const daemon::GroupPlace& place, GroupState& state) {
  state.bytes = kernel::bytes_on_disk(place.directory);
  store::Options options;
  options.directory = place.directory;
  auto store = store::Store::open(std::move(options));
  if (!store.ok()) {
    state.damage = store.error().message();
    return;
  }
  state.epochs = (*store)->epochs().size();
  state.newest = (*store)->newest();
}

}  // namespace

std::string GroupState::text() const {
  switch (running) {
    case Running::kYes:
      return "running";
    case Running::kBusy:
      return "busy";
    case Running::kNoEngine:
      return "no engine";
    case Running::kNo:
      break;
  }
  if (!damage.empty()) return "unreadable";
  if (end && end->how == daemon::EndNote::How::kDetached) return "detached";
  if (end && end->wait_status) return "ended: " + daemon::describe_wait_status(*end->wait_status);
  return end ? "ended" : "lost";
}

GroupState look_for_processes_of(const daemon::GroupPlace& place) {
  GroupState state;
  state.name = place.name;
  state.store = place.store;
  if (!ask_engine(place, state)) look_for_processes(place, state);
  return state;
}

GroupState look_at_group(const daemon::GroupPlace& place) {
  GroupState state = look_for_processes_of(place);
  state.end = daemon::read_end_note(place.directory);
  look_at_store(place, state);
  return state;
}

}  // namespace perdure::cli
