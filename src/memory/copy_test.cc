#include "memory/copy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>

#include "memory/test_target.h"

namespace perdure::memory {
namespace {

using Gate = Target::Gate;

uint8_t* map_pages(size_t pages, int flags = MAP_PRIVATE | MAP_ANONYMOUS, int fd = -1) {
  void* address = mmap(nullptr, pages * kPageSize, PROT_READ | PROT_WRITE, flags, fd, 0);
  PD_ASSERT(address != MAP_FAILED);
  return static_cast<uint8_t*>(address);
}

// First byte of each page that was copied; checks order, alignment and limits of the sink's calls.
struct Copied {
  std::map<uint64_t, uint8_t> pages;
  PageSet unreadable;
};
Copied copy_all(pid_t pid, const PageSet& set) {
  Copier copier = Copier::create().value();
  Copied copied;
  uint64_t next = 0;
  auto unreadable = copier.copy(pid, set, [&](uint64_t first, Bytes bytes) -> Status {
    EXPECT_GE(first, next);
    EXPECT_GT(bytes.size(), 0u);
    EXPECT_LE(bytes.size(), Copier::kBatchBytes);
    EXPECT_EQ(bytes.size() % kPageSize, 0u);
    EXPECT_EQ(reinterpret_cast<uint64_t>(bytes.data()) % kPageSize, 0u);
    for (size_t at = 0; at < bytes.size(); at += kPageSize)
      copied.pages[first + at / kPageSize] = bytes[at];
    next = first + bytes.size() / kPageSize;
    return {};
  });
  EXPECT_TRUE(unreadable.ok());
  copied.unreadable = *unreadable;
  return copied;
}

TEST(Copier, CopiesLongRunsAndScatteredPages) {
  constexpr size_t kPages = 2000;
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(kPages);
    for (size_t page = 0; page < kPages; ++page)
      bytes[page * kPageSize] = static_cast<uint8_t>(page * 7);
    gate.meet(reinterpret_cast<uint64_t>(bytes));
  });
  uint64_t first = target.receive() >> kPageShift;
  PageSet all, scattered;
  all.add({first, kPages});
  for (uint64_t page = 0; page < kPages; page += 3) scattered.add({first + page, 1});
  for (const PageSet& set : {all, scattered}) {
    Copied copied = copy_all(target.pid(), set);
    EXPECT_TRUE(copied.unreadable.empty());
    EXPECT_EQ(copied.pages.size(), set.pages());
    for (auto [page, byte] : copied.pages)
      ASSERT_EQ(byte, static_cast<uint8_t>((page - first) * 7));
  }
}

TEST(Copier, ReadsForbiddenPagesAndReportsMissingOnes) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_pages(600);
    for (size_t page = 0; page < 600; ++page) bytes[page * kPageSize] = 1;
    mprotect(bytes + 10 * kPageSize, 400 * kPageSize, PROT_NONE);
    munmap(bytes + 500 * kPageSize, 2 * kPageSize);
    gate.meet(reinterpret_cast<uint64_t>(bytes));
  });
  uint64_t first = target.receive() >> kPageShift;
  PageSet all, missing;
  all.add({first, 600});
  missing.add({first + 500, 2});
  Copied copied = copy_all(target.pid(), all);
  EXPECT_EQ(copied.unreadable, missing);
  EXPECT_EQ(copied.pages.size(), 598u);
  for (auto [page, byte] : copied.pages) EXPECT_EQ(byte, 1) << page - first;
}

TEST(Copier, InventsNothingBeyondTheEndOfAFile) {
  Fd file = Fd::adopt(memfd_create("copy", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.get(), 2 * kPageSize), 0);
  Target target([&](Gate& gate) {
    gate.meet(reinterpret_cast<uint64_t>(map_pages(4, MAP_PRIVATE, file.get())));
  });
  uint64_t first = target.receive() >> kPageShift;
  PageSet all, beyond;
  all.add({first, 4});
  beyond.add({first + 2, 2});
  Copied copied = copy_all(target.pid(), all);
  EXPECT_EQ(copied.unreadable, beyond);
  EXPECT_EQ(copied.pages.size(), 2u);
}

TEST(Copier, PassesTheErrorOfItsSinkOn) {
  Target target([](Gate& gate) { gate.meet(reinterpret_cast<uint64_t>(map_pages(4))); });
  PageSet set;
  set.add({target.receive() >> kPageShift, 4});
  Copier copier = Copier::create().value();
  auto failed = copier.copy(target.pid(), set,
                            [](uint64_t, Bytes) -> Status { return Error(Code::kFull, "full"); });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code(), Code::kFull);
  EXPECT_EQ(copy_all(target.pid(), set).pages.size(), 4u);
}

TEST(Copier, SaysThatAProcessIsGone) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  PageSet set;
  set.add({1000, 4});
  Copier copier = Copier::create().value();
  auto copied = copier.copy(child, set, [](uint64_t, Bytes) -> Status { return {}; });
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  ASSERT_FALSE(copied.ok());
  EXPECT_EQ(copied.error().code(), Code::kGone);
}

}  // namespace
}  // namespace perdure::memory
