#include "engine/group.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "engine/fault.h"
#include "engine/start.h"
#include "engine/state.h"
#include "kernel/proc/stat.h"

namespace perdure::engine {
namespace {

// A process that makes processes while they are being killed is faster only for a while.
constexpr int kKillRoundsMax = 1000;
// Milliseconds for the group to come to rest before it is killed; one that does not is killed all
// the same.
constexpr int kStopRoundsMax = 100;
// How often threads that ended while a restore let them go are looked at.
constexpr int kLeftoversMs = 10;
// On their way to the disk: what a program could lose if the power failed.
constexpr uint64_t kInFlightEpochsMax = 64;
constexpr uint64_t kInFlightBytesMax = 8u << 20;

// Everything stops before anything ends: a process that saw another one die could still act on it,
// for example write the sum of half a pipeline.
void stop_all(const std::vector<pid_t>& pids) {
  for (pid_t pid : pids) (void)::kill(pid, SIGSTOP);
  auto runs = [](pid_t pid) {
    Result<kernel::proc::Stat> stat = kernel::proc::read_stat(pid);
    return stat.ok() && stat->state != 'T' && stat->state != 't' && !stat->is_zombie();
  };
  for (int round = 0; round < kStopRoundsMax && std::any_of(pids.begin(), pids.end(), runs);
       ++round) {
    timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace

Group::Group(std::unique_ptr<GroupState> state) : state_(std::move(state)) {}
Group::~Group() = default;

Result<std::unique_ptr<Group>> Group::start(const StartOptions& options,
                                            std::unique_ptr<store::Store> store) {
  std::unique_ptr<GroupState> state = PD_TRY(GroupState::create(options.name, std::move(store)));
  PD_TRY(engine::start(options, state.get()));
  return std::make_unique<Group>(std::move(state));
}

Result<std::unique_ptr<Group>> Group::attach(const AttachOptions& options,
                                             std::unique_ptr<store::Store> store) {
  std::unique_ptr<GroupState> state = PD_TRY(GroupState::create(options.name, std::move(store)));
  PD_TRY(engine::attach(options, state.get()));
  return std::make_unique<Group>(std::move(state));
}

Result<std::unique_ptr<Group>> Group::take_over(std::unique_ptr<store::Store> store) {
  object::Instance instance = PD_TRY(load_instance(store->name()));
  std::unique_ptr<GroupState> state = PD_TRY(GroupState::create(instance.name(), std::move(store)));
  PD_TRY(engine::take_over(state.get()));
  return std::make_unique<Group>(std::move(state));
}

Result<std::unique_ptr<Group>> Group::restore(const RestoreOptions& options,
                                              std::unique_ptr<store::Store> store) {
  std::unique_ptr<GroupState> state = PD_TRY(GroupState::create(options.name, std::move(store)));
  PD_TRY(engine::restore(options, state.get()));
  return std::make_unique<Group>(std::move(state));
}

Result<CheckpointReport> Group::checkpoint(const CheckpointOptions& options) {
  reset_fault_points();
  return engine::checkpoint(state_.get(), options);
}

int Group::durable_fd() { return state_->store->durable_fd(); }

std::vector<DurableEpoch> Group::take_durable() {
  std::vector<DurableEpoch> durable;
  for (store::SettledEpoch& settled : state_->store->take_settled()) {
    DurableEpoch& epoch = durable.emplace_back();
    epoch.epoch = settled.epoch;
    if (auto captured = state_->captured_ns.extract(settled.epoch))
      epoch.lag_ns = state_->clock.monotonic_ns() - captured.mapped();
    if (settled.result.ok()) {
      epoch.bytes_written = settled.result->bytes_written;
    } else {
      epoch.status = std::move(settled.result).error();
      state_->lose_epochs();
    }
  }
  return durable;
}

uint64_t Group::epochs_in_flight() const { return state_->store->in_flight().epochs; }

bool Group::disk_is_behind() const {
  if (save_awaits_pages()) return true;
  const store::InFlight in_flight = state_->store->in_flight();
  return in_flight.epochs >= kInFlightEpochsMax || in_flight.bytes >= kInFlightBytesMax;
}

double Group::slowdown() const { return state_->store->in_flight().slowdown; }

int Group::next_service_ms() const {
  std::optional<uint64_t> deadline = next_deadline_ns(*state_);
  if (state_->missing_pages != nullptr) {
    const uint64_t look = state_->missing_pages->next_look_ns();
    deadline = std::min(deadline.value_or(look), look);
  }
  if (const auto due = next_preparation_ns(*state_))
    deadline = std::min(deadline.value_or(*due), *due);
  if (!deadline) return kernel::Tracee::wait_for_leftovers() ? kLeftoversMs : -1;
  const uint64_t now = state_->clock.monotonic_ns();
  return *deadline <= now
             ? 0
             : static_cast<int>(std::min<uint64_t>((*deadline - now) / 1'000'000 + 1, 3'600'000));
}

void Group::serve() {
  (void)kernel::Tracee::wait_for_leftovers();
  serve_deadlines(state_.get());
  serve_missing_pages(state_.get());
  serve_preparation(state_.get());
}

bool Group::awaits_pages() const { return state_->missing_pages != nullptr; }

bool Group::save_awaits_pages() const {
  return awaits_pages() && !state_->missing_pages->may_save();
}

uint64_t Group::lazy_pages_left() const {
  return state_->missing_pages == nullptr ? 0 : state_->missing_pages->left();
}

std::optional<std::string> Group::lazy_failure() const {
  return state_->missing_pages == nullptr ? std::nullopt : state_->missing_pages->failure();
}

Status Group::kill() { return kill_group(state_.get()); }

Status Group::detach() { return engine::detach(state_.get()); }

const std::string& Group::name() const { return state_->name; }

int Group::end_fd() const { return state_->end.valid() ? state_->end.get() : -1; }

std::optional<int> Group::wait_status() {
  if (!state_->wait_status && state_->waited_pid != 0) {
    int status = 0;
    if (waitpid(state_->waited_pid, &status, __WALL | WNOHANG) == state_->waited_pid) {
      state_->wait_status = status;
      state_->end.reset();
    }
  }
  return state_->wait_status;
}

int Group::terminal_fd() const { return state_->terminal.valid() ? state_->terminal.get() : -1; }

std::vector<pid_t> Group::processes() const {
  Result<std::vector<pid_t>> pids = capture::list_processes(state_->scope);
  return pids.ok() ? std::move(pids).value() : std::vector<pid_t>();
}

pid_t Group::root_pid() const {
  const std::vector<pid_t> pids = processes();
  return pids.empty() ? 0 : pids.front();
}

const std::optional<RestoreReport>& Group::restore_report() const { return state_->restored; }

store::Store& Group::store() { return *state_->store; }

Status kill_group(GroupState* state) {
  if (state->scope.init != 0) {
    // The kernel ends every process of a PID namespace with its init (pid_namespaces(7)).
    if (::kill(state->scope.init, SIGKILL) != 0 && errno != ESRCH)
      return Error::system(errno, "kill", "the group");
    return {};
  }
  for (int round = 0; round < kKillRoundsMax; ++round) {
    std::vector<pid_t> pids = PD_TRY(capture::list_processes(state->scope));
    std::erase_if(pids, [](pid_t pid) {
      Result<kernel::proc::Stat> stat = kernel::proc::read_stat(pid);
      return !stat.ok() || stat->is_zombie();
    });
    if (pids.empty()) return {};
    if (round == 0) stop_all(pids);
    for (pid_t pid : pids) (void)::kill(pid, SIGKILL);
    timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
  return Error(Code::kTimeout, "the group's processes do not end");
}

Status detach(GroupState* state) {
  PD_TRY(wait_for_pages(state));
  const auto leave = [state](capture::Frozen& frozen) -> Status {
    for (capture::StoppedProcess& process : frozen.processes()) {
      auto member = state->members.find(process.pid);
      if (process.zombie || member == state->members.end()) continue;
      PD_TRY(capture::leave_process(&process, &member->second.memo));
    }
    return {};
  };
  PD_TRY(
      capture::while_frozen(state->scope, &state->task_clock, &state->waits, state->clock, leave));
  state->members.clear();
  return {};
}

}  // namespace perdure::engine
