#include "memory/page_hashes.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "memory/test_target.h"

namespace perdure::memory {
namespace {

TEST(PageHashes, YieldsChangedNewAndUnreadablePages) {
  Target target([](Target::Gate& gate) {
    auto* bytes = static_cast<uint8_t*>(
        mmap(nullptr, 8 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    bytes[0] = 1;
    gate.meet(reinterpret_cast<uint64_t>(bytes));
    bytes[kPageSize] = 1;
    munmap(bytes + 7 * kPageSize, kPageSize);
    gate.meet();
  });
  uint64_t first = target.receive() >> kPageShift;
  PageHashes hashes;
  PageSet some, all, expected;
  some.add({first, 6});
  all.add({first, 8});
  EXPECT_EQ(hashes.changed(target.pid(), some).value(), some);
  EXPECT_TRUE(hashes.changed(target.pid(), some)->empty());
  target.step();
  expected.add({first + 1, 1});
  expected.add({first + 6, 2});
  EXPECT_EQ(hashes.changed(target.pid(), all).value(), expected);
  EXPECT_TRUE(hashes.changed(target.pid(), PageSet())->empty());
  EXPECT_EQ(hashes.changed(target.pid(), some).value(), some);
}

}  // namespace
}  // namespace perdure::memory
