#include "kernel/memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/limits.h"
#include "kernel/abi/userfaultfd.h"

namespace perdure::kernel {
namespace {

struct Pages {
  explicit Pages(size_t count, int protection = PROT_READ | PROT_WRITE)
      : size(count * kPageSize),
        bytes(static_cast<uint8_t*>(
            mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  Pages(const Pages&) = delete;
  ~Pages() { munmap(bytes, size); }
  RemoteAddr address(size_t page = 0) const {
    return RemoteAddr(reinterpret_cast<uint64_t>(bytes) + page * kPageSize);
  }
  size_t size;
  uint8_t* bytes;
};

TEST(ReadProcess, StopsBeforeAPageThatIsNotReadable) {
  Pages pages(3);
  memset(pages.bytes, 7, pages.size);
  ASSERT_EQ(mprotect(pages.bytes + kPageSize, kPageSize, PROT_NONE), 0);
  std::vector<uint8_t> copy(pages.size);
  iovec remote{pages.bytes, pages.size};
  auto got = read_process(getpid(), {&remote, 1}, copy);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(*got, kPageSize);
  remote.iov_base = pages.bytes + kPageSize;
  auto none = read_process(getpid(), {&remote, 1}, copy);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code(), Code::kIo);
}

TEST(ReadProcess, SaysThatAProcessIsGone) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  uint8_t byte = 0;
  iovec remote{&byte, 1};
  auto got = read_process(child, {&remote, 1}, {&byte, 1});
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code(), Code::kGone);
  auto file = open_proc_file(child, "mem", O_RDONLY);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code(), Code::kGone);
}

TEST(ReadProcessMem, ReadsWhatThePermissionsForbid) {
  Pages pages(2);
  memset(pages.bytes, 9, pages.size);
  ASSERT_EQ(mprotect(pages.bytes, pages.size, PROT_NONE), 0);
  auto mem = open_proc_file(getpid(), "mem", O_RDONLY);
  ASSERT_TRUE(mem.ok());
  std::vector<uint8_t> copy(pages.size);
  auto got = read_process_mem(*mem, pages.address(), copy);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(*got, pages.size);
  EXPECT_EQ(copy, std::vector<uint8_t>(pages.size, 9));
  ASSERT_EQ(munmap(pages.bytes, pages.size), 0);
  auto none = read_process_mem(*mem, pages.address(), copy);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code(), Code::kIo);
}

TEST(ReadPagemap, ShowsWhichPagesArePresent) {
  Pages pages(4);
  ASSERT_EQ(madvise(pages.bytes, pages.size, MADV_NOHUGEPAGE), 0);
  pages.bytes[2 * kPageSize] = 1;
  auto pagemap = open_proc_file(getpid(), "pagemap", O_RDONLY);
  ASSERT_TRUE(pagemap.ok());
  uint64_t entries[4] = {};
  auto got = read_pagemap(*pagemap, pages.address().value / kPageSize, entries);
  ASSERT_TRUE(got.ok());
  ASSERT_EQ(*got, 4u);
  for (size_t page = 0; page < 4; ++page)
    EXPECT_EQ((entries[page] & abi::kEntryPresent) != 0, page == 2);
}

TEST(PagemapScan, SeesWritesToProtectedPagesOnly) {
  if (!has_pagemap_scan() || !has_async_write_protection()) {
    GTEST_SKIP() << "PAGEMAP_SCAN or UFFD_FEATURE_WP_ASYNC is missing";
  }
  Pages pages(4);
  ASSERT_EQ(madvise(pages.bytes, pages.size, MADV_NOHUGEPAGE), 0);
  memset(pages.bytes, 1, pages.size);
  auto uffd = create_userfaultfd();
  ASSERT_TRUE(uffd.ok());
  ASSERT_TRUE(enable_uffd(*uffd, abi::kUffdFeatureWpAsync).ok());
  ASSERT_TRUE(register_uffd_wp(*uffd, pages.address().value, pages.size).ok());
  auto pagemap = open_proc_file(getpid(), "pagemap", O_RDONLY);
  ASSERT_TRUE(pagemap.ok());
  auto scan = [&] {
    abi::PageRegion regions[4] = {};
    abi::PmScanArg argument{};
    argument.flags = abi::kScanWpMatching | abi::kScanCheckWpAsync;
    argument.start = pages.address().value;
    argument.end = pages.address(4).value;
    argument.vec = reinterpret_cast<uint64_t>(regions);
    argument.vec_len = 4;
    argument.category_mask = abi::kPageIsWritten;
    argument.return_mask = abi::kPageIsWritten;
    auto count = pagemap_scan(*pagemap, argument);
    EXPECT_TRUE(count.ok());
    std::vector<uint64_t> written;
    for (size_t at = 0; count.ok() && at < *count; ++at) {
      for (uint64_t a = regions[at].start; a < regions[at].end; a += kPageSize) {
        written.push_back((a - pages.address().value) / kPageSize);
      }
    }
    return written;
  };
  EXPECT_EQ(scan(), (std::vector<uint64_t>{0, 1, 2, 3}));
  EXPECT_EQ(scan(), std::vector<uint64_t>{});
  pages.bytes[kPageSize] = 2;
  EXPECT_EQ(scan(), std::vector<uint64_t>{1});
}

TEST(RegisterUffdWp, TellsAMissingRangeFromABusyOne) {
  if (!has_async_write_protection()) GTEST_SKIP() << "UFFD_FEATURE_WP_ASYNC is missing";
  Pages pages(2);
  auto first = create_userfaultfd(), second = create_userfaultfd();
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(enable_uffd(*first, abi::kUffdFeatureWpAsync).ok());
  ASSERT_TRUE(enable_uffd(*second, abi::kUffdFeatureWpAsync).ok());
  ASSERT_TRUE(register_uffd_wp(*first, pages.address().value, pages.size).ok());
  auto busy = register_uffd_wp(*second, pages.address().value, pages.size);
  ASSERT_FALSE(busy.ok());
  EXPECT_EQ(busy.error().code(), Code::kBusy);
  first->reset();
  EXPECT_TRUE(register_uffd_wp(*second, pages.address().value, pages.size).ok());
  auto missing = register_uffd_wp(*second, kPageSize, kPageSize);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace perdure::kernel
