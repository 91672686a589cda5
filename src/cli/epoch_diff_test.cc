#include "cli/epoch_diff.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "cli/test_store.h"
#include "object/process.pb.h"

namespace perdure::cli {
namespace {

constexpr ObjectId kProcess{20}, kOther{21}, kSpace{22};

class EpochDiffTest : public StoreTest {
 protected:
  void put_page(store::EpochWriter& writer, uint64_t page, uint8_t fill) {
    std::vector<uint8_t> bytes(kPageSize, fill);
    ASSERT_TRUE(writer.put_pages(kSpace, page, bytes).ok());
  }
  static object::Process process(int pid, const char* comm) {
    object::Process record;
    record.set_pid(pid);
    record.set_comm(comm);
    record.set_address_space(kSpace.value);
    return record;
  }
  std::vector<ObjectChange> changes() {
    auto before = EpochView::load(*store_, Epoch(1));
    auto after = EpochView::load(*store_, Epoch(2));
    EXPECT_TRUE(before.ok() && after.ok());
    auto found = compare_epochs(*before, *after);
    EXPECT_TRUE(found.ok());
    return std::move(*found);
  }
};

TEST_F(EpochDiffTest, NamesFieldsRecordsAndPages) {
  {
    auto writer = store_->begin_epoch().value();
    put(*writer, kProcess, object::Kind::kProcess, process(1, "init"));
    object::AddressSpace space;
    object::Vma* heap = space.add_vmas();
    heap->set_start(0x10000);
    heap->set_end(0x20000);
    heap->set_heap(true);
    put(*writer, kSpace, object::Kind::kAddressSpace, space);
    for (uint64_t page = 0x10; page < 0x20; ++page) put_page(*writer, page, 1);
    ASSERT_TRUE(writer->commit({}).ok());
  }
  {
    auto writer = store_->begin_epoch().value();
    put(*writer, kProcess, object::Kind::kProcess, process(1, "renamed"));
    put(*writer, kOther, object::Kind::kProcess, process(2, "child"));
    put_page(*writer, 0x11, 2);
    put_page(*writer, 0x12, 2);
    put_page(*writer, 0x13, 1);  // written again, the same
    ASSERT_TRUE(writer->erase_pages(kSpace, 0x1f, 1).ok());
    ASSERT_TRUE(writer->commit({}).ok());
  }
  std::vector<ObjectChange> found = changes();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].title, "process 1 (renamed)");
  ASSERT_EQ(found[0].fields.size(), 1u);
  EXPECT_EQ(found[0].fields[0].path, "comm");
  EXPECT_EQ(found[0].fields[0].before, "init");
  EXPECT_EQ(found[0].fields[0].after, "renamed");
  EXPECT_EQ(found[1].what, ObjectChange::What::kAdded);
  EXPECT_EQ(found[1].title, "process 2 (child)");
  EXPECT_EQ(found[2].page_count, 3u);
  ASSERT_EQ(found[2].pages.size(), 2u);
  EXPECT_EQ(found[2].pages[0].first, 0x11u);
  EXPECT_EQ(found[2].pages[0].count, 2u);
  EXPECT_EQ(found[2].pages[0].place, "heap");
  EXPECT_EQ(found[2].pages[1].first, 0x1fu);
}

TEST_F(EpochDiffTest, AnUnchangedEpochHasNoDifference) {
  for (int epoch = 0; epoch < 2; ++epoch) {
    auto writer = store_->begin_epoch().value();
    put(*writer, kProcess, object::Kind::kProcess, process(1, "init"));
    put_page(*writer, 7, 9);
    ASSERT_TRUE(writer->commit({}).ok());
  }
  EXPECT_TRUE(changes().empty());
}

TEST_F(EpochDiffTest, ARecordOfAnUnknownKindIsComparedByItsBytes) {
  for (const char* text : {"a", "b"}) {
    auto writer = store_->begin_epoch().value();
    Bytes record(reinterpret_cast<const uint8_t*>(text), 1);
    ASSERT_TRUE(writer->put_record(kOther, 4242, record).ok());
    ASSERT_TRUE(writer->commit({}).ok());
  }
  std::vector<ObjectChange> found = changes();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].fields[0].after, "b");
  EXPECT_EQ(found[0].title, "unknown");
}

}  // namespace
}  // namespace perdure::cli
