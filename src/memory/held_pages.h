// Held pages: a stopped process runs on before its pages are copied, and what it writes first is
// copied before it is written. docs/design/held_pages.md tells why no page is torn or lost.
//
// A held page is write protected, so the first write to it is a page fault. A BPF program at that
// fault (guide_programs.h) copies the page and then gives it up; the engine does the same with the
// pages that nobody writes. Whoever gives a page up has the copy that counts: until then nobody can
// have got as far as writing it. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "kernel/bpf.h"
#include "memory/guide_state.h"
#include "memory/page_set.h"

namespace perdure::memory {

class HeldPages {
 public:
  static Result<HeldPages> create();

  // What programs find these by.
  const Fd& blocks() const { return blocks_.map(); }
  const Fd& round() const { return rounds_.map(); }
  const Fd& copies() const { return slot_.map(); }

  // For how many pages there is room. It is made while nothing is held; 4112 bytes a page, of the
  // kernel's memory.
  uint32_t room() const { return room_; }
  Status make_room(uint32_t pages);

  // The processes are stopped. tag: of the address space. Returns those that are held now; the
  // others are to be copied before it runs.
  PageSet hold(uint64_t tag, const PageSet& pages);
  // The caller has copied the page: whether that copy counts, because nobody else had one before.
  bool give_up(uint64_t tag, uint64_t page);
  // Until all pages were given up, by whomever. Pages of the space that are held still are given up
  // without a copy.
  void release(uint64_t tag, const PageSet& pages);

  // The copies of the space that count, and were made before this call, by page number; the bytes
  // stay as they are until the next hold(). Copies that are being made are waited for, as long as
  // it makes sense.
  struct Copy {
    uint64_t page = 0;
    Bytes bytes;
  };
  std::vector<Copy> copies_of(uint64_t tag) const;

 private:
  HeldPages(kernel::BpfArray blocks, kernel::BpfArray rounds, kernel::BpfArraySlot slot)
      : blocks_(std::move(blocks)), rounds_(std::move(rounds)), slot_(std::move(slot)) {}
  HeldBlock* block_of(uint64_t tag, uint64_t page) const;
  HeldCopy& copy_at(uint32_t at) const { return *static_cast<HeldCopy*>(memory_->at(at)); }
  HeldRound& now() const { return *static_cast<HeldRound*>(rounds_.at(0)); }

  kernel::BpfArray blocks_, rounds_;
  kernel::BpfArraySlot slot_;
  std::unique_ptr<kernel::BpfArray> memory_;
  uint32_t room_ = 0;
  uint64_t held_ = 0;  // and not released yet
};

}  // namespace perdure::memory
