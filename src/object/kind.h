// The kinds of records, as the store numbers them. A number is never reused.
#pragma once

#include <cstdint>

namespace perdure::object {

enum class Kind : uint32_t {
  kGroup = 1,
  kProcess = 2,
  kThread = 3,
  kAddressSpace = 4,
  kMemoryObject = 5,
  kOpenFile = 6,
  kPipeBuffer = 7,
  kPty = 8,
};

const char* kind_name(Kind kind);

// The Group record has this id in every epoch; ids from kFirstFreeObjectId on are given out by the
// engine.
inline constexpr uint64_t kGroupObjectId = 1;
inline constexpr uint64_t kFirstFreeObjectId = 16;

}  // namespace perdure::object
