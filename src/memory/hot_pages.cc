#include "memory/hot_pages.h"

#include <fcntl.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "kernel/memory.h"

namespace perdure::memory {
namespace {

// Of the last eight epochs: written in so many, a page becomes hot; changed in fewer, it stays so
// no longer.
constexpr int kHistory = 8;
constexpr int kWarm = 6;
constexpr int kCold = 4;
// Where so many times more pages are written than can be hot, in so many of the last eight epochs,
// those few would only make stops longer.
constexpr uint64_t kCrowd = 2;
constexpr int kCrowdedMax = 4;
// More pages than these in an epoch tell nothing of single ones, and to count them takes too long.
constexpr uint64_t kLearnPagesMax = 4096;
constexpr size_t kCapacityMin = 64;

}  // namespace

HotPages::Buffer HotPages::make_buffer(size_t pages) {
  Buffer buffer(static_cast<uint8_t*>(std::aligned_alloc(kPageSize, pages * kPageSize)));
  PD_ASSERT(buffer != nullptr);
  std::memset(buffer.get(), 0, pages * kPageSize);  // a stop takes no faults here
  return buffer;
}

// Whether all of them could be read.
Result<bool> HotPages::read_all(pid_t pid, Access access) {
  const auto told = [](const Result<size_t>& got, size_t wanted) -> Result<bool> {
    if (!got.ok() && got.error().code() == Code::kGone) return got.error();
    return got.ok() && *got == wanted;
  };
  if (access == Access::kFast) {
    const size_t wanted = slots_.size() * kPageSize;
    return told(kernel::read_process(pid, remote_, MutableBytes(now_.get(), wanted)), wanted);
  }
  const Fd mem = PD_TRY(kernel::open_proc_file(pid, "mem", O_RDONLY));
  uint8_t* to = now_.get();
  for (const PageRun& run : pages_.runs()) {
    const size_t wanted = run.count * kPageSize;
    const RemoteAddr from(run.first << kPageShift);
    if (!PD_TRY(told(kernel::read_process_mem(mem, from, MutableBytes(to, wanted)), wanted)))
      return false;
    to += wanted;
  }
  return true;
}

Status HotPages::read(pid_t pid, const PageSet& among, Access access) {
  if (slots_.empty()) return {};
  const PageSet gone = pages_.without(among);
  if (!gone.empty()) drop(gone);
  if (slots_.empty()) return {};
  if (PD_TRY(read_all(pid, access))) {
    was_read_ = true;
  } else {
    drop(pages_);
  }
  return {};
}

Status HotPages::pass_on(const PageSink& sink) {
  if (!std::exchange(was_read_, false)) return {};
  const auto content = [this](size_t slot) { return now_.get() + slot * kPageSize; };
  for (size_t at = 0; at < slots_.size(); ++at) {
    Slot& slot = slots_[at];
    const bool same =
        slot.passed_on && std::memcmp(content(at), before_.get() + at * kPageSize, kPageSize) == 0;
    slot.changed = static_cast<uint8_t>(slot.changed << 1 | (same ? 0 : 1));
    slot.passed_on = true;
  }
  for (size_t at = 0; at < slots_.size();) {
    size_t end = at;
    while (end < slots_.size() && slots_[end].page == slots_[at].page + (end - at) &&
           (slots_[end].changed & 1) != 0) {
      ++end;
    }
    if (end != at) PD_TRY(sink(slots_[at].page, Bytes(content(at), (end - at) * kPageSize)));
    at = std::max(end, at + 1);
  }
  std::swap(now_, before_);
  return {};
}

void HotPages::learn(const PageSet& written, uint64_t more_max) {
  ++epoch_;
  const uint64_t most = std::min(pages_max_, slots_.size() + more_max);
  PageSet cold;
  for (const Slot& slot : slots_) {
    if (std::popcount(slot.changed) < kCold) cold.add(PageRun{slot.page, 1});
  }
  const bool crowd = written.pages() > kCrowd * pages_max_;
  crowded_ = static_cast<uint8_t>(crowded_ << 1 | (crowd ? 1 : 0));
  const bool crowded = std::popcount(crowded_) >= kCrowdedMax;
  if (crowded) cold = pages_;
  if (!cold.empty()) drop(cold);
  if (pages_max_ == 0 || crowded || written.pages() > kLearnPagesMax) return;
  std::vector<Slot> slots = slots_;
  for (const PageRun& run : written.without(pages_).runs()) {
    for (uint64_t page = run.first; page < run.end(); ++page) {
      if (is_warm(page) && slots.size() < most) slots.push_back({page});
    }
  }
  if (slots.size() != slots_.size()) replace(std::move(slots));
  if (heat_.size() <= 2 * kLearnPagesMax) return;
  std::erase_if(heat_, [this](const auto& item) { return item.second.epoch + kHistory <= epoch_; });
  if (heat_.size() > 2 * kLearnPagesMax) heat_.clear();
}

// Notes that the page was written in this epoch.
bool HotPages::is_warm(uint64_t page) {
  Heat& heat = heat_[page];
  const uint64_t passed = epoch_ - std::exchange(heat.epoch, epoch_);
  heat.written = passed < kHistory ? static_cast<uint8_t>(heat.written << passed) : 0;
  heat.written |= 1;
  return std::popcount(heat.written) >= kWarm;
}

void HotPages::drop(const PageSet& pages) {
  left_ = left_.united(pages);
  std::vector<Slot> kept;
  for (const Slot& slot : slots_) {
    if (!pages.contains(slot.page)) {
      kept.push_back(slot);
    } else {
      heat_.erase(slot.page);
    }
  }
  replace(std::move(kept));
}

// What is in now_ is of no use between pass_on() and read().
void HotPages::replace(std::vector<Slot> slots) {
  PD_ASSERT(slots.size() <= pages_max_);
  std::sort(slots.begin(), slots.end(),
            [](const Slot& a, const Slot& b) { return a.page < b.page; });
  const size_t capacity = std::max(capacity_, std::max(kCapacityMin, std::bit_ceil(slots.size())));
  if (capacity != capacity_) now_ = make_buffer(capacity);
  for (size_t to = 0, from = 0; to < slots.size(); ++to) {
    if (!slots[to].passed_on) continue;
    while (slots_[from].page != slots[to].page) ++from;
    std::memcpy(now_.get() + to * kPageSize, before_.get() + from * kPageSize, kPageSize);
  }
  std::swap(now_, before_);
  if (capacity != capacity_) now_ = make_buffer(capacity);
  capacity_ = capacity;
  slots_ = std::move(slots);
  pages_.clear();
  for (const Slot& slot : slots_) pages_.add(PageRun{slot.page, 1});
  remote_.clear();
  for (const PageRun& run : pages_.runs()) {
    remote_.push_back({reinterpret_cast<void*>(run.first << kPageShift), run.count << kPageShift});
  }
  was_read_ = false;
}

}  // namespace perdure::memory
