#include "engine/core_xstate.h"

#include <gtest/gtest.h>

#include <cstring>

namespace perdure::engine {
namespace {

// As AMD's processors lay AVX-512 out: no gap for the parts that they lack.
constexpr XstateLayout kDense = {
    {{}, {}, {576, 256}, {}, {}, {832, 64}, {896, 512}, {1408, 1024}, {}, {2432, 8}}};
constexpr XstateLayout kIntel = {
    {{}, {}, {576, 256}, {}, {}, {1088, 64}, {1152, 512}, {1664, 1024}, {}, {2688, 8}}};

// Each part is filled with its number.
std::string area(const XstateLayout& layout, uint64_t enabled, size_t size) {
  std::string bytes(size, '\0');
  std::memcpy(bytes.data() + 464, &enabled, 8);
  bytes[0] = 'x';
  for (size_t part = 2; part < kXstateParts; ++part) {
    if ((enabled >> part & 1) != 0)
      bytes.replace(layout[part].offset, layout[part].size, layout[part].size,
                    static_cast<char>(part));
  }
  return bytes;
}

TEST(CoreXstate, PartsMoveToWhereDebuggersLook) {
  EXPECT_EQ(xstate_for_debuggers(area(kDense, 0xe7, 2432), kDense), area(kIntel, 0xe7, 2688));
  EXPECT_EQ(xstate_for_debuggers(area(kDense, 0x2e7, 2440), kDense), area(kIntel, 0x2e7, 2696));
}

TEST(CoreXstate, WhatLiesThereAlreadyStaysAsItIs) {
  const std::string intel = area(kIntel, 0x2e7, 2696), avx = area(kDense, 0x7, 832);
  EXPECT_EQ(xstate_for_debuggers(intel, kIntel), intel);
  EXPECT_EQ(xstate_for_debuggers(avx, kDense), avx);
}

TEST(CoreXstate, WhatTheLayoutDoesNotTellStaysAsItIs) {
  const std::string known = area(kDense, 0xe7, 2432), newer = area(kDense, 0x600e7, 11008);
  EXPECT_EQ(xstate_for_debuggers(known, XstateLayout{}), known);
  EXPECT_EQ(xstate_for_debuggers(newer, kDense), newer);
  const std::string cut = known.substr(0, 1000);
  EXPECT_EQ(xstate_for_debuggers(cut, kDense), cut);
  EXPECT_EQ(xstate_for_debuggers("", kDense), "");
}

TEST(CoreXstate, AnAreaOfAnotherSizeHasNoLayoutHere) {
  EXPECT_EQ(own_xstate_layout(1)[2].size, 0u);
}

}  // namespace
}  // namespace perdure::engine
