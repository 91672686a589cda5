#include "store/epoch_writer.h"

#include <gtest/gtest.h>

#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Model;
using testing::Page;
using testing::page_of;

class EpochWriterTest : public ::testing::Test {
 protected:
  // Commits, and reads everything back.
  Model committed(EpochWriter& writer) {
    const EpochInfo info = PD_ASSERT_OK(writer.commit({}));
    return PD_ASSERT_OK(testing::read_model(*PD_ASSERT_OK(store_->read_epoch(info.epoch))));
  }

  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
  std::unique_ptr<Store> store_ = PD_ASSERT_OK(Store::open(testing::options_on(disk_)));
  std::unique_ptr<EpochWriter> writer_ = PD_ASSERT_OK(store_->begin_epoch());
};

TEST_F(EpochWriterTest, WhatIsPutLaterOverrides) {
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 3, page_of(1)));
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 3, page_of(2)));
  PD_ASSERT_OK(writer_->put_record(ObjectId(1), 1, testing::bytes_of_text("old")));
  PD_ASSERT_OK(writer_->put_record(ObjectId(1), 2, testing::bytes_of_text("new")));
  const Model model = committed(*writer_);
  EXPECT_EQ(model.pages.at(1).at(3), page_of(2));
  EXPECT_EQ(model.records.at(1), (std::pair<uint32_t, std::string>(2, "new")));
}

TEST_F(EpochWriterTest, ZeroPagesBecomeAbsent) {
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 3, page_of(1)));
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 3, Page(kPageSize)));
  PD_ASSERT_OK(writer_->put_pages(ObjectId(2), 0, Page(100 * kPageSize)));
  EXPECT_TRUE(committed(*writer_).pages.empty());
}

TEST_F(EpochWriterTest, AnErasedObjectCanBeMadeAnewInTheSameEpoch) {
  PD_ASSERT_OK(writer_->put_record(ObjectId(1), 1, testing::bytes_of_text("a")));
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 1, page_of(1)));
  committed(*writer_);
  writer_ = PD_ASSERT_OK(store_->begin_epoch());
  PD_ASSERT_OK(writer_->erase_object(ObjectId(1)));
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 2, page_of(2)));
  const Model model = committed(*writer_);
  EXPECT_TRUE(model.records.empty());
  EXPECT_EQ(model.pages.at(1).size(), 1u);
  EXPECT_EQ(model.pages.at(1).at(2), page_of(2));
}

TEST_F(EpochWriterTest, SharingSeesTheSourceAsItIsInThisEpoch) {
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 1, page_of(1)));
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 2, page_of(2)));
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 3, page_of(3)));
  committed(*writer_);
  writer_ = PD_ASSERT_OK(store_->begin_epoch());
  PD_ASSERT_OK(writer_->put_pages(ObjectId(2), 13, page_of(9)));
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 2, page_of(22)));
  PD_ASSERT_OK(writer_->erase_pages(ObjectId(1), 3, 1));
  PD_ASSERT_OK(writer_->share_pages(ObjectId(2), 11, 3, ObjectId(1), 1));
  PD_ASSERT_OK(writer_->put_pages(ObjectId(1), 1, page_of(11)));  // no longer shared
  const Model model = committed(*writer_);
  EXPECT_EQ(model.pages.at(2), (std::map<uint64_t, Page>{{11, page_of(1)}, {12, page_of(22)}}));
  EXPECT_EQ(model.pages.at(1), (std::map<uint64_t, Page>{{1, page_of(11)}, {2, page_of(22)}}));
}

TEST_F(EpochWriterTest, AnObjectCanShareWithItself) {
  for (uint64_t page = 0; page < 4; ++page) {
    PD_ASSERT_OK(writer_->put_pages(ObjectId(1), page, page_of(page)));
  }
  PD_ASSERT_OK(writer_->share_pages(ObjectId(1), 1, 4, ObjectId(1), 0));  // mremap over itself
  const Model model = committed(*writer_);
  for (uint64_t page = 1; page < 5; ++page)
    EXPECT_EQ(model.pages.at(1).at(page), page_of(page - 1));
}

TEST_F(EpochWriterTest, ALargeRecordIsStoredWhole) {
  std::string text(3 << 20, 'x');
  text[12345] = 'y';
  PD_ASSERT_OK(writer_->put_record(ObjectId(1), 1, testing::bytes_of_text("before")));
  PD_ASSERT_OK(writer_->put_record(ObjectId(2), 1, testing::bytes_of_text(text)));
  PD_ASSERT_OK(writer_->put_record(ObjectId(3), 1, testing::bytes_of_text("behind")));
  const Model model = committed(*writer_);
  EXPECT_EQ(model.records.at(1).second, "before");
  EXPECT_EQ(model.records.at(2).second, text);
  EXPECT_EQ(model.records.at(3).second, "behind");
}

TEST_F(EpochWriterTest, WhatCannotBeStoredIsRefused) {
  const auto code = [](const Status& status) { return status.error().code(); };
  const Page page = page_of(1);
  EXPECT_EQ(code(writer_->put_pages(ObjectId(1), 0, Bytes(page).first(100))), Code::kInvalid);
  EXPECT_EQ(code(writer_->put_pages(ObjectId(0), 0, page)), Code::kInvalid);
  EXPECT_EQ(code(writer_->put_pages(ObjectId(1), kPagesEnd, page)), Code::kInvalid);
  EXPECT_EQ(code(writer_->erase_pages(ObjectId(1), 1, kPagesEnd)), Code::kInvalid);
  EXPECT_EQ(code(writer_->put_record(ObjectId(1), 1, std::vector<uint8_t>(kRecordBytesMax + 1))),
            Code::kLimit);
  EXPECT_EQ(code(store_->begin_epoch().ok() ? Status() : Status(store_->begin_epoch().error())),
            Code::kInvalid);
  // An epoch that lacks something is never committed.
  EXPECT_EQ(writer_->commit({}).error().code(), Code::kInvalid);
  writer_.reset();
  writer_ = PD_ASSERT_OK(store_->begin_epoch());
  EXPECT_EQ(writer_->commit({0, std::string(kNoteBytesMax + 1, 'n')}).error().code(), Code::kLimit);
  writer_.reset();
  EXPECT_TRUE(store_->epochs().empty());
}

}  // namespace
}  // namespace perdure::store
