#include "object/id_table.h"

#include "base/assert.h"
#include "object/kind.h"

namespace perdure::object {

IdTable::IdTable(uint64_t first_free) : next_(first_free) {
  PD_ASSERT(first_free >= kFirstFreeObjectId);
}

ObjectId IdTable::id_of(std::string_view key) {
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    found = entries_.emplace(std::string(key), Entry{ObjectId(next_++), generation_}).first;
  }
  found->second.generation = generation_;
  return found->second.id;
}

ObjectId IdTable::find(std::string_view key) const {
  auto found = entries_.find(key);
  return found == entries_.end() ? ObjectId() : found->second.id;
}

void IdTable::bind(std::string_view key, ObjectId id) {
  PD_ASSERT(id.value != 0);
  entries_.insert_or_assign(std::string(key), Entry{id, generation_});
  if (id.value >= next_) next_ = id.value + 1;
}

void IdTable::forget_unused() {
  std::erase_if(entries_,
                [this](const auto& item) { return item.second.generation != generation_; });
  ++generation_;
}

}  // namespace perdure::object
