// Gives every object of a group its id and keeps it over the epochs: the same key always yields the
// same id while the object lives. Keys are text made by the stages that find objects:
// "mem:DEV:INO", "file:DEV:INO", "proc:SERIAL", ... Not thread-safe: owned by the engine's tracer
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/ids.h"

namespace perdure::object {

class IdTable {
 public:
  // First free id: kFirstFreeObjectId, or one past the largest id of the epoch that a takeover or
  // restore continues.
  explicit IdTable(uint64_t first_free);

  // The id of a key; a new one on first use.
  ObjectId id_of(std::string_view key);
  // The id of a key, or none (0).
  ObjectId find(std::string_view key) const;
  // Binds a key to an id that a restored epoch already holds.
  void bind(std::string_view key, ObjectId id);
  // Drops every key that was not asked for since the last call: its object is gone; should the key
  // come back, it is another object and gets another id.
  void forget_unused();

  uint64_t next() const { return next_; }

 private:
  struct Entry {
    ObjectId id;
    uint64_t generation;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, Entry, Hash, std::equal_to<>> entries_;
  uint64_t next_;
  uint64_t generation_ = 1;
};

}  // namespace perdure::object
