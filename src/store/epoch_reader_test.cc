#include "store/epoch_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "store/io_queue.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Page;
using testing::page_of;

class EpochReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto writer = PD_ASSERT_OK(store_->begin_epoch());
    PD_ASSERT_OK(writer->put_record(ObjectId(9), 4, testing::bytes_of_text("nine")));
    PD_ASSERT_OK(writer->put_record(ObjectId(2), 5, testing::bytes_of_text("two")));
    for (uint64_t page = 0; page < 300; ++page) {
      if (page % 10 != 3) PD_ASSERT_OK(writer->put_pages(ObjectId(9), page, page_of(page)));
    }
    PD_ASSERT_OK(writer->commit({}));
    reader_ = PD_ASSERT_OK(store_->read_epoch(Epoch(1)));
  }

  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
  std::unique_ptr<Store> store_ = PD_ASSERT_OK(Store::open(testing::options_on(disk_)));
  std::unique_ptr<EpochReader> reader_;
};

TEST_F(EpochReaderTest, ObjectsAndRecordsComeByAscendingId) {
  std::vector<uint64_t> ids;
  PD_ASSERT_OK(reader_->for_each_record([&](ObjectId id, uint32_t, Bytes) -> Status {
    ids.push_back(id.value);
    return Ok{};
  }));
  EXPECT_EQ(ids, (std::vector<uint64_t>{2, 9}));
  const auto objects = reader_->objects();
  ASSERT_EQ(objects.size(), 2u);
  EXPECT_EQ(objects[1].kind, 4u);
  EXPECT_EQ(objects[1].record_bytes, 4u);
  EXPECT_EQ(objects[1].pages, 270u);
  EXPECT_EQ(PD_ASSERT_OK(reader_->record(ObjectId(2))), "two");
  EXPECT_EQ(reader_->record(ObjectId(3)).error().code(), Code::kNotFound);
}

TEST_F(EpochReaderTest, ARangeReadsZerosWhereNothingIsStored) {
  Page bytes(12 * kPageSize, 0xaa);
  PD_ASSERT_OK(reader_->read_range(ObjectId(9), 295, bytes));
  for (uint64_t at = 0; at < 12; ++at) {
    const uint64_t page = 295 + at;
    const Page expected = page < 300 && page % 10 != 3 ? page_of(page) : Page(kPageSize);
    EXPECT_EQ(std::memcmp(bytes.data() + at * kPageSize, expected.data(), kPageSize), 0) << page;
  }
  PD_ASSERT_OK(reader_->read_range(ObjectId(77), 0, bytes));
  EXPECT_TRUE(all_zero(bytes));
}

TEST_F(EpochReaderTest, APartOfAnExtentIsRead) {
  const PageExtent extent = reader_->extents(ObjectId(9), 14, 5).at(0);
  EXPECT_EQ(extent.first_page, 14u);
  const PageExtent part = extent.clipped(15, 17);
  Page bytes(2 * kPageSize);
  PD_ASSERT_OK(reader_->read_pages(part, bytes));
  EXPECT_EQ(std::memcmp(bytes.data(), page_of(15).data(), kPageSize), 0);
  PD_ASSERT_OK(reader_->verify_extents(reader_->extents(ObjectId(9))));
}

TEST_F(EpochReaderTest, TellsWhatOfPagesInMemoryHasChanged) {
  Page bytes(20 * kPageSize);
  PD_ASSERT_OK(reader_->read_range(ObjectId(9), 290, bytes));  // page 293, and 300 on: not stored
  bytes[5 * kPageSize + 77] ^= 1;
  bytes[6 * kPageSize] ^= 1;
  bytes[9 * kPageSize + kPageSize - 1] ^= 1;
  std::vector<std::pair<uint64_t, uint64_t>> runs;
  const auto note = [&](uint64_t first_page, Bytes run) -> Status {
    EXPECT_EQ(run.data(), bytes.data() + (first_page - 290) * kPageSize);
    runs.emplace_back(first_page, run.size() / kPageSize);
    return Ok{};
  };
  PD_ASSERT_OK(reader_->for_each_change(ObjectId(9), 290, bytes, note));
  EXPECT_EQ(runs, (std::vector<std::pair<uint64_t, uint64_t>>{{293, 1}, {295, 2}, {299, 11}}));
  runs.clear();
  PD_ASSERT_OK(reader_->for_each_change(ObjectId(9), 290, Bytes(bytes).first(3 * kPageSize), note));
  EXPECT_TRUE(runs.empty());
  EXPECT_FALSE(
      reader_
          ->for_each_change(ObjectId(77), 0, bytes,
                            [](uint64_t, Bytes) -> Status { return Error(Code::kLimit, "enough"); })
          .ok());
}

TEST_F(EpochReaderTest, ACallbackCanStopTheReading) {
  int calls = 0;
  const Status status = reader_->for_each_record([&](ObjectId, uint32_t, Bytes) -> Status {
    ++calls;
    return Error(Code::kLimit, "enough");
  });
  EXPECT_EQ(status.error().code(), Code::kLimit);
  EXPECT_EQ(calls, 1);
}

TEST_F(EpochReaderTest, ManyThreadsReadWhileTheStoreGoesOn) {
  std::vector<std::thread> threads;
  std::array<bool, 4> good{};
  for (size_t thread = 0; thread < good.size(); ++thread) {
    threads.emplace_back([this, &good, thread] {
      bool all = true;
      for (int round = 0; round < 20; ++round) {
        for (const PageExtent& extent : reader_->extents(ObjectId(9))) {
          Page bytes(extent.count * kPageSize);
          all = all && reader_->read_pages(extent, bytes).ok() &&
                std::memcmp(bytes.data(), page_of(extent.first_page).data(), kPageSize) == 0;
        }
      }
      good[thread] = all;
    });
  }
  std::mt19937_64 random(1);
  testing::Model model;
  for (int epoch = 0; epoch < 30; ++epoch) {
    const auto writer = PD_ASSERT_OK(store_->begin_epoch({{}, Contents::kEmpty}));
    PD_ASSERT_OK(testing::change_at_random(random, 10, *writer, model));
    PD_ASSERT_OK(writer->commit({}));
    PD_ASSERT_OK(store_->drop(epochs_to_drop(store_->epochs(), {1, {}})));
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool all : good) EXPECT_TRUE(all);
}

// 300 segments are more than a process with the usual limit could open beside what it has.
TEST(EpochReaderFiles, AnEpochInMoreSegmentsThanTheLimitOfOpenFilesIsRead) {
  const testing::TemporaryDirectory directory;
  Options options;
  options.device = linux_device(directory.path());
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  options.segment_bytes = 128 << 10;
  const auto store = PD_ASSERT_OK(Store::open(options));
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  for (uint64_t page = 0; page < 4000; ++page)
    PD_ASSERT_OK(writer->put_pages(ObjectId(1), page, page_of(page % 7)));
  PD_ASSERT_OK(writer->commit({}));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(1)));
  Page out(kPageSize);
  for (uint64_t page = 0; page < 4000; page += 13) {
    PD_ASSERT_OK(reader->read_range(ObjectId(1), page, out));
    ASSERT_EQ(out, page_of(page % 7));
  }
  (void)setrlimit(RLIMIT_NOFILE, &before);
}

// Asks without touching it: a read that may not wait has the kernel read ahead.
bool is_cached(int fd, uint64_t offset) {
  void* const page =
      mmap(nullptr, kPageSize, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset));
  if (page == MAP_FAILED) return false;
  unsigned char there = 0;
  const bool asked = mincore(page, kPageSize, &there) == 0;
  munmap(page, kPageSize);
  return asked && (there & 1) != 0;
}

TEST(EpochReaderFiles, PagesThatAreReadAheadComeIntoMemory) {
  const testing::TemporaryDirectory directory;
  Options options;
  options.device = linux_device(directory.path());
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  const auto store = PD_ASSERT_OK(Store::open(options));
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  for (uint64_t page = 0; page < 700; ++page)
    PD_ASSERT_OK(writer->put_pages(ObjectId(1), page, page_of(page)));
  PD_ASSERT_OK(writer->commit({}));
  const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(1)));
  const std::vector<PageExtent> extents = reader->extents(ObjectId(1));
  const int fd = PD_ASSERT_OK(reader->segment_fd(extents.front().location.segment));
  const uint64_t first = extents.front().location.byte_offset();
  const PageExtent& frame = extents.back();
  const PageExtent end = frame.clipped(frame.end() - 1, frame.end());
  const uint64_t header = uint64_t{end.location.block} * kBlockSize;
  const uint64_t last = end.location.byte_offset();
  ASSERT_GT(last - header, 256u << 10);
  (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  if (is_cached(fd, first)) GTEST_SKIP() << "this file system keeps what it is told to drop";
  reader->read_ahead({end});
  for (int wait = 0; wait < 5000 && !(is_cached(fd, last) && is_cached(fd, header)); ++wait)
    usleep(1000);
  EXPECT_TRUE(is_cached(fd, last));
  EXPECT_TRUE(is_cached(fd, header)) << "the checksums are in the header of the frame";
  EXPECT_FALSE(is_cached(fd, first));
  reader->read_ahead(extents);
  for (int wait = 0; wait < 5000 && !is_cached(fd, first); ++wait) usleep(1000);
  EXPECT_TRUE(is_cached(fd, first));
}

class StreamTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kPages = 600;

  void SetUp() override {
    Options options;
    options.device = linux_device(directory_.path());
    options.access = Access::kWrite;
    options.create = Create::kIfMissing;
    store_ = PD_ASSERT_OK(Store::open(options));
    const auto writer = PD_ASSERT_OK(store_->begin_epoch());
    for (uint64_t page = 0; page < kPages; ++page) {
      if (page != 333) PD_ASSERT_OK(writer->put_pages(ObjectId(1), page, page_of(page)));
    }
    PD_ASSERT_OK(writer->commit({}));
    reader_ = PD_ASSERT_OK(store_->read_epoch(Epoch(1)));
    for (const PageExtent& extent : reader_->extents(ObjectId(1))) {
      if (EpochReader::is_streamed(extent)) streamed_ = extent;
    }
    fd_ = PD_ASSERT_OK(reader_->segment_fd(streamed_.location.segment));
    (void)posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
    if (is_cached(fd_, offset())) GTEST_SKIP() << "this file system keeps what it is told to drop";
    if (PD_ASSERT_OK(reader_->direct_fd(streamed_.location.segment)) < 0)
      GTEST_SKIP() << "this file system has no direct reads";
  }

  uint64_t offset() const { return streamed_.location.byte_offset(); }

  Status stream(uint64_t first, uint64_t count) {
    return reader_->stream_range(ObjectId(1), first,
                                 MutableBytes(buffer_.data(), count * kPageSize));
  }

  void expect_pages(uint64_t first, uint64_t count) {
    for (uint64_t at = 0; at < count; ++at) {
      const Page want = first + at == 333 ? Page(kPageSize, 0) : page_of(first + at);
      EXPECT_EQ(std::memcmp(buffer_.data() + at * kPageSize, want.data(), kPageSize), 0)
          << first + at;
    }
  }

  testing::TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<EpochReader> reader_;
  PageExtent streamed_;
  int fd_ = -1;
  AlignedBuffer buffer_{kPages * kPageSize};
};

TEST_F(StreamTest, LeavesNothingInThePageCache) {
  PD_ASSERT_OK(stream(0, kPages));
  expect_pages(0, kPages);
  EXPECT_FALSE(is_cached(fd_, offset()));
}

TEST_F(StreamTest, ReadsFromTheMiddleOfFramesAndWhatIsCached) {
  for (const uint64_t first : {7, 100, 300}) {
    PD_ASSERT_OK(stream(first, 299));
    expect_pages(first, 299);
  }
  PD_ASSERT_OK(
      reader_->read_range(ObjectId(1), 0, MutableBytes(buffer_.data(), kPages * kPageSize)));
  ASSERT_TRUE(is_cached(fd_, offset()));
  PD_ASSERT_OK(stream(0, kPages));
  expect_pages(0, kPages);
}

TEST_F(StreamTest, DamageIsNeverHandedOut) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd_);
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(file, 0);
  const uint64_t at = offset() + 5 * kPageSize + 17;
  uint8_t byte = 0;
  ASSERT_EQ(pread(file, &byte, 1, static_cast<off_t>(at)), 1);
  byte ^= 1;
  ASSERT_EQ(pwrite(file, &byte, 1, static_cast<off_t>(at)), 1);
  ASSERT_EQ(fsync(file), 0);
  (void)posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  close(file);
  const Status streamed = stream(streamed_.first_page, streamed_.count);
  ASSERT_FALSE(streamed.ok());
  EXPECT_EQ(streamed.error().code(), Code::kCorrupt);
  EXPECT_NE(streamed.error().message().find(std::to_string(streamed_.first_page + 5)),
            std::string::npos);
}

}  // namespace
}  // namespace perdure::store
