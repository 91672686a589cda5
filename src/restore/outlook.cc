#include "restore/outlook.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/limits.h"
#include "memory/read_ahead.h"

namespace perdure::restore {
namespace {

using object::Vma;
using store::PageExtent;

// 8 MiB: read and placed in the time that it takes to make a process and give it its state.
constexpr uint64_t kHotPagesMax = 2048;
// More of a mapping is read as fast without being asked for.
constexpr uint64_t kAtOncePagesMax = 2048;
// Of those that were written last, so many are put in the order of memory.
constexpr uint64_t kNewestPagesAtOnce = 512;
// What lies between is read with them.
constexpr uint64_t kHotGapPages = 16;

bool is_fit(const Vma& vma) {
  return vma.kind() == Vma::ANONYMOUS && !vma.grows_down() && !vma.droppable() && !vma.locked();
}

uint64_t pages_in(const std::vector<PageExtent>& extents) {
  uint64_t pages = 0;
  for (const PageExtent& extent : extents) pages += extent.count;
  return pages;
}

// A child that is made later gets its parent's pages by fork, so they have to be there.
bool gives_by_fork(const Plan& plan, const Node& node) {
  return std::any_of(node.children.begin(), node.children.end(),
                     [&plan](size_t child) { return plan.nodes[child].birth == Birth::kLate; });
}

struct Candidate {
  ObjectId space;
  LazyMapping mapping;
};

struct Placed {
  ObjectId space;
  PageExtent extent;
};

bool is_newer(const Placed& a, const Placed& b) {
  const auto place = [](const Placed& each) {
    const store::Location& at = each.extent.location;
    return std::tuple<uint32_t, uint32_t, uint16_t>(at.segment, at.block, at.slot);
  };
  return place(a) > place(b);
}

class Chooser {
 public:
  Chooser(const Outlook& outlook, const store::EpochReader& reader) : reader_(reader) {
    for (const auto& [space, mappings] : outlook.lazy) {
      for (const LazyMapping& mapping : mappings) candidates_.push_back({space, mapping});
    }
    std::stable_sort(candidates_.begin(), candidates_.end(),
                     [](const Candidate& a, const Candidate& b) {
                       return a.mapping.pages_stored < b.mapping.pages_stored;
                     });
  }

  std::vector<HotRun> run() {
    take_small_mappings();
    take_newest();
    return std::move(runs_);
  }

 private:
  void take_small_mappings() {
    for (; next_ < candidates_.size(); ++next_) {
      const Candidate& candidate = candidates_[next_];
      if (candidate.mapping.pages_stored > left_) return;
      left_ -= candidate.mapping.pages_stored;
      for (const PageExtent& extent : extents_of(candidate)) add(candidate.space, extent);
    }
  }

  void take_newest() {
    std::vector<Placed> placed;
    for (; next_ < candidates_.size(); ++next_) {
      for (const PageExtent& extent : extents_of(candidates_[next_]))
        placed.push_back({candidates_[next_].space, extent});
    }
    // Each has a page at least.
    const size_t most = std::min<size_t>(placed.size(), left_);
    std::partial_sort(placed.begin(), placed.begin() + static_cast<ptrdiff_t>(most), placed.end(),
                      is_newer);
    placed.resize(most);
    // The newest megabytes first; within those as they lie in memory, so that neighbours are one
    // run.
    for (auto at = placed.begin(); at != placed.end() && left_ > 0;) {
      const uint64_t wanted = std::min(left_, kNewestPagesAtOnce);
      auto end = at;
      uint64_t pages = 0;
      while (end != placed.end() && pages < wanted) pages += (end++)->extent.count;
      std::sort(at, end, [](const Placed& a, const Placed& b) {
        return std::pair(a.space, a.extent.first_page) < std::pair(b.space, b.extent.first_page);
      });
      for (; at != end; ++at) add(at->space, at->extent);
      left_ -= std::min(left_, pages);
    }
  }

  std::vector<PageExtent> extents_of(const Candidate& candidate) const {
    const memory::PageRun& run = candidate.mapping.run;
    return reader_.extents(candidate.space, run.first, run.count);
  }

  void add(ObjectId space, const PageExtent& extent) {
    constexpr uint64_t kMost = memory::ReadAhead::kBlockPages;
    for (uint64_t first = extent.first_page; first < extent.end();) {
      HotRun* last = runs_.empty() ? nullptr : &runs_.back();
      const bool follows = last != nullptr && last->space == space && first >= last->run.end() &&
                           first - last->run.end() <= kHotGapPages &&
                           first - last->run.first < kMost;
      if (!follows) last = &runs_.emplace_back(HotRun{space, {first, 0}});
      const uint64_t end = std::min(extent.end(), last->run.first + kMost);
      last->run.count = end - last->run.first;
      first = end;
    }
  }

  const store::EpochReader& reader_;
  std::vector<Candidate> candidates_;
  size_t next_ = 0;
  uint64_t left_ = kHotPagesMax;
  std::vector<HotRun> runs_;
};

}  // namespace

Outlook outlook_of(const object::Graph& graph, const Plan& plan, const store::EpochReader& reader,
                   const Smallest& smallest) {
  Outlook outlook;
  for (const auto& [id, space] : graph.address_spaces) {
    for (const Vma& vma : space.vmas()) {
      const memory::PageRun run{vma.start() >> kPageShift, (vma.end() - vma.start()) >> kPageShift};
      std::vector<PageExtent> extents = reader.extents(id, run.first, run.count);
      const uint64_t pages = pages_in(extents);
      if (is_fit(vma) && pages >= smallest.mapping_pages && pages > 0) {
        outlook.lazy[id].push_back({run, pages});
      } else if (pages <= kAtOncePagesMax) {
        outlook.at_once.insert(outlook.at_once.end(), extents.begin(), extents.end());
      }
    }
  }
  for (const Node& node : plan.nodes) {
    if (!node.transient() && gives_by_fork(plan, node))
      outlook.lazy.erase(ObjectId(node.process->address_space()));
  }
  std::erase_if(outlook.lazy, [&](const auto& space) {
    uint64_t pages = 0;
    for (const LazyMapping& mapping : space.second) pages += mapping.pages_stored;
    return pages < smallest.space_pages;
  });
  return outlook;
}

memory::PageSet lazy_pages(const Outlook& outlook, const store::EpochReader& reader,
                           ObjectId space) {
  memory::PageSet pages;
  const auto mappings = outlook.lazy.find(space);
  if (mappings == outlook.lazy.end()) return pages;
  for (const LazyMapping& mapping : mappings->second) {
    for (const store::PageExtent& extent :
         reader.extents(space, mapping.run.first, mapping.run.count)) {
      pages.add({extent.first_page, extent.count});
    }
  }
  return pages;
}

std::vector<HotRun> hot_runs(const Outlook& outlook, const store::EpochReader& reader) {
  return Chooser(outlook, reader).run();
}

}  // namespace perdure::restore
