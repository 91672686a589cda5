#include "daemon/copy_epoch.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/limits.h"
#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

class CopyEpochTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-copy-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
  }
  void TearDown() override { EXPECT_TRUE(kernel::remove_tree(base_).ok()); }

  std::unique_ptr<store::Store> make(const std::string& name) {
    EXPECT_TRUE(kernel::make_private_folder(base_ + "/" + name).ok());
    store::Options options;
    options.directory = base_ + "/" + name;
    options.access = store::Access::kWrite;
    options.create = store::Create::kIfMissing;
    return std::move(store::Store::open(options).value());
  }
  static void fill(store::Store& store, uint8_t seed) {
    auto writer = store.begin_epoch().value();
    std::string record = "record " + std::to_string(seed);
    Bytes bytes(reinterpret_cast<const uint8_t*>(record.data()), record.size());
    ASSERT_TRUE(writer->put_record(ObjectId(20), 2, bytes).ok());
    std::vector<uint8_t> pages(1000 * kPageSize);
    for (size_t at = 0; at < pages.size(); ++at)
      pages[at] = static_cast<uint8_t>(at / kPageSize + at * seed + 1);
    ASSERT_TRUE(writer->put_pages(ObjectId(21), 5, pages).ok());
    ASSERT_TRUE(writer->share_pages(ObjectId(22), 100, 1000, ObjectId(21), 5).ok());
    ASSERT_TRUE(writer->commit({77, "note"}).ok());
  }
  static std::vector<uint8_t> read(store::EpochReader& reader, ObjectId id, uint64_t first) {
    std::vector<uint8_t> bytes(1000 * kPageSize);
    EXPECT_TRUE(reader.read_range(id, first, bytes).ok());
    return bytes;
  }

  std::string base_;
};

TEST_F(CopyEpochTest, CopiesAnOlderEpochWholeAndSharesStaySharedOnce) {
  auto source = make("source");
  fill(*source, 3);
  fill(*source, 4);
  auto target = make("target");
  auto epoch = copy_epoch(base_ + "/source", Epoch(1), *target);
  ASSERT_TRUE(epoch.ok()) << epoch.error().to_string();
  auto from = source->read_epoch(Epoch(1)).value();
  auto to = target->read_epoch(*epoch).value();
  EXPECT_EQ(to->record(ObjectId(20)).value(), "record 3");
  EXPECT_EQ(read(*from, ObjectId(21), 5), read(*to, ObjectId(21), 5));
  EXPECT_EQ(read(*from, ObjectId(22), 100), read(*to, ObjectId(22), 100));
  EXPECT_EQ(to->extents(ObjectId(21)).front().location, to->extents(ObjectId(22)).front().location);
  EXPECT_EQ(to->info().note, "note");
  EXPECT_EQ(to->info().captured_realtime_ns, 77u);
}

TEST_F(CopyEpochTest, WithoutANumberItIsTheNewest) {
  auto source = make("source");
  fill(*source, 3);
  fill(*source, 4);
  auto target = make("target");
  auto epoch = copy_epoch(base_ + "/source", Epoch(0), *target);
  ASSERT_TRUE(epoch.ok());
  EXPECT_EQ(target->read_epoch(*epoch).value()->record(ObjectId(20)).value(), "record 4");
}

TEST_F(CopyEpochTest, StoredZerosAreStoredInTheCopy) {
  auto source = make("source");
  auto writer = source->begin_epoch().value();
  const std::vector<uint8_t> zeros(2 * kPageSize);
  ASSERT_TRUE(writer->put_pages(ObjectId(21), 5, zeros, store::Zeros::kStored).ok());
  ASSERT_TRUE(writer->commit({}).ok());
  auto target = make("target");
  auto copied =
      target->read_epoch(copy_epoch(base_ + "/source", Epoch(1), *target).value()).value();
  ASSERT_EQ(copied->extents(ObjectId(21)).size(), 1u);
  EXPECT_EQ(copied->extents(ObjectId(21)).front().count, 2u);
}

TEST_F(CopyEpochTest, AnEpochThatIsNotThereIsAnError) {
  auto source = make("source");
  auto target = make("target");
  EXPECT_EQ(copy_epoch(base_ + "/source", Epoch(0), *target).error().code(), Code::kNotFound);
  fill(*source, 1);
  EXPECT_FALSE(copy_epoch(base_ + "/source", Epoch(7), *target).ok());
  EXPECT_TRUE(target->epochs().empty());
}

}  // namespace
}  // namespace perdure::daemon
