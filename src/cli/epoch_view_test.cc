#include "cli/epoch_view.h"

#include <gtest/gtest.h>

#include "cli/test_store.h"
#include "object/file.pb.h"
#include "object/process.pb.h"

namespace perdure::cli {
namespace {

constexpr ObjectId kProcess{20}, kThread{21}, kSpace{22}, kFile{23}, kMemory{24}, kDamaged{25};

class EpochViewTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    auto writer = store_->begin_epoch().value();
    fill(*writer);
    ASSERT_TRUE(writer->commit({}).ok());
    view_.emplace(EpochView::load(*store_, Epoch(1)).value());
  }

  static void fill(store::EpochWriter& writer) {
    object::Process process;
    process.set_pid(17);
    process.set_comm("redis");
    process.set_address_space(kSpace.value);
    put(writer, kProcess, object::Kind::kProcess, process);
    object::Thread thread;
    thread.set_tid(18);
    thread.set_comm("bio");
    put(writer, kThread, object::Kind::kThread, thread);
    object::OpenFile file;
    file.mutable_regular()->mutable_identity()->set_path("/usr/lib/libx.so");
    put(writer, kFile, object::Kind::kOpenFile, file);
    object::MemoryObject memory;
    memory.set_name("/dev/shm/ring");
    memory.set_kind(object::MemoryObject::POSIX_SHM);
    put(writer, kMemory, object::Kind::kMemoryObject, memory);
    object::AddressSpace space;
    auto add = [&space](uint64_t start, auto set) {
      object::Vma* vma = space.add_vmas();
      vma->set_start(start);
      vma->set_end(start + 0x1000);
      set(*vma);
    };
    add(0x1000, [](object::Vma& vma) { vma.set_heap(true); });
    add(0x2000, [](object::Vma& vma) { vma.set_stack(true); });
    add(0x3000, [](object::Vma& vma) {
      vma.set_kind(object::Vma::FILE_PRIVATE);
      vma.set_file(kFile.value);
    });
    add(0x4000, [](object::Vma& vma) {
      vma.set_kind(object::Vma::MEMORY_SHARED);
      vma.set_file(kMemory.value);
    });
    add(0x5000, [](object::Vma&) {});
    put(writer, kSpace, object::Kind::kAddressSpace, space);
    put(writer, kDamaged, object::Kind::kProcess, "\xff\xff\xff");
  }

  std::optional<EpochView> view_;
};

TEST_F(EpochViewTest, ObjectsHaveTitlesThatPeopleKnow) {
  EXPECT_EQ(view_->title(kProcess), "process 17 (redis)");
  EXPECT_EQ(view_->title(kThread), "thread 18 (bio)");
  EXPECT_EQ(view_->title(kSpace), "address space of process 17 (redis)");
  EXPECT_EQ(view_->title(kFile), "open file /usr/lib/libx.so");
  EXPECT_EQ(view_->title(kMemory), "memory object POSIX_SHM /dev/shm/ring");
  EXPECT_EQ(view_->title(ObjectId(99)), "nothing");
}

TEST_F(EpochViewTest, PagesAreNamedByTheirMapping) {
  const std::pair<uint64_t, const char*> table[] = {
      {1, "heap"},          {2, "stack"},     {3, "/usr/lib/libx.so"},
      {4, "/dev/shm/ring"}, {5, "anonymous"}, {6, "unmapped"}};
  for (const auto& [page, place] : table) EXPECT_EQ(view_->place_of_page(kSpace, page), place);
  EXPECT_EQ(view_->place_of_page(kMemory, 1), "");
}

TEST_F(EpochViewTest, ARecordThatDoesNotDecodeIsKeptAsBytes) {
  const StoredObject* damaged = view_->find(kDamaged);
  ASSERT_NE(damaged, nullptr);
  EXPECT_EQ(damaged->message, nullptr);
  EXPECT_EQ(damaged->bytes, "\xff\xff\xff");
  EXPECT_EQ(view_->title(kDamaged), "process");
}

}  // namespace
}  // namespace perdure::cli
