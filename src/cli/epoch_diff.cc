#include "cli/epoch_diff.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/assert.h"
#include "base/limits.h"
#include "cli/record_tree.h"

namespace perdure::cli {
namespace {

using store::PageExtent;

// Bytes of one object read at once.
constexpr uint64_t kPagesAtOnce = 256;

using LeafMap = std::map<std::string, std::string>;

LeafMap leaves_of(const StoredObject& object) {
  if (object.message == nullptr) return {{"bytes", object.bytes}};
  auto list = tree_leaves(tree_of(*object.message));
  return LeafMap(list.begin(), list.end());
}

std::vector<FieldChange> compare_records(const StoredObject& before, const StoredObject& after) {
  std::vector<FieldChange> changes;
  if (before.bytes == after.bytes && before.kind == after.kind) return changes;
  LeafMap old_leaves = leaves_of(before), new_leaves = leaves_of(after);
  for (const auto& [path, text] : old_leaves) {
    auto at = new_leaves.find(path);
    if (at == new_leaves.end()) {
      changes.push_back({path, text, ""});
    } else if (at->second != text) {
      changes.push_back({path, text, at->second});
    }
  }
  for (const auto& [path, text] : new_leaves) {
    if (old_leaves.find(path) == old_leaves.end()) changes.push_back({path, "", text});
  }
  return changes;
}

// Ranges that may differ: where the two lists of extents do not name the same stored bytes. Both
// are sorted.
std::vector<PageRange> differing_ranges(const std::vector<PageExtent>& before,
                                        const std::vector<PageExtent>& after) {
  std::set<uint64_t> edges;
  for (const auto* list : {&before, &after}) {
    for (const PageExtent& extent : *list) {
      edges.insert(extent.first_page);
      edges.insert(extent.end());
    }
  }
  std::vector<PageRange> ranges;
  auto location_at = [](const std::vector<PageExtent>& list, size_t& at, uint64_t page) {
    while (at < list.size() && list[at].end() <= page) ++at;
    bool inside = at < list.size() && list[at].first_page <= page;
    return inside ? list[at].location.advanced(page - list[at].first_page) : store::Location{};
  };
  size_t old_at = 0, new_at = 0;
  for (auto edge = edges.begin(); edge != edges.end() && std::next(edge) != edges.end(); ++edge) {
    uint64_t first = *edge, end = *std::next(edge);
    if (location_at(before, old_at, first) == location_at(after, new_at, first)) continue;
    ranges.push_back({first, end - first, ""});
  }
  return ranges;
}

class PageComparison {
 public:
  PageComparison(const EpochView& before, const EpochView& after, ObjectChange& change)
      : before_(before), after_(after), change_(change) {}

  Status run() {
    ObjectId id = change_.id;
    std::vector<PageExtent> old_extents, new_extents;
    if (before_.find(id) != nullptr) old_extents = before_.reader().extents(id);
    if (after_.find(id) != nullptr) new_extents = after_.reader().extents(id);
    for (const PageRange& range : differing_ranges(old_extents, new_extents)) {
      for (uint64_t done = 0; done < range.count; done += kPagesAtOnce) {
        PD_TRY(compare(range.first + done, std::min(kPagesAtOnce, range.count - done)));
      }
    }
    return Ok{};
  }

 private:
  Status compare(uint64_t first, uint64_t count) {
    std::vector<uint8_t> old_bytes(count * kPageSize), new_bytes(count * kPageSize);
    if (before_.find(change_.id) != nullptr) {
      PD_TRY(before_.reader().read_range(change_.id, first, old_bytes));
    }
    if (after_.find(change_.id) != nullptr) {
      PD_TRY(after_.reader().read_range(change_.id, first, new_bytes));
    }
    for (uint64_t page = 0; page < count; ++page) {
      const uint8_t* a = old_bytes.data() + page * kPageSize;
      if (std::memcmp(a, new_bytes.data() + page * kPageSize, kPageSize) != 0) add(first + page);
    }
    return Ok{};
  }

  // Pages come in ascending order.
  void add(uint64_t page) {
    const EpochView& view = after_.find(change_.id) != nullptr ? after_ : before_;
    std::string place = view.place_of_page(change_.id, page);
    ++change_.page_count;
    if (!change_.pages.empty()) {
      PageRange& last = change_.pages.back();
      PD_ASSERT(page >= last.first + last.count);
      if (last.first + last.count == page && last.place == place) {
        ++last.count;
        return;
      }
    }
    change_.pages.push_back({page, 1, std::move(place)});
  }

  const EpochView& before_;
  const EpochView& after_;
  ObjectChange& change_;
};

}  // namespace

Result<std::vector<ObjectChange>> compare_epochs(const EpochView& before, const EpochView& after) {
  std::set<ObjectId> ids;
  for (const auto& [id, object] : before.objects()) ids.insert(id);
  for (const auto& [id, object] : after.objects()) ids.insert(id);
  std::vector<ObjectChange> changes;
  for (ObjectId id : ids) {
    const StoredObject* old_object = before.find(id);
    const StoredObject* new_object = after.find(id);
    ObjectChange change;
    change.id = id;
    change.title = (new_object != nullptr ? after : before).title(id);
    if (old_object == nullptr) change.what = ObjectChange::What::kAdded;
    if (new_object == nullptr) change.what = ObjectChange::What::kRemoved;
    if (old_object != nullptr && new_object != nullptr)
      change.fields = compare_records(*old_object, *new_object);
    PD_TRY(PageComparison(before, after, change).run());
    bool differs = change.what != ObjectChange::What::kChanged || !change.fields.empty() ||
                   change.page_count > 0;
    if (differs) changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace perdure::cli
