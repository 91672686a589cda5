#include "store/collect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "store/sim_device.h"
#include "store/store.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Model;
using testing::read_model;

constexpr uint64_t kSegment = 256 << 10;

Options on(const std::shared_ptr<SimDisk>& disk) {
  Options options;
  options.device = disk->device();
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  options.segment_bytes = kSegment;
  return options;
}

void commit_random(Store& store, std::mt19937_64& random, Model& model) {
  const auto writer = PD_ASSERT_OK(store.begin_epoch());
  PD_ASSERT_OK(testing::change_at_random(random, 10, *writer, model));
  PD_ASSERT_OK(writer->commit({}));
}

void expect_models(const Store& store, const std::map<uint64_t, Model>& models) {
  for (const EpochInfo& info : store.epochs()) {
    const auto reader = PD_ASSERT_OK(store.read_epoch(info.epoch));
    ASSERT_EQ(PD_ASSERT_OK(read_model(*reader)), models.at(info.epoch.value)) << info.epoch.value;
  }
}

TEST(Collect, SpaceStaysBoundedWhateverIsWritten) {
  const auto disk = SimDisk::create(1);
  Options options = on(disk);
  options.writing = Writing::kInline;  // a step of collecting at each retain()
  const auto store = PD_ASSERT_OK(Store::open(options));
  std::mt19937_64 random(1);
  std::map<uint64_t, Model> models;
  Model model;
  uint64_t written = 0, copied = 0, deleted = 0;
  for (int epoch = 1; epoch <= 600; ++epoch) {
    commit_random(*store, random, model);
    models[store->newest()->epoch.value] = model;
    written += store->newest()->bytes_written;
    const CollectReport report = PD_ASSERT_OK(store->retain({5, {}}));
    copied += report.bytes_copied;
    deleted += report.segments_deleted;
    EXPECT_EQ(store->epochs().size(), std::min<size_t>(static_cast<size_t>(epoch), 5));
  }
  const CollectReport report = PD_ASSERT_OK(store->drop({}));
  const SpaceReport space = PD_ASSERT_OK(store->space());
  EXPECT_GT(deleted, 20u);
  EXPECT_GT(copied, 0u);
  EXPECT_LT(copied, written);  // write amplification below 2
  EXPECT_LE(2 * space.allocated_bytes, 3 * report.live_bytes + 8 * kSegment);
  expect_models(*store, models);
}

// The model of what may be freed: nothing that any kept epoch reads.
TEST(Collect, NoKeptEpochEverLosesAnything) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const auto disk = SimDisk::create(seed);
    std::mt19937_64 random(seed);
    std::map<uint64_t, Model> models;
    for (int life = 0; life < 4; ++life) {
      const auto store = PD_ASSERT_OK(Store::open(on(disk)));
      expect_models(*store, models);
      for (int step = 0; step < 40; ++step) {
        const auto epochs = store->epochs();
        Store::Begin begin;
        if (!epochs.empty() && random() % 5 == 0)
          begin.parent = epochs[random() % epochs.size()].epoch;
        const auto writer = PD_ASSERT_OK(store->begin_epoch(begin));
        Model model;
        if (writer->parent().value != 0) model = models[writer->parent().value];
        PD_ASSERT_OK(testing::change_at_random(random, 8, *writer, model));
        models[writer->epoch().value] = model;
        PD_ASSERT_OK(writer->commit({}));
        if (step % 7 != 6) continue;
        std::vector<Epoch> drop;
        for (const EpochInfo& info : store->epochs()) {
          if (random() % 2 == 0) drop.push_back(info.epoch);
        }
        PD_ASSERT_OK(store->drop(drop));
        expect_models(*store, models);
        const ScrubReport scrubbed = PD_ASSERT_OK(store->scrub({}));
        EXPECT_TRUE(scrubbed.damage.empty());
      }
    }
  }
}

// An epoch that changes few of 64 pages, so that what it leaves behind is soon dead, and some that
// stay.
Result<PendingEpoch> submit_hot(Store& store, std::mt19937_64& random, Model& model) {
  const auto writer = PD_TRY(store.begin_epoch());
  testing::ModelWriter both(*writer, model);
  for (int at = 0; at < 10; ++at) {
    PD_TRY(both.put_page(7, random() % 64, testing::page_of(random())));
  }
  if (random() % 8 == 0) PD_TRY(both.share_pages(8, random() % 64, 4, 7, random() % 64));
  PD_TRY(testing::change_at_random(random, 1, *writer, model));
  return writer->submit({});
}

class CollectBeside : public ::testing::TestWithParam<Writing> {
 protected:
  Options options() const {
    Options options = on(disk_);
    options.writing = GetParam();
    return options;
  }
  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
};

// The model of what may be freed, with epochs in flight and readers open: nothing that a kept epoch
// or a reader reads.
TEST_P(CollectBeside, NoKeptEpochAndNoReaderEverLosesAnything) {
  std::mt19937_64 random(1);
  std::map<uint64_t, Model> models;
  std::vector<std::unique_ptr<EpochReader>> readers;
  Model model;
  CollectReport all;
  for (int life = 0; life < 3; ++life) {
    const auto store = PD_ASSERT_OK(Store::open(options()));
    expect_models(*store, models);
    for (int step = 0; step < 400; ++step) {
      auto pending = PD_ASSERT_OK(submit_hot(*store, random, model));
      models[pending.epoch().value] = model;
      const CollectReport report = PD_ASSERT_OK(store->retain({2 + random() % 8, {}}));
      all.segments_deleted += report.segments_deleted;
      all.bytes_copied += report.bytes_copied;
      if (step % 20 != 19) continue;
      PD_ASSERT_OK(pending.wait());
      expect_models(*store, models);
      readers.push_back(PD_ASSERT_OK(store->read_epoch(store->newest()->epoch)));
      if (readers.size() > 4) readers.erase(readers.begin());
      for (const auto& reader : readers) {
        ASSERT_EQ(PD_ASSERT_OK(read_model(*reader)), models.at(reader->info().epoch.value));
      }
    }
    EXPECT_TRUE(PD_ASSERT_OK(store->scrub({})).damage.empty());
  }
  EXPECT_GT(all.segments_deleted, 20u);
  if (GetParam() == Writing::kInline) {
    EXPECT_GT(all.bytes_copied, 100'000u);
  }
}

// A branch while the collector is at work makes its copies useless; a drop() ends its pass.
TEST_P(CollectBeside, BranchesAndDropsInBetweenAreSafe) {
  std::mt19937_64 random(2);
  std::map<uint64_t, Model> models;
  const auto store = PD_ASSERT_OK(Store::open(options()));
  Model model;
  for (int step = 0; step < 600; ++step) {
    auto pending = PD_ASSERT_OK(submit_hot(*store, random, model));
    models[pending.epoch().value] = model;
    PD_ASSERT_OK(store->retain({4, {}}));
    if (step % 10 == 9) PD_ASSERT_OK(pending.wait());
    if (step % 30 == 29) {
      const auto epochs = store->epochs();
      const Epoch parent = epochs[random() % epochs.size()].epoch;
      model = models.at(parent.value);
      const auto writer = PD_ASSERT_OK(store->begin_epoch({parent, Contents::kInherit}));
      PD_ASSERT_OK(store->retain({4, {}}));  // while it is being filled
      PD_ASSERT_OK(testing::change_at_random(random, 2, *writer, model));
      models[writer->epoch().value] = model;
      PD_ASSERT_OK(writer->submit({}));
    }
    if (step % 60 == 59) PD_ASSERT_OK(store->drop({store->epochs().front().epoch}));
    if (step % 40 == 0) expect_models(*store, models);
  }
  expect_models(*store, models);
  EXPECT_TRUE(PD_ASSERT_OK(store->scrub({})).damage.empty());
}

TEST_P(CollectBeside, SpaceStaysBoundedWithoutAnybodyWaiting) {
  std::mt19937_64 random(3);
  const auto store = PD_ASSERT_OK(Store::open(options()));
  Model model;
  uint64_t written = 0, copied = 0, most = 0;
  for (int step = 0; step < 2000; ++step) {
    auto pending = PD_ASSERT_OK(submit_hot(*store, random, model));
    if (step % 10 == 0) written += 10 * PD_ASSERT_OK(pending.wait()).bytes_written;
    copied += PD_ASSERT_OK(store->retain({5, {}})).bytes_copied;
    if (GetParam() == Writing::kInline) {
      most = std::max(most, PD_ASSERT_OK(store->space()).allocated_bytes);
    }
  }
  EXPECT_LT(copied, written);  // write amplification below 2
  const uint64_t live = PD_ASSERT_OK(store->drop({})).live_bytes;
  // What is dead until it is worth a pass, and what comes while that is under way. A third of such
  // small segments is not for epochs.
  EXPECT_LT(most, 4 * live + 16 * kSegment);
}

INSTANTIATE_TEST_SUITE_P(Writings, CollectBeside,
                         ::testing::Values(Writing::kInline, Writing::kBehind));

TEST(Collect, EpochsAreToComeMoreSlowlyUntilTheCollectorHasCaughtUp) {
  const auto disk = SimDisk::create(1);
  Options options = on(disk);
  options.writing = Writing::kInline;
  const auto store = PD_ASSERT_OK(Store::open(options));
  std::mt19937_64 random(5);
  Model model;
  for (int step = 0; step < 100; ++step) {
    PD_ASSERT_OK(PD_ASSERT_OK(submit_hot(*store, random, model)).wait());
  }
  PD_ASSERT_OK(store->drop({}));
  EXPECT_EQ(store->in_flight().slowdown, 1);  // all of it is needed
  double most = 1;
  for (int step = 0; step < 20; ++step) {
    PD_ASSERT_OK(store->retain({1, {}}));
    most = std::max(most, store->in_flight().slowdown);
    PD_ASSERT_OK(PD_ASSERT_OK(submit_hot(*store, random, model)).wait());
  }
  EXPECT_EQ(most, kSlowdownMax);
  EXPECT_EQ(store->in_flight().slowdown, 1);
}

// Lives that end with the power, long before a writer has forgotten enough for a pass.
class ShortLives : public ::testing::TestWithParam<uint64_t> {
 protected:
  Options options() const {
    Options options = on(disk_);
    options.writing = Writing::kInline;
    options.segment_bytes = GetParam();
    return options;
  }
  uint64_t segment_bytes() const { return GetParam() != 0 ? GetParam() : kSegmentBytesMin; }

  Status live() {
    const auto store = PD_TRY(Store::open(options()));
    expect_models(*store, models_);
    Model model;
    if (store->newest()) model = models_.at(store->newest()->epoch.value);
    for (;;) {
      auto pending = PD_TRY(submit_hot(*store, random_, model));
      models_[pending.epoch().value] = model;  // from here on it may be found
      PD_TRY(pending.wait());
      PD_TRY(store->retain({5, {}}));
      most_ = std::max(most_, PD_TRY(store->space()).allocated_bytes);
    }
  }

  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
  std::mt19937_64 random_{4};
  std::map<uint64_t, Model> models_;
  uint64_t most_ = 0;
};

TEST_P(ShortLives, SpaceStaysBoundedFromCrashToCrash) {
  for (int number = 0; number < 60; ++number) {
    disk_->crash_at(disk_->operations() + 20 + random_() % 100);
    const Status status = live();
    ASSERT_TRUE(disk_->crashed()) << status.error().to_string();
    disk_->power_cycle();
  }
  const auto store = PD_ASSERT_OK(Store::open(options()));
  expect_models(*store, models_);
  const uint64_t live = PD_ASSERT_OK(store->drop({})).live_bytes;
  EXPECT_LT(most_, 2 * live + 20 * segment_bytes());
}

INSTANTIATE_TEST_SUITE_P(SegmentSizes, ShortLives, ::testing::Values(kSegment, 0));

// For whoever made it, time stands still; for everybody else each look at it takes a second. So the
// collector works, but its rest after that never ends.
class EndlessRestClock final : public Clock {
 public:
  uint64_t monotonic_ns() const override {
    return std::this_thread::get_id() == owner_ ? 0 : ++looks_ * 1'000'000'000;
  }
  uint64_t realtime_ns() const override { return 0; }

 private:
  std::thread::id owner_ = std::this_thread::get_id();
  mutable std::atomic<uint64_t> looks_ = 0;
};

// The rest would be longer than many a life.
TEST(Collect, AWriterThatFindsAStoreDoesNotRestBeforeItsFirstCopies) {
  testing::TemporaryDirectory directory;
  const EndlessRestClock clock;
  Options options;
  options.directory = directory.path();
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  options.segment_bytes = 2 * kSegment;
  options.clock = &clock;
  std::mt19937_64 random(3);
  Model model;
  auto store = PD_ASSERT_OK(Store::open(options));
  for (int epoch = 0; epoch < 40; ++epoch) commit_random(*store, random, model);
  store.reset();
  store = PD_ASSERT_OK(Store::open(options));
  commit_random(*store, random, model);
  CollectReport report;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (report.bytes_copied == 0 && std::chrono::steady_clock::now() < end) {
    const CollectReport more = PD_ASSERT_OK(store->retain({5, {}}));
    report.segments_deleted += more.segments_deleted;
    report.bytes_copied += more.bytes_copied;
  }
  EXPECT_GT(report.segments_deleted, 0u);
  EXPECT_GT(report.bytes_copied, 0u);
}

TEST(Collect, AnOpenReaderKeepsWhatItReads) {
  testing::TemporaryDirectory directory;
  Options options;
  options.directory = directory.path();
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  options.segment_bytes = kSegment;
  const auto store = PD_ASSERT_OK(Store::open(options));
  std::mt19937_64 random(3);
  Model model;
  for (int epoch = 0; epoch < 20; ++epoch) commit_random(*store, random, model);
  const Model then = model;
  const Epoch epoch = store->newest()->epoch;
  const auto reader = PD_ASSERT_OK(store->read_epoch(epoch));
  for (int step = 0; step < 60; ++step) commit_random(*store, random, model);
  const CollectReport report = PD_ASSERT_OK(store->drop(epochs_to_drop(store->epochs(), {1, {}})));
  EXPECT_GT(report.segments_deleted, 0u);
  EXPECT_EQ(PD_ASSERT_OK(read_model(*reader)), then);
  EXPECT_EQ(store->read_epoch(epoch).error().code(), Code::kNotFound);
}

TEST(Collect, ADroppedEpochCannotBecomeAParent) {
  const auto disk = SimDisk::create(1);
  const auto store = PD_ASSERT_OK(Store::open(on(disk)));
  std::mt19937_64 random(3);
  Model model;
  for (int epoch = 0; epoch < 3; ++epoch) commit_random(*store, random, model);
  PD_ASSERT_OK(store->drop({Epoch(3)}));
  EXPECT_EQ(store->begin_epoch({Epoch(3), Contents::kInherit}).error().code(), Code::kNotFound);
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  EXPECT_EQ(writer->parent(), Epoch(2));
  EXPECT_EQ(writer->epoch(), Epoch(4));  // numbers are not used twice
}

void retain_on_full_disk(uint64_t seed) {
  const auto disk = SimDisk::create(seed);
  disk->set_capacity((12 + seed) * kSegment);
  const auto store = PD_ASSERT_OK(Store::open(on(disk)));
  std::mt19937_64 random(seed);
  std::map<uint64_t, Model> models;
  Model model;
  for (;;) {
    Model next = model;
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    Status status = testing::change_at_random(random, 10, *writer, next);
    if (status.ok()) {
      const auto info = writer->commit({});
      if (info.ok()) {
        models[info->epoch.value] = model = next;
        continue;
      }
      status = info.error();
    }
    ASSERT_EQ(status.error().code(), Code::kFull) << status.error().to_string();
    EXPECT_FALSE(status.error().remedy().empty());
    break;
  }
  ASSERT_FALSE(models.empty());
  expect_models(*store, models);
  PD_ASSERT_OK(store->drop(epochs_to_drop(store->epochs(), {1, {}})));
  expect_models(*store, models);
  commit_random(*store, random, model);
  models[store->newest()->epoch.value] = model;
  expect_models(*store, models);
}

TEST(Collect, RetentionWorksOnAFullDisk) {
  for (uint64_t seed = 1; seed <= 10; ++seed) retain_on_full_disk(seed);
}

}  // namespace
}  // namespace perdure::store
