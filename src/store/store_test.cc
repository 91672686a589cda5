#include "store/store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Model;
using testing::ModelWriter;
using testing::Page;
using testing::page_of;
using testing::read_model;
using testing::TemporaryDirectory;

Options writing(const TemporaryDirectory& directory) {
  Options options;
  options.directory = directory.path();
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  return options;
}

Options reading(const TemporaryDirectory& directory) {
  Options options;
  options.directory = directory.path();
  return options;
}

Model model_of(const Store& store, Epoch epoch) {
  const auto reader = PD_ASSERT_OK(store.read_epoch(epoch));
  return PD_ASSERT_OK(read_model(*reader));
}

TEST(Store, WhatIsCommittedIsReadBackAfterReopening) {
  TemporaryDirectory directory;
  Model model;
  {
    const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    ModelWriter both(*writer, model);
    PD_ASSERT_OK(both.put_record(1, 7, "the group"));
    PD_ASSERT_OK(both.put_record(16, 2, ""));
    PD_ASSERT_OK(both.put_page(16, 0x7fff12345, page_of(1)));
    PD_ASSERT_OK(both.put_page(16, 0x7fff12346, page_of(2)));
    const EpochInfo info = PD_ASSERT_OK(writer->commit({123, "a note"}));
    EXPECT_EQ(info.epoch, Epoch(1));
    EXPECT_EQ(info.parent, Epoch(0));
    EXPECT_EQ(info.pages_changed, 2u);
    EXPECT_EQ(info.records_changed, 2u);
  }
  const auto store = PD_ASSERT_OK(Store::open(reading(directory)));
  ASSERT_EQ(store->epochs().size(), 1u);
  EXPECT_EQ(store->newest()->captured_realtime_ns, 123u);
  EXPECT_EQ(store->newest()->note, "a note");
  EXPECT_EQ(model_of(*store, Epoch(1)), model);
}

TEST(Store, EveryEpochOfARandomHistoryReadsBack) {
  for (const auto compression : {CompressionKind::kNone, CompressionKind::kZstd}) {
    TemporaryDirectory directory;
    std::mt19937_64 random(11);
    std::vector<Model> models(1);
    Options options = writing(directory);
    options.compression = compression;
    for (int round = 0; round < 4; ++round) {
      const auto store = PD_ASSERT_OK(Store::open(options));
      for (int epoch = 0; epoch < 30; ++epoch) {
        Model model = models.back();
        const auto writer = PD_ASSERT_OK(store->begin_epoch());
        PD_ASSERT_OK(testing::change_at_random(random, 6, *writer, model));
        PD_ASSERT_OK(writer->commit({}));
        models.push_back(model);
      }
      for (size_t epoch = 1; epoch < models.size(); ++epoch) {
        ASSERT_EQ(model_of(*store, Epoch(epoch)), models[epoch]) << "epoch " << epoch;
      }
    }
  }
}

TEST(Store, ABranchBeginsAsItsParentWas) {
  TemporaryDirectory directory;
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  std::mt19937_64 random(5);
  std::vector<Model> models(1);
  for (int epoch = 1; epoch <= 40; ++epoch) {
    const uint64_t parent = epoch > 3 && epoch % 3 == 0 ? random() % epoch : epoch - 1;
    Model model = models[parent];
    const auto writer = PD_ASSERT_OK(store->begin_epoch({Epoch(parent), Contents::kInherit}));
    EXPECT_EQ(writer->parent(), Epoch(parent));
    PD_ASSERT_OK(testing::change_at_random(random, 4, *writer, model));
    PD_ASSERT_OK(writer->commit({}));
    models.push_back(model);
  }
  for (size_t epoch = 1; epoch < models.size(); ++epoch) {
    ASSERT_EQ(model_of(*store, Epoch(epoch)), models[epoch]) << "epoch " << epoch;
  }
}

TEST(Store, AFullEpochForgetsWhatItsParentHeld) {
  TemporaryDirectory directory;
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  Model first, second;
  {
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    ModelWriter both(*writer, first);
    PD_ASSERT_OK(both.put_record(1, 1, "one"));
    PD_ASSERT_OK(both.put_page(1, 5, page_of(5)));
    PD_ASSERT_OK(writer->commit({}));
  }
  const auto writer = PD_ASSERT_OK(store->begin_epoch({{}, Contents::kEmpty}));
  EXPECT_EQ(writer->parent(), Epoch(1));
  ModelWriter both(*writer, second);
  PD_ASSERT_OK(both.put_record(2, 1, "two"));
  PD_ASSERT_OK(writer->commit({}));
  EXPECT_EQ(model_of(*store, Epoch(1)), first);
  EXPECT_EQ(model_of(*store, Epoch(2)), second);
}

TEST(Store, AnAbandonedEpochLeavesNoTrace) {
  TemporaryDirectory directory;
  Model model;
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  std::mt19937_64 random(3);
  for (int epoch = 1; epoch <= 10; ++epoch) {
    {
      Model ignored;
      const auto writer = PD_ASSERT_OK(store->begin_epoch());
      PD_ASSERT_OK(testing::change_at_random(random, 40, *writer, ignored));
    }
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    EXPECT_EQ(writer->epoch(), Epoch(epoch));
    PD_ASSERT_OK(testing::change_at_random(random, 4, *writer, model));
    PD_ASSERT_OK(writer->commit({}));
    ASSERT_EQ(model_of(*store, Epoch(epoch)), model);
  }
}

TEST(Store, SharedPagesAreStoredOnce) {
  TemporaryDirectory directory;
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  const Page page = page_of(1);
  PD_ASSERT_OK(writer->put_pages(ObjectId(1), 10, page));
  PD_ASSERT_OK(writer->share_pages(ObjectId(2), 10, 1, ObjectId(1), 10));
  PD_ASSERT_OK(writer->commit({}));
  const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(1)));
  ASSERT_EQ(reader->extents(ObjectId(1)).size(), 1u);
  EXPECT_EQ(reader->extents(ObjectId(1)), reader->extents(ObjectId(2)));
}

TEST(Store, StoredPagesAreAlignedInTheSegmentFile) {
  TemporaryDirectory directory;
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  for (uint64_t page = 0; page < 600; ++page) {
    PD_ASSERT_OK(writer->put_pages(ObjectId(1), page, page_of(page)));
  }
  PD_ASSERT_OK(writer->commit({}));
  const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(1)));
  uint64_t pages = 0;
  for (const PageExtent& extent : reader->extents(ObjectId(1))) {
    std::vector<uint8_t> bytes(extent.count * kPageSize);
    const int fd = PD_ASSERT_OK(reader->segment_fd(extent.location.segment));
    EXPECT_EQ(extent.location.byte_offset() % kPageSize, 0u);
    ASSERT_EQ(
        pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(extent.location.byte_offset())),
        static_cast<ssize_t>(bytes.size()));
    for (uint32_t at = 0; at < extent.count; ++at) {
      const Page expected = page_of(extent.first_page + at);
      ASSERT_EQ(std::memcmp(bytes.data() + at * kPageSize, expected.data(), kPageSize), 0);
    }
    PD_ASSERT_OK(reader->verify_pages(extent, bytes));
    bytes[5] ^= 1;
    EXPECT_EQ(reader->verify_pages(extent, bytes).error().code(), Code::kCorrupt);
    pages += extent.count;
  }
  EXPECT_EQ(pages, 600u);
}

TEST(Store, PagesReadIntoItsOwnBufferAreNotCopied) {
  TemporaryDirectory directory;
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  uint64_t page = 0;
  while (page < 1000) {
    const MutableBytes room = PD_ASSERT_OK(writer->page_buffer());
    ASSERT_GE(room.size(), kPageSize);
    const uint64_t count = std::min<uint64_t>(room.size() / kPageSize, 1000 - page);
    for (uint64_t at = 0; at < count; ++at) {
      const Page bytes = (page + at) % 7 == 0 ? Page(kPageSize) : page_of(page + at);
      std::memcpy(room.data() + at * kPageSize, bytes.data(), kPageSize);
    }
    PD_ASSERT_OK(writer->put_pages(ObjectId(1), page, room.first(count * kPageSize)));
    page += count;
  }
  PD_ASSERT_OK(writer->commit({}));
  const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(1)));
  for (page = 0; page < 1000; ++page) {
    Page bytes(kPageSize);
    PD_ASSERT_OK(reader->read_range(ObjectId(1), page, bytes));
    ASSERT_EQ(bytes, page % 7 == 0 ? Page(kPageSize) : page_of(page)) << page;
  }
}

TEST(Store, AnEpochIsFilledWhileTheOneBeforeIsBeingWritten) {
  TemporaryDirectory directory;
  std::vector<Model> models(1);
  {
    const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
    std::mt19937_64 random(8);
    std::vector<PendingEpoch> pending;
    for (int epoch = 1; epoch <= 50; ++epoch) {
      Model model = models.back();
      const auto writer = PD_ASSERT_OK(store->begin_epoch());
      PD_ASSERT_OK(testing::change_at_random(random, 5, *writer, model));
      pending.push_back(PD_ASSERT_OK(writer->submit({})));
      models.push_back(model);
    }
    PD_ASSERT_OK(pending.back().wait());
    for (PendingEpoch& epoch : pending) EXPECT_TRUE(epoch.done());
    ASSERT_EQ(store->epochs().size(), 50u);
  }
  const auto store = PD_ASSERT_OK(Store::open(reading(directory)));
  for (size_t epoch = 1; epoch < models.size(); ++epoch) {
    ASSERT_EQ(model_of(*store, Epoch(epoch)), models[epoch]) << "epoch " << epoch;
  }
}

TEST(Store, ASecondWriterIsToldWhoHoldsTheStore) {
  TemporaryDirectory directory;
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  const auto second = Store::open(writing(directory));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::kBusy);
  EXPECT_NE(second.error().message().find(std::to_string(getpid())), std::string::npos);
}

TEST(Store, AReaderSeesWhatIsCommittedBesideIt) {
  TemporaryDirectory directory;
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  const auto reader = PD_ASSERT_OK(Store::open(reading(directory)));
  EXPECT_TRUE(reader->epochs().empty());
  Model model;
  std::mt19937_64 random(1);
  for (int epoch = 1; epoch <= 100; ++epoch) {
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    PD_ASSERT_OK(testing::change_at_random(random, 5, *writer, model));
    PD_ASSERT_OK(reader->refresh());
    ASSERT_EQ(reader->epochs().size(), static_cast<size_t>(epoch - 1));
    PD_ASSERT_OK(writer->commit({}));
    PD_ASSERT_OK(reader->refresh());
    ASSERT_EQ(reader->epochs().size(), static_cast<size_t>(epoch));
  }
  EXPECT_EQ(model_of(*reader, Epoch(100)), model);
  EXPECT_EQ(reader->begin_epoch().error().code(), Code::kInvalid);
}

// A directory in which, now and then, a segment is gone before it was looked at.
class StaleDevice final : public Device {
 public:
  StaleDevice(const std::string& directory, int stale)
      : device_(linux_device(directory)), stale_(stale) {}
  Status create() override { return device_->create(); }
  Result<std::vector<std::string>> list() override { return device_->list(); }
  Result<std::shared_ptr<File>> open(const std::string& file, FileMode mode) override {
    if (stale_-- > 0) return Error::system(ESTALE, "fstat", file);
    return device_->open(file, mode);
  }
  Status remove(const std::string& file) override { return device_->remove(file); }
  Status sync_names() override { return device_->sync_names(); }
  Result<std::unique_ptr<DeviceLock>> lock() override { return device_->lock(); }
  Result<uint64_t> free_bytes() override { return device_->free_bytes(); }
  const std::string& name() const override { return device_->name(); }

 private:
  std::unique_ptr<Device> device_;
  int stale_;
};

TEST(Store, AReaderLooksAgainIfASegmentWentStale) {
  TemporaryDirectory directory;
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  PD_ASSERT_OK(PD_ASSERT_OK(store->begin_epoch())->commit({}));
  Options options = reading(directory);
  options.device = std::make_shared<StaleDevice>(directory.path(), 3);
  EXPECT_EQ(PD_ASSERT_OK(Store::open(options))->epochs().size(), 1u);
}

TEST(Store, FilesAreForTheirOwnerOnly) {
  TemporaryDirectory parent;
  Options options = writing(parent);
  options.directory = parent.file("inner");
  const auto store = PD_ASSERT_OK(Store::open(options));
  struct stat st;
  ASSERT_EQ(stat(options.directory.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  for (const auto& entry : std::filesystem::directory_iterator(options.directory)) {
    ASSERT_EQ(stat(entry.path().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600u) << entry.path();
  }
}

TEST(Store, ADirectoryOfOtherFilesIsNotAStore) {
  TemporaryDirectory directory;
  std::ofstream(directory.file("letter.txt")) << "dear";
  const auto store = Store::open(writing(directory));
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().code(), Code::kInvalid);
  EXPECT_NE(store.error().message().find("letter.txt"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(directory.file("lock")));
}

TEST(Store, NoStoreAndNoEpochAreNotFound) {
  TemporaryDirectory directory;
  Options options = reading(directory);
  EXPECT_EQ(Store::open(options).error().code(), Code::kNotFound);
  options.directory = directory.file("nowhere");
  EXPECT_EQ(Store::open(options).error().code(), Code::kNotFound);
  options.access = Access::kWrite;
  EXPECT_EQ(Store::open(options).error().code(), Code::kNotFound);
  const auto store = PD_ASSERT_OK(Store::open(writing(directory)));
  EXPECT_EQ(store->read_epoch(Epoch(3)).error().code(), Code::kNotFound);
  EXPECT_EQ(store->begin_epoch({Epoch(3), Contents::kInherit}).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace perdure::store
