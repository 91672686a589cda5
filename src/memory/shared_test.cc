#include "memory/shared.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <random>

#include "base/assert.h"
#include "base/fd.h"
#include "base/limits.h"

namespace perdure::memory {
namespace {

// A memory object and a mirror of it that is kept by the rules of SharedTracker.
struct Object {
  explicit Object(uint64_t bytes) : fd(Fd::adopt(memfd_create("shared", MFD_CLOEXEC))) {
    resize(bytes);
  }
  void resize(uint64_t bytes) {
    size = bytes;
    PD_ASSERT(ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
  }
  void put(uint64_t offset, uint8_t value, size_t count = 1) {
    std::vector<uint8_t> bytes(count, value);
    PD_ASSERT(pwrite(fd.get(), bytes.data(), count, static_cast<off_t>(offset)) ==
              static_cast<ssize_t>(count));
  }
  void punch(uint64_t page, uint64_t count) {
    PD_ASSERT(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(page * kPageSize),
                        static_cast<off_t>(count * kPageSize)) == 0);
  }
  // Scans; what was handed on.
  PageSet scan() {
    PageSet handed;
    auto absent = tracker.scan(fd.get(), size, [&](uint64_t first, Bytes bytes) -> Status {
      EXPECT_EQ(bytes.size() % kPageSize, 0u);
      for (size_t at = 0; at < bytes.size(); at += kPageSize) {
        Bytes page = bytes.subspan(at, kPageSize);
        EXPECT_FALSE(all_zero(page));
        mirror[first + at / kPageSize].assign(page.begin(), page.end());
        handed.add({first + at / kPageSize, 1});
      }
      return {};
    });
    EXPECT_TRUE(absent.ok()) << absent.error().to_string();
    for (PageRun run : absent->runs()) {
      for (uint64_t page = run.first; page < run.end(); ++page) mirror.erase(page);
    }
    return handed;
  }
  void expect_equal() {
    uint64_t pages = (size + kPageSize - 1) / kPageSize;
    for (uint64_t page = 0; page < pages; ++page) {
      std::vector<uint8_t> actual(kPageSize);
      ASSERT_GE(pread(fd.get(), actual.data(), kPageSize, static_cast<off_t>(page * kPageSize)), 0);
      auto stored = mirror.find(page);
      ASSERT_EQ(stored == mirror.end() ? std::vector<uint8_t>(kPageSize) : stored->second, actual)
          << page;
    }
    for (auto& [page, bytes] : mirror) EXPECT_LT(page, pages);
  }
  Fd fd;
  uint64_t size = 0;
  SharedTracker tracker;
  std::map<uint64_t, std::vector<uint8_t>> mirror;
};

PageSet pages(std::initializer_list<uint64_t> list) {
  PageSet set;
  for (uint64_t page : list) set.add({page, 1});
  return set;
}

TEST(SharedTracker, HandsOnWhatChangedByWhateverMeans) {
  Object object(600 * kPageSize);
  object.put(3 * kPageSize, 1);
  object.put(599 * kPageSize, 2);
  EXPECT_EQ(object.scan(), pages({3, 599}));
  object.expect_equal();
  EXPECT_EQ(object.scan(), pages({}));
  auto* mapped = static_cast<uint8_t*>(
      mmap(nullptr, object.size, PROT_READ | PROT_WRITE, MAP_SHARED, object.fd.get(), 0));
  mapped[300 * kPageSize + 5] = 7;
  munmap(mapped, object.size);
  object.put(3 * kPageSize, 4);
  EXPECT_EQ(object.scan(), pages({3, 300}));
  object.expect_equal();
}

TEST(SharedTracker, HolesZerosAndTruncationBecomeAbsent) {
  Object object(16 * kPageSize);
  object.put(0, 1, 16 * kPageSize);
  EXPECT_EQ(object.scan().pages(), 16u);
  object.punch(2, 3);
  object.put(7 * kPageSize, 0, kPageSize);
  object.resize(12 * kPageSize + 10);
  EXPECT_EQ(object.scan(), pages({12}));  // its tail was cut off
  EXPECT_EQ(object.mirror.size(), 13u - 4u);
  object.expect_equal();
  object.resize(20 * kPageSize);
  object.put(19 * kPageSize, 1);
  EXPECT_EQ(object.scan(), pages({19}));
  object.expect_equal();
}

TEST(SharedTracker, HandsEverythingOnAgainAfterForget) {
  Object object(8 * kPageSize);
  object.put(0, 1, 8 * kPageSize);
  object.scan();
  auto committed = object.mirror;
  object.punch(1, 1);
  object.resize(6 * kPageSize);
  object.put(0, 2);
  object.scan();
  object.mirror = committed;  // the epoch of that scan failed
  object.tracker.forget();
  EXPECT_EQ(object.scan(), pages({0, 2, 3, 4, 5}));
  object.expect_equal();
  EXPECT_EQ(object.scan(), pages({}));
}

TEST(SharedTracker, AFailedScanIsDoneAgain) {
  Object object(8 * kPageSize);
  object.put(0, 1, 8 * kPageSize);
  auto failed = object.tracker.scan(object.fd.get(), object.size, [](uint64_t, Bytes) -> Status {
    return Error(Code::kFull, "full");
  });
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(object.scan().pages(), 8u);
}

TEST(SharedTracker, FollowsRandomChanges) {
  std::mt19937 random(3);
  Object object(700 * kPageSize);
  for (int round = 0; round < 60; ++round) {
    for (int change = 0; change < 20; ++change) {
      uint64_t page = random() % 700;
      uint64_t last = object.size / kPageSize;
      if (page < last)
        object.put(page * kPageSize + random() % 4000, static_cast<uint8_t>(random() % 3), 90);
      if (random() % 10 == 0) object.punch(page, 1 + random() % 30);
      if (random() % 40 == 0) object.resize((1 + random() % 700) * kPageSize);
    }
    if (random() % 6 == 0) object.tracker.forget();
    object.scan();
    object.expect_equal();
  }
}

}  // namespace
}  // namespace perdure::memory
