// An epoch that is abandoned right behind a catalog that no sync has covered yet: dropping the
// epoch must not drop what the log knows of the catalog.
#include <gtest/gtest.h>

#include "store/store.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::options_on;
using testing::page_of;

// So many commits make a catalog due.
constexpr uint64_t kCommits = 64;

Status commit_page(Store& store, uint64_t page) {
  const auto writer = PD_TRY(store.begin_epoch());
  PD_TRY(writer->put_pages(ObjectId(1), page, page_of(page)));
  PD_TRY(writer->commit({}));
  return Ok{};
}

// The last commit leaves a catalog in the queue.
Status commit_until_a_catalog(Store& store) {
  for (uint64_t page = 1; page <= kCommits; ++page) PD_TRY(commit_page(store, page));
  return Ok{};
}

Status abandon(Store& store) {
  const auto writer = PD_TRY(store.begin_epoch());
  return writer->put_pages(ObjectId(1), 1000, page_of(1000));
}

// What follows: the end of the store, or one more epoch.
enum class Then : uint8_t { kClose, kCommit };

// The epochs that were acknowledged.
uint64_t live(const std::shared_ptr<SimDisk>& disk, Then then) {
  const auto store = PD_ASSERT_OK(Store::open(options_on(disk, 4 << 20)));
  EXPECT_TRUE(commit_until_a_catalog(*store).ok());
  const Status abandoned = abandon(*store);
  if (then == Then::kClose || !abandoned.ok()) return kCommits;
  return commit_page(*store, kCommits + 1).ok() ? kCommits + 1 : kCommits;
}

void crash_at_every_write_behind_the_catalog(Then then) {
  const auto undisturbed = SimDisk::create(1);
  uint64_t begin = 0;
  {
    const auto store = PD_ASSERT_OK(Store::open(options_on(undisturbed, 4 << 20)));
    ASSERT_TRUE(commit_until_a_catalog(*store).ok());
    begin = undisturbed->operations();
  }
  const auto whole = SimDisk::create(1);
  live(whole, then);
  ASSERT_GT(whole->operations(), begin + 3);  // catalog, anchors, sync
  for (uint64_t crash = begin; crash < whole->operations(); ++crash) {
    for (uint64_t seed = 0; seed < 12; ++seed) {
      const auto disk = SimDisk::create(seed);
      disk->crash_at(crash);
      const uint64_t acknowledged = live(disk, then);
      disk->power_cycle();
      const auto store = PD_ASSERT_OK(Store::open(options_on(disk)));
      const std::string where = "seed " + std::to_string(seed) + " crash " + std::to_string(crash);
      ASSERT_TRUE(store->warnings().empty()) << where << ": " << store->warnings().front();
      ASSERT_GE(store->epochs().size(), acknowledged) << where;
    }
  }
}

TEST(Abandon, ACrashWhileTheStoreIsClosedBehindItIsNoDamage) {
  crash_at_every_write_behind_the_catalog(Then::kClose);
}

TEST(Abandon, ACrashDuringTheNextCommitIsNoDamage) {
  crash_at_every_write_behind_the_catalog(Then::kCommit);
}

// Abandoning executes what is queued: were its failure forgotten, the log would go on behind a hole
// that a reader does not look behind.
TEST(Abandon, AFailureOfWhatWasQueuedBeforeItIsNotForgotten) {
  for (uint64_t failing = 0; failing < 2; ++failing) {  // the catalog, its anchor
    const auto disk = SimDisk::create(1);
    const auto store = PD_ASSERT_OK(Store::open(options_on(disk, 4 << 20)));
    ASSERT_TRUE(commit_until_a_catalog(*store).ok());
    disk->fail_at(disk->operations() + failing, Code::kIo);
    ASSERT_TRUE(abandon(*store).ok());
    ASSERT_TRUE(commit_page(*store, kCommits + 1).ok());

    Options reading;
    reading.device = disk->copy(1)->device();
    const auto reader = PD_ASSERT_OK(Store::open(reading));
    EXPECT_TRUE(reader->warnings().empty());
    ASSERT_TRUE(reader->newest().has_value());
    EXPECT_EQ(reader->newest()->epoch, Epoch(kCommits + 1));
  }
}

}  // namespace
}  // namespace perdure::store
