// HotPages: pages of one address space that are written in nearly every epoch. They are left
// without write protection, so that a write costs no page fault; instead each stop copies all of
// them, and after it those are passed on that differ from the copy before. So a page cannot be
// missed, whoever writes it. What it costs and when it is worth it: docs/design/hot_pages.md.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "memory/copy.h"
#include "memory/page_set.h"

namespace perdure::memory {

class HotPages {
 public:
  static constexpr uint64_t kPagesMax = 1024;  // one process_vm_readv(2) reads so many pieces
  explicit HotPages(uint64_t pages_max) : pages_max_(std::min(pages_max, kPagesMax)) {}

  const PageSet& pages() const { return pages_; }
  // Pages that are not hot any more, whose protection and content nobody knows: the next cut has to
  // look there.
  const PageSet& left() const { return left_; }
  // It has.
  void forget_left() { left_.clear(); }

  // In the stop: copies all hot pages. Those that are not in `among` are not hot any more, and none
  // are if one of them cannot be read. Allocates nothing unless pages are dropped. kGone if the
  // process died.
  Status read(pid_t pid, const PageSet& among, Access access);
  // After the stop: passes on what differs from what was passed on before. If the sink fails, or
  // what it was given is lost, this object is of no use any more.
  Status pass_on(const PageSink& sink);
  // After that: what was written since the last call, as found by faults. Decides what is hot, of
  // which so many more may be than are now.
  void learn(const PageSet& written, uint64_t more_max);

 private:
  struct Slot {
    uint64_t page = 0;
    uint8_t changed = 0xff;  // in each of the last epochs, the newest in the lowest bit
    bool passed_on = false;
  };
  struct Heat {
    uint64_t epoch = 0;  // the last one in which it was written
    uint8_t written = 0;
  };
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  using Buffer = std::unique_ptr<uint8_t, Free>;
  static Buffer make_buffer(size_t pages);

  Result<bool> read_all(pid_t pid, Access access);
  bool is_warm(uint64_t page);
  void drop(const PageSet& pages);
  void replace(std::vector<Slot> slots);

  uint64_t pages_max_;
  PageSet pages_, left_;
  std::vector<Slot> slots_;    // by page
  std::vector<iovec> remote_;  // the runs of pages_
  size_t capacity_ = 0;        // pages of each buffer
  Buffer now_, before_;        // contents, in the order of slots_
  bool was_read_ = false;
  uint64_t epoch_ = 0;
  uint8_t crowded_ = 0;  // whether too many pages were written, in each of the last epochs
  std::unordered_map<uint64_t, Heat> heat_;  // of pages that were written lately
};

}  // namespace perdure::memory
