// WriteGuide: where the pages of an address space may have changed since they were looked at last,
// so that a cut need not look at all of them. BPF programs at tracepoints of the kernel keep book;
// nothing is asked of the kernel when the book is read. docs/design/continuous.md ("Scanning") says
// why nothing is missed. It tells too much at times (a whole block of 2 MiB where nothing was, or
// after thousands of faults; everything after a call that it does not know), never too little, for
// anonymous memory that is registered for asynchronous write protection and holds no pages of
// hugetlbfs.
//
// Programs, tables and their attachments end with the process that made them. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernel/bpf.h"
#include "kernel/kallsyms.h"
#include "memory/guide_state.h"
#include "memory/held_pages.h"
#include "memory/lock_effect.h"
#include "memory/page_set.h"
#include "memory/tracker.h"

namespace perdure::memory {

class WatchedSpace;

class WriteGuide {
 public:
  // Attaches the programs, and tries them on the calling process. kUnavailable or kPermission.
  static Result<std::unique_ptr<WriteGuide>> create();
  ~WriteGuide();

  // Begins to keep book of the address space that a process has now; after an execve it is another
  // one. Until the first settle() everything counts as touched. kLimit if too many are watched,
  // kGone if the process is gone. The guide must outlive what it returns.
  Result<std::unique_ptr<WatchedSpace>> watch(pid_t pid);

 private:
  friend class WatchedSpace;
  WriteGuide(kernel::BpfTable spaces, kernel::BpfArray states, kernel::BpfArray answer,
             HeldPages held);
  Status attach();
  Status try_on_ourselves();
  // Whether the lock was taken in a page fault of the kernel, which is recorded as such.
  bool is_fault(const LockRecord& record) const;

  kernel::BpfTable spaces_;
  kernel::BpfArray states_, answer_;
  HeldPages held_;
  kernel::CodeRange fault_entry_;  // of the kernel's code; empty where it is not told
  std::vector<bool> taken_;        // by key of states_
  Fd find_space_;
  std::vector<Fd> links_;
};

// A guide that is made when it is first wanted, which takes some milliseconds.
class LazyGuide {
 public:
  enum class Use : uint8_t { kAllowed, kForbidden };
  explicit LazyGuide(Use use) : wanted_(use == Use::kAllowed) {}
  // Null where there cannot be one.
  WriteGuide* get();

 private:
  bool wanted_;
  std::unique_ptr<WriteGuide> guide_;
};

class WatchedSpace {
 public:
  WatchedSpace(WriteGuide& guide, uint64_t space, uint32_t key);
  WatchedSpace(const WatchedSpace&) = delete;
  WatchedSpace& operator=(const WatchedSpace&) = delete;
  ~WatchedSpace();

  // Adds what happened since the last call to what touched(), mappings() and everything() tell.
  void collect();
  bool everything() const { return everything_; }
  // The pages of the areas that page faults may have changed since the last settle(): none of them
  // has lost its content by that. known: pages that had content then, or were seen to have some
  // since; where there were none, a fault may have brought a whole block.
  PageSet faulted(std::span<const Area> areas, const PageSet& known) const;
  // Of these pages, exactly, those of `among` that are not in `written`.
  PageSet faulted_for_reading(std::span<const Area> areas, const PageSet& among,
                              const PageSet& written) const;
  // The pages that calls may have changed, or dropped.
  const PageSet& called() const { return pages_; }
  // Of those, the ones that may have been changed without a page fault by other means than a direct
  // read from a disk; and whether that may have happened anywhere.
  const PageSet& remade() const { return remade_; }
  bool remade_anywhere() const { return remade_anywhere_ || (unprotected_ && shared_); }
  PageSet touched(std::span<const Area> areas, const PageSet& known) const {
    return faulted(areas, known).united(pages_);
  }
  // While the process runs: after the last collect() these pages were found written, and protected
  // again. Of the others, and of those that a second fault may still write to, it is not known.
  void settle_written(const PageSet& written);
  // Pages whose mapping may be another one since the last settle().
  const PageSet& mappings() const { return mappings_; }
  // The process is stopped, and was when collect() was called, and everything that was told has
  // been looked at. While a process runs nothing is ever settled: a fault is noted when it begins,
  // and may make its page writable only after that page was looked at.
  void settle();

  // Pages are held in HeldPages, with this space's tag. hold(): the process is stopped, and these
  // are write protected; returns those that are held.
  PageSet hold(const PageSet& pages);
  bool give_up(uint64_t page) { return guide_.held_.give_up(held_tag(), page); }
  std::vector<HeldPages::Copy> copies() const { return guide_.held_.copies_of(held_tag()); }
  void release(const PageSet& pages);
  void make_room(uint64_t pages);

 private:
  uint64_t held_tag() const { return (uint64_t{key_} + 1) << kHeldTagShift; }
  void collect_blocks();
  void collect_faults();
  void collect_records();
  bool pages_are_known() const { return !faults_lost_ && faults_read_ == faults_begun_; }
  bool pages_are_few() const { return pages_are_known() && faulted_.size() <= kFaultPagesMax; }
  PageSet touched_blocks(std::span<const Area> areas) const;
  PageSet touched_pages(std::span<const Area> areas, const PageSet& known) const;

  WriteGuide& guide_;
  const uint64_t space_;
  const uint32_t key_;
  SpaceState& state_;
  std::vector<uint64_t> blocks_;
  PageSet pages_, remade_, mappings_;
  uint64_t records_read_ = 0;
  std::vector<uint64_t> faulted_;  // pages, one entry for each fault
  uint64_t faults_read_ = 0, faults_begun_ = 0;
  bool faults_lost_ = false;
  bool everything_ = true;
  bool remade_anywhere_ = true;
  bool unprotected_ = false, shared_ = false;
};

}  // namespace perdure::memory
