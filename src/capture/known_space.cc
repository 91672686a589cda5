#include "capture/known_space.h"

#include <algorithm>

#include "capture/version.h"

namespace perdure::capture {
namespace {

using kernel::proc::MapsEntry;

// A count of 32 bits comes round after 2^31 changes, each of which takes more than 100 ns.
constexpr uint64_t kLifeNs = 60'000'000'000;

bool same_file(const MapsEntry& a, const MapsEntry& b) {
  return a.device == b.device && a.inode == b.inode && a.path == b.path && a.shared == b.shared;
}

// Memory that is not the process's own has to be found anew in each stop.
bool is_of_file(const MapsEntry& entry) {
  return entry.path.starts_with('/') || entry.path.starts_with("[anon_shmem:");
}

}  // namespace

void KnownSpace::keep(const kernel::TaskLook& look, const VmaCapture& capture,
                      const MappedFiles& files, uint64_t now_ns) {
  forget();
  files_.clear();
  if (!look.mapping_changes || *look.mapping_changes % 2 != 0) return;
  for (const MapsEntry& entry : capture.entries) {
    if (!is_of_file(entry) || is_foreign(entry)) continue;
    if (!files.remembers(entry)) return;
    const bool known = std::any_of(files_.begin(), files_.end(), [&entry](const MapsEntry& each) {
      return same_file(each, entry);
    });
    if (!known) files_.push_back(entry);
  }
  space_at_ = look.space_at;
  changes_ = *look.mapping_changes;
  kept_ns_ = now_ns;
  layout_.assign(look.space.begin(), look.space.end());
  space_ = capture.space;
  private_areas_ = capture.private_areas;
  version_ = next_version();
  kept_ = true;
}

void KnownSpace::lend(object::AddressSpace* record) {
  record->Swap(&space_);
  lent_ = true;
}

void KnownSpace::take_back(object::AddressSpace* record) {
  if (!lent_) return;
  record->Swap(&space_);
  lent_ = false;
}

bool KnownSpace::holds(const kernel::TaskLook& look, uint64_t now_ns, MappedFiles* files) const {
  return kept_ && !lent_ && look.mapping_changes == changes_ && look.space_at == space_at_ &&
         now_ns - kept_ns_ < kLifeNs &&
         std::equal(layout_.begin(), layout_.end(), look.space.begin(), look.space.end()) &&
         files->add_remembered(files_);
}

}  // namespace perdure::capture
