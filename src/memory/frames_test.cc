#include "memory/frames.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory/copy.h"
#include "memory/page_hashes.h"
#include "memory/test_target.h"

namespace perdure::memory {
namespace {

using Gate = Target::Gate;
constexpr size_t kPages = 64;

// A parent with kPages pages, of which its child writes some, and it some itself, after the fork.
void family(Gate& gate) {
  auto* bytes = static_cast<uint8_t*>(mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (size_t page = 0; page + 1 < kPages; ++page) bytes[page * kPageSize] = 1;
  int ready[2];
  PD_ASSERT(pipe(ready) == 0);
  pid_t child = fork();
  if (child == 0) {
    bytes[3 * kPageSize] = 2;
    madvise(bytes + 5 * kPageSize, kPageSize, MADV_DONTNEED);
    PD_ASSERT(write(ready[1], "x", 1) == 1);
    pause();
  }
  char byte = 0;
  PD_ASSERT(::read(ready[0], &byte, 1) == 1);
  bytes[9 * kPageSize] = 2;
  gate.meet(reinterpret_cast<uint64_t>(bytes));
  gate.meet(static_cast<uint64_t>(child));
}

TEST(SameFrames, AreThoseThatNeitherSideWroteSinceTheFork) {
  Target target(family);
  uint64_t first = target.receive() >> kPageShift;
  auto child = static_cast<pid_t>(target.step());
  PageSet within;
  within.add({first, kPages});
  auto same = same_frames(target.pid(), child, within);
  kill(child, SIGKILL);
  ASSERT_TRUE(same.ok()) << same.error().to_string();
  for (uint64_t page = 0; page < kPages; ++page) {
    // The last page was never touched; 5 was dropped by the child.
    bool expected = page != 3 && page != 5 && page != 9 && page != kPages - 1;
    EXPECT_EQ(same->contains(first + page), expected) << page;
  }
  EXPECT_EQ(same->pages(), kPages - 4);
}

TEST(SameFrames, StayTheSameWhenPagesAreReadGently) {
  Target target(family);
  uint64_t first = target.receive() >> kPageShift;
  auto child = static_cast<pid_t>(target.step());
  PageSet within;
  within.add({first, kPages});
  PageSet before = same_frames(target.pid(), child, within).value();
  Copier copier = Copier::create().value();
  PageHashes hashes;
  uint64_t copied = 0;
  for (pid_t pid : {target.pid(), child}) {
    auto count = [&](uint64_t, Bytes bytes) -> Status {
      copied += bytes.size() / kPageSize;
      return {};
    };
    EXPECT_TRUE(copier.copy(pid, before, count, Access::kGentle)->empty());
    EXPECT_EQ(hashes.changed(pid, before)->pages(), pid == child ? 0 : before.pages());
  }
  EXPECT_EQ(copied, 2 * before.pages());
  EXPECT_EQ(same_frames(target.pid(), child, within).value(), before);
  kill(child, SIGKILL);
}

TEST(SameFrames, UnrelatedProcessesShareNone) {
  auto body = [](Gate& gate) {
    auto* bytes = static_cast<uint8_t*>(mmap(reinterpret_cast<void*>(0x500000000000), kPageSize,
                                             PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    bytes[0] = 1;
    gate.meet();
  };
  Target one(body), other(body);
  one.receive();
  other.receive();
  PageSet within;
  within.add_bytes(0x500000000000, 0x500000001000);
  auto same = same_frames(one.pid(), other.pid(), within);
  ASSERT_TRUE(same.ok());
  EXPECT_TRUE(same->empty());
  EXPECT_TRUE(same_frames(one.pid(), other.pid(), PageSet())->empty());
}

}  // namespace
}  // namespace perdure::memory
