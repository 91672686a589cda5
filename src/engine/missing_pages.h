// MissingPages: the engine's share in a lazy restore (docs/design/memory.md). The init's pager
// brings the pages; the engine looks how far it is, keeps copies of its userfaultfds alive, and
// waits for it where pages have to be there.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "restore/page_host.h"

namespace perdure::engine {

// What PERDURE_LAZY says, for tests: "mapping_pages=N,space_pages=N,delay_ms=N".
struct LazySettings {
  std::optional<uint64_t> mapping_pages;  // smaller mappings are loaded before the program runs
  std::optional<uint64_t> space_pages;    // as are address spaces with fewer such pages
  std::optional<uint64_t> delay_ms;       // of the background reader
  static Result<LazySettings> from_environment();
};

class MissingPages {
 public:
  // Of a restore that is about to begin. The init takes its end of the socket with take_end(), in
  // its own process; drop_end() closes it in ours.
  // saved: by address space, of what is brought later, if epochs are to be made meanwhile.
  static Result<std::unique_ptr<MissingPages>> create(std::map<ObjectId, memory::PageSet>&& saved);
  // Of a group that another engine may have restored.
  static std::unique_ptr<MissingPages> unknown();
  MissingPages() = default;
  ~MissingPages();
  MissingPages(const MissingPages&) = delete;
  MissingPages& operator=(const MissingPages&) = delete;

  restore::PageProgress* progress() { return progress_; }
  const restore::PendingBooks& books() const { return books_; }
  Fd take_end();
  void drop_end() { theirs_.reset(); }

  // Whether epochs can be made while pages are missing: not once a process was forked or memory
  // moved.
  bool may_save() const;
  void forbid_saving() { books_.clear(); }
  // pagemap: of /proc of the process that has the address space.
  void watch(ObjectId space, Fd pagemap) { pagemaps_[space] = std::move(pagemap); }
  // The group is stopped: which pages of an address space are missing; more than those that are, if
  // some come just now. kBusy: that cannot be told; the checkpoint has to wait for all pages.
  Result<memory::PageSet> pending(ObjectId space);

  uint64_t left() const;
  // When settle() is due, CLOCK_MONOTONIC.
  uint64_t next_look_ns() const { return next_look_ns_; }
  // Why the pager ended the group.
  std::optional<std::string> failure() const;
  // Lets go of the copies once no page is left. True when the pager has closed its own: touches
  // are the kernel's business again.
  Result<bool> settle(pid_t init);
  // Until then. The group runs meanwhile.
  Status wait(pid_t init);

 private:
  Status await_turn() const;

  restore::PageProgress* progress_ = nullptr;  // shared with the init
  size_t shared_bytes_ = 0;
  restore::PendingBooks books_;
  std::map<ObjectId, Fd> pagemaps_;
  Fd ours_, theirs_;
  uint64_t next_look_ns_ = 0;
};

}  // namespace perdure::engine
