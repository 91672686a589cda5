#include "memory/held_pages.h"

#include <sched.h>

#include <algorithm>
#include <atomic>

#include "base/assert.h"
#include "base/limits.h"

namespace perdure::memory {
namespace {

constexpr uint64_t kPagesOfBlock = uint64_t{1} << (kBlockShift - kPageShift);
// A program makes its copy in microseconds, unless its processor is taken away.
constexpr int kPatience = 100'000;

uint64_t load(uint64_t& word) {
  return std::atomic_ref<uint64_t>(word).load(std::memory_order_acquire);
}
uint64_t tag_of(uint64_t tag, uint64_t page) { return tag + page / kPagesOfBlock; }
uint64_t bit_of(uint64_t page) { return uint64_t{1} << page % 64; }

std::atomic_ref<uint64_t> word_of(HeldBlock& block, uint64_t page) {
  return std::atomic_ref<uint64_t>(block.pages[page % kPagesOfBlock / 64]);
}

bool is_free(const HeldBlock& block) {
  return std::all_of(std::begin(block.pages), std::end(block.pages),
                     [](uint64_t word) { return word == 0; });
}

}  // namespace

Result<HeldPages> HeldPages::create() {
  kernel::BpfArray blocks = PD_TRY(kernel::BpfArray::create(sizeof(HeldBlock), kHeldBlocks));
  kernel::BpfArray rounds = PD_TRY(kernel::BpfArray::create(sizeof(HeldRound), 1));
  kernel::BpfArraySlot slot = PD_TRY(kernel::BpfArraySlot::create(sizeof(HeldCopy)));
  return HeldPages(std::move(blocks), std::move(rounds), std::move(slot));
}

Status HeldPages::make_room(uint32_t pages) {
  if (pages <= room_) return {};
  auto memory =
      PD_TRY(kernel::BpfArray::create(sizeof(HeldCopy), pages, kernel::BpfArray::Use::kReplaced));
  PD_TRY(slot_.put(memory));
  memory_ = std::make_unique<kernel::BpfArray>(std::move(memory));
  room_ = pages;
  return {};
}

HeldBlock* HeldPages::block_of(uint64_t tag, uint64_t page) const {
  const uint64_t number = tag_of(tag, page);
  auto* block = static_cast<HeldBlock*>(blocks_.at(held_place(number)));
  return block->tag == number ? block : nullptr;
}

PageSet HeldPages::hold(uint64_t tag, const PageSet& pages) {
  PageSet held;
  if (held_ == 0) now() = {0, now().number + 1};
  for (const PageRun& run : pages.runs()) {
    for (uint64_t page = run.first; page < run.end(); ++page) {
      if (held_ == room_) return held;
      const uint64_t number = tag_of(tag, page);
      auto& block = *static_cast<HeldBlock*>(blocks_.at(held_place(number)));
      if (block.tag != number) {
        if (!is_free(block)) continue;
        block.tag = number;
      }
      word_of(block, page).fetch_or(bit_of(page), std::memory_order_relaxed);
      held.add(PageRun{page, 1});
      ++held_;
    }
  }
  return held;
}

bool HeldPages::give_up(uint64_t tag, uint64_t page) {
  HeldBlock* const block = block_of(tag, page);
  PD_ASSERT(block != nullptr);
  return (word_of(*block, page).fetch_and(~bit_of(page)) & bit_of(page)) != 0;
}

void HeldPages::release(uint64_t tag, const PageSet& pages) {
  for (const PageRun& run : pages.runs()) {
    for (uint64_t page = run.first; page < run.end(); ++page) (void)give_up(tag, page);
  }
  held_ -= pages.pages();
}

std::vector<HeldPages::Copy> HeldPages::copies_of(uint64_t tag) const {
  std::vector<Copy> copies;
  const uint64_t end = std::min<uint64_t>(load(now().copies), room_);
  const uint64_t good = 2 * now().number, late = good + 1;
  int patience = kPatience;
  for (uint32_t at = 0; at < end; ++at) {
    HeldCopy& copy = copy_at(at);
    for (; load(copy.round) != good && load(copy.round) != late && patience > 0; --patience) {
      sched_yield();
    }
    if (load(copy.round) != good || copy.page >> kHeldTagShift != tag >> kHeldTagShift) continue;
    copies.push_back({copy.page - tag, Bytes(copy.bytes, kPageSize)});
  }
  std::sort(copies.begin(), copies.end(),
            [](const Copy& a, const Copy& b) { return a.page < b.page; });
  return copies;
}

}  // namespace perdure::memory
