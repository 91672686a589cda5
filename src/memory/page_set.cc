#include "memory/page_set.h"

#include <algorithm>
#include <cstddef>

#include "base/assert.h"
#include "base/limits.h"

namespace perdure::memory {
namespace {

// Appends a run that starts at or after the start of the last one, joining what touches.
void append(std::vector<PageRun>& runs, PageRun run) {
  if (runs.empty() || run.first > runs.back().end()) {
    runs.push_back(run);
    return;
  }
  PD_ASSERT(run.first >= runs.back().first);
  runs.back().count = std::max(runs.back().end(), run.end()) - runs.back().first;
}

// The first of these runs that ends after `page`. Doubling steps: whoever walks a small set beside
// a large one pays for the small one.
using Runs = std::vector<PageRun>::const_iterator;
Runs skip_to(Runs run, Runs end, uint64_t page) {
  for (std::ptrdiff_t step = 1; run != end && run->end() <= page; step *= 2) {
    const Runs next = end - run > step ? run + step : end;
    if (next != end && next->end() <= page) {
      run = next;
      continue;
    }
    return std::partition_point(run, next, [&](const PageRun& r) { return r.end() <= page; });
  }
  return run;
}

}  // namespace

void PageSet::add(PageRun run) {
  PD_ASSERT(run.count > 0 && run.end() > run.first);
  if (runs_.empty() || run.first >= runs_.back().first) {
    append(runs_, run);
    return;
  }
  // The runs from `low` on touch or follow the new one; those before `high` touch it.
  auto low = std::partition_point(runs_.begin(), runs_.end(),
                                  [&](const PageRun& r) { return r.end() < run.first; });
  auto high = std::partition_point(low, runs_.end(),
                                   [&](const PageRun& r) { return r.first <= run.end(); });
  if (low == high) {
    runs_.insert(low, run);
    return;
  }
  uint64_t first = std::min(low->first, run.first);
  uint64_t end = std::max((high - 1)->end(), run.end());
  *low = PageRun{first, end - first};
  runs_.erase(low + 1, high);
}

void PageSet::add_bytes(uint64_t start, uint64_t end) {
  PD_ASSERT(start % kPageSize == 0 && end % kPageSize == 0);
  if (start < end) add(PageRun{start >> kPageShift, (end - start) >> kPageShift});
}

uint64_t PageSet::pages() const {
  uint64_t sum = 0;
  for (const PageRun& run : runs_) sum += run.count;
  return sum;
}

bool PageSet::contains(PageRun run) const {
  auto after = std::partition_point(runs_.begin(), runs_.end(),
                                    [&](const PageRun& r) { return r.first <= run.first; });
  return after != runs_.begin() && run.end() <= (after - 1)->end();
}

bool PageSet::meets(PageRun run) const {
  auto found = std::partition_point(runs_.begin(), runs_.end(),
                                    [&](const PageRun& r) { return r.end() <= run.first; });
  return found != runs_.end() && found->first < run.end();
}

// Room is made at once: sets are made in stop windows.
PageSet PageSet::united(const PageSet& other) const {
  if (other.empty()) return *this;
  if (empty()) return other;
  PageSet out;
  out.reserve(runs_.size() + other.runs_.size());
  auto a = runs_.begin(), b = other.runs_.begin();
  while (a != runs_.end() || b != other.runs_.end()) {
    bool from_a = b == other.runs_.end() || (a != runs_.end() && a->first <= b->first);
    append(out.runs_, from_a ? *a++ : *b++);
  }
  return out;
}

PageSet PageSet::intersected(const PageSet& other) const {
  PageSet out;
  out.reserve(std::min(runs_.size(), other.runs_.size()));
  auto a = runs_.begin(), b = other.runs_.begin();
  while (a != runs_.end() && b != other.runs_.end()) {
    uint64_t first = std::max(a->first, b->first);
    uint64_t end = std::min(a->end(), b->end());
    if (first < end) append(out.runs_, PageRun{first, end - first});
    if (a->end() < b->end()) {
      a = skip_to(a + 1, runs_.end(), b->first);
    } else {
      b = skip_to(b + 1, other.runs_.end(), a->first);
    }
  }
  return out;
}

PageSet PageSet::without(const PageSet& other) const {
  if (other.empty()) return *this;
  PageSet out;
  out.reserve(runs_.size());
  auto hole = other.runs_.begin();
  for (const PageRun& run : runs_) {
    uint64_t first = run.first;
    hole = skip_to(hole, other.runs_.end(), first);
    for (auto cut = hole; cut != other.runs_.end() && cut->first < run.end(); ++cut) {
      if (cut->first > first) append(out.runs_, PageRun{first, cut->first - first});
      first = std::max(first, cut->end());
      if (cut->end() <= run.end()) hole = cut;
    }
    if (first < run.end()) append(out.runs_, PageRun{first, run.end() - first});
  }
  return out;
}

PageSet PageSet::coalesced(uint64_t gap) const {
  PageSet out;
  out.reserve(runs_.size());
  uint64_t end = 0;
  for (const PageRun& run : runs_) {
    const bool near = end != 0 && run.first - end <= gap;
    const uint64_t first = near ? end : run.first;
    out.add(PageRun{first, run.end() - first});
    end = run.end();
  }
  return out;
}

}  // namespace perdure::memory
