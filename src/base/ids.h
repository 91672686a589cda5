// Strong types for the numbers that must not be mixed up.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace perdure {

template <typename Tag, typename Rep>
struct StrongId {
  Rep value = 0;
  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep v) : value(v) {}
  constexpr auto operator<=>(const StrongId&) const = default;
};

// One piece of a group's state, stable over its epochs. 0 is "none". Numbers below
// kFirstFreeObjectId are fixed records.
using ObjectId = StrongId<struct ObjectIdTag, uint64_t>;
// One saved state of a group, from 1. 0 is "none".
using Epoch = StrongId<struct EpochTag, uint64_t>;

// An address in the target's address space, bytes. Never dereferenced here.
struct RemoteAddr {
  uint64_t value = 0;
  constexpr RemoteAddr() = default;
  constexpr explicit RemoteAddr(uint64_t v) : value(v) {}
  constexpr auto operator<=>(const RemoteAddr&) const = default;
  constexpr RemoteAddr operator+(uint64_t bytes) const { return RemoteAddr(value + bytes); }
};

}  // namespace perdure

template <typename Tag, typename Rep>
struct std::hash<perdure::StrongId<Tag, Rep>> {
  size_t operator()(const perdure::StrongId<Tag, Rep>& id) const {
    return std::hash<Rep>()(id.value);
  }
};
