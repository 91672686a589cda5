#include "engine/state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "kernel/proc/read.h"
#include "object/kind.h"

namespace perdure::engine {
namespace {

constexpr const char* kInstanceFile = "/instance";
constexpr size_t kInstanceBytesMax = 1u << 20;

}  // namespace

Result<std::unique_ptr<GroupState>> GroupState::create(std::string name,
                                                       std::unique_ptr<store::Store> store) {
  const char* disabled = std::getenv("PERDURE_DISABLE");
  kernel::Features features = PD_TRY(kernel::Features::from_environment());
  memory::TrackerFeatures tracking =
      memory::probe_tracker_features(disabled == nullptr ? "" : disabled);
  // For tests, so that small programs are guided, too, and few pages held.
  if (const char* pages = std::getenv("PERDURE_GUIDED_PAGES_MIN")) {
    tracking.guided_pages_min = std::strtoull(pages, nullptr, 10);
  }
  if (const char* pages = std::getenv("PERDURE_HELD_PAGES_MIN")) {
    tracking.held_pages_min = std::strtoull(pages, nullptr, 10);
  }
  // For tests: whatever a fault costs.
  if (const char* pages = std::getenv("PERDURE_HOT_PAGES_MAX")) {
    tracking.hot_pages_max = std::strtoull(pages, nullptr, 10);
    tracking.hot_fault_ns_min = 0;
  }
  memory::Copier copier = PD_TRY(memory::Copier::create(memory::Copier::Populate::kOnUse));
  auto state = std::make_unique<GroupState>(std::move(name), std::move(store), features, tracking,
                                            std::move(copier));
  state->instance.set_terminal_fd(-1);
  return state;
}

// Ids only ever grow within a store, so that an object of one epoch is never taken for that of
// another.
uint64_t GroupState::first_free_id(const store::Store& store) {
  uint64_t next = object::kFirstFreeObjectId;
  std::optional<store::EpochInfo> newest = store.newest();
  if (!newest) return next;
  Result<std::unique_ptr<store::EpochReader>> reader = store.read_epoch(newest->epoch);
  if (!reader.ok()) return next;
  for (const store::ObjectSummary& object : (*reader)->objects())
    next = std::max(next, object.object.value + 1);
  return next;
}

void GroupState::forget_epoch() {
  for (auto& [pid, member] : members) {
    member.tracker.reset();
    member.memo.tracked = false;
    member.inherited.reset();
    member.known.clear();
  }
  shared.clear();
  stored.clear();
  looked_at.reset();
  // New trackers hold nothing in their first epoch: what passes leave to the stop is copied there.
  held_pages = epoch_pages = 0;
  // A full epoch needs every page.
  if (missing_pages != nullptr) missing_pages->forbid_saving();
  full_next = true;
}

void GroupState::forget_survey() {
  for (auto& [pid, member] : members) {
    member.resident_bytes = 0;  // as if all of it was new
    if (member.inherited || member.fresh) replace_tracker(&member);
  }
  looked_at.reset();
}

void GroupState::replace_tracker(Member* member) {
  if (member->tracker == nullptr) return;
  if (member->inherited) member->known = member->tracker->known();
  member->tracker.reset();
  member->memo.tracked = false;
}

// With the pager its protection went: another tracker has to find what was written since.
void GroupState::note_pages_there() {
  missing_pages.reset();
  for (auto& [pid, member] : members) {
    member.memo.mappings = {};  // with the pager's flags
    if (member.inherited) replace_tracker(&member);
  }
}

void GroupState::lose_epochs() {
  forget_epoch();
  const std::optional<store::EpochInfo> newest = store->newest();
  parent = newest ? newest->epoch : Epoch();
}

Status wait_for_pages(GroupState* state) {
  if (state->missing_pages == nullptr) return {};
  PD_TRY(state->missing_pages->wait(state->scope.init));
  state->note_pages_there();
  return {};
}

Status wait_for_pages_to_save(GroupState* state) {
  if (state->missing_pages == nullptr || state->missing_pages->may_save()) return {};
  return wait_for_pages(state);
}

void serve_missing_pages(GroupState* state) {
  if (state->missing_pages == nullptr) return;
  Result<bool> settled = state->missing_pages->settle(state->scope.init);
  if (settled.ok() && *settled) state->note_pages_there();
}

Result<std::string> read_boot_id() {
  std::string text = PD_TRY(kernel::proc::read_text("/proc/sys/kernel/random/boot_id"));
  return std::string(kernel::proc::trimmed(text));
}

Status save_instance(const GroupState& state) {
  const std::string path = state.store->name() + kInstanceFile;
  const std::string fresh = path + ".new";
  std::string bytes;
  PD_ASSERT(state.instance.SerializeToString(&bytes));
  Fd file = Fd::adopt(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) return Error::system(errno, "open", fresh);
  if (write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    return Error::system(errno, "write", fresh);
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) return Error::system(errno, "rename", fresh);
  return {};
}

Result<object::Instance> load_instance(const std::string& directory) {
  const std::string path = directory + kInstanceFile;
  Fd file = Fd::adopt(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Error::system(errno, "open", path);
  std::string bytes(kInstanceBytesMax, '\0');
  const ssize_t size = read(file.get(), bytes.data(), bytes.size());
  if (size < 0) return Error::system(errno, "read", path);
  object::Instance instance;
  if (!instance.ParseFromArray(bytes.data(), static_cast<int>(size))) {
    return Error(Code::kCorrupt, path + " does not describe an instance");
  }
  return instance;
}

}  // namespace perdure::engine
