#include "store/collect.h"

#include <gtest/gtest.h>

#include <set>

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
  const auto store = PD_ASSERT_OK(Store::open(on(disk)));
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
  EXPECT_LE(space.allocated_bytes, 2 * report.live_bytes + 4 * kSegment);
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
