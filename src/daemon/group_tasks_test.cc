#include "daemon/group_tasks.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

// The part before a group is made: the folder, its lock, its name.
class GroupTasksTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-tasks-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    place_.name = "g";
    place_.store = base_;
    place_.directory = base_ + "/g";
    place_.socket_path = base_ + "/g.sock";
  }
  void TearDown() override { EXPECT_TRUE(kernel::remove_tree(base_).ok()); }

  StartTask start(SettingsChange change = {}) {
    return StartTask(place_, engine::StartOptions{}, CallersStreams::kKeep, std::move(change));
  }
  // As an engine would have left it.
  void make_epoch() {
    store::Options options;
    options.directory = place_.directory;
    options.access = store::Access::kWrite;
    options.create = store::Create::kIfMissing;
    auto store = store::Store::open(options).value();
    auto writer = store->begin_epoch().value();
    const uint8_t byte = 1;
    ASSERT_TRUE(writer->put_record(ObjectId(20), 2, Bytes(&byte, 1)).ok());
    ASSERT_TRUE(writer->commit({}).ok());
  }

  std::string base_;
  GroupPlace place_;
};

TEST_F(GroupTasksTest, ANameIsTakenByOneEngineAtATime) {
  StartTask first = start(), second = start();
  ASSERT_TRUE(first.lock().ok());
  Status refused = second.lock();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kExists);
  EXPECT_NE(refused.error().message().find("running"), std::string::npos);
  EXPECT_TRUE(kernel::is_folder(place_.directory))
      << "the second one must not remove what the first one made";
}

TEST_F(GroupTasksTest, AFailedStartLeavesNothing) {
  StartTask task = start();
  ASSERT_TRUE(task.lock().ok());
  task.undo();
  EXPECT_FALSE(kernel::exists(place_.directory));
}

TEST_F(GroupTasksTest, AGroupWithEpochsKeepsItsName) {
  ASSERT_TRUE(kernel::make_private_folder(place_.directory).ok());
  make_epoch();
  StartTask task = start();
  Status refused = task.lock();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kExists);
  EXPECT_NE(refused.error().message().find("1 epoch"), std::string::npos);
  EXPECT_NE(refused.error().remedy().find("restore"), std::string::npos);
  RestoreTask restore(place_, {}, "", CallersStreams::kKeep, {});
  EXPECT_TRUE(restore.lock().ok()) << "and its lock is free again";
}

TEST_F(GroupTasksTest, OnlyAGroupWithoutEpochsLeavesNoFolder) {
  StartTask task = start();
  ASSERT_TRUE(task.lock().ok());
  task.finish();
  EXPECT_FALSE(kernel::exists(place_.directory));

  ASSERT_TRUE(kernel::make_private_folder(place_.directory).ok());
  make_epoch();
  TakeOverTask other(place_);
  ASSERT_TRUE(other.lock().ok());
  other.finish();
  EXPECT_TRUE(kernel::is_folder(place_.directory));
}

TEST_F(GroupTasksTest, AStoreThatIsNotThereIsNotMadeByARestore) {
  RestoreTask task(place_, {}, "", CallersStreams::kKeep, {});
  EXPECT_FALSE(task.lock().ok());
  EXPECT_FALSE(kernel::exists(place_.directory));
}

TEST_F(GroupTasksTest, SettingsOutliveTheEngine) {
  {
    StartTask task = start({.compression = {}, .keep = store::Retention{.newest = 4, .rules = {}}});
    ASSERT_TRUE(task.lock().ok());
    EXPECT_EQ(task.settings().keep->newest, 4u);
  }
  TakeOverTask next(place_);
  ASSERT_TRUE(next.lock().ok());
  EXPECT_EQ(next.settings().keep->newest, 4u);
}

}  // namespace
}  // namespace perdure::daemon
