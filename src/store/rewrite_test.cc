#include <gtest/gtest.h>

#include <set>

#include "store/frame.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Model;

std::set<std::string> segments_used(const Store& store) {
  std::set<std::string> used;
  for (const EpochInfo& info : store.epochs()) {
    const auto reader = PD_ASSERT_OK(store.read_epoch(info.epoch));
    for (const ObjectSummary& object : reader->objects()) {
      for (const PageExtent& extent : reader->extents(object.object)) {
        used.insert(segment_name(extent.location.segment));
      }
    }
  }
  return used;
}

// Every other epoch is dropped until most of the log is dead; what is left is moved together.
void compact_and_check(CompressionKind compression) {
  const auto disk = SimDisk::create(1);
  Options options = testing::options_on(disk);
  options.compression = compression;
  const auto store = PD_ASSERT_OK(Store::open(options));
  std::mt19937_64 random(1);
  std::map<uint64_t, Model> models;
  Model model;
  for (uint64_t epoch = 1; epoch <= 200; ++epoch) {
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    PD_ASSERT_OK(testing::change_at_random(random, 8, *writer, model));
    PD_ASSERT_OK(writer->commit({epoch, "note " + std::to_string(epoch)}));
    models[epoch] = model;
  }
  std::vector<Epoch> drop;
  for (uint64_t epoch = 1; epoch <= 200; ++epoch) {
    if (epoch % 40 != 0) drop.push_back(Epoch(epoch));
  }
  const uint64_t before = PD_ASSERT_OK(store->space()).allocated_bytes;
  const CollectReport report = PD_ASSERT_OK(store->drop(drop));
  EXPECT_GT(report.bytes_copied, 0u);
  EXPECT_LT(PD_ASSERT_OK(store->space()).allocated_bytes, before / 2);
  const std::vector<std::string> names = disk->names();
  for (const std::string& name : segments_used(*store)) {
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  }
  ASSERT_EQ(store->epochs().size(), 5u);
  for (const EpochInfo& info : store->epochs()) {
    const auto reader = PD_ASSERT_OK(store->read_epoch(info.epoch));
    EXPECT_EQ(PD_ASSERT_OK(testing::read_model(*reader)), models[info.epoch.value]);
    EXPECT_EQ(info.note, "note " + std::to_string(info.epoch.value));
    EXPECT_EQ(info.captured_realtime_ns, info.epoch.value);
  }
  // The next epoch builds on what was moved.
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  PD_ASSERT_OK(testing::change_at_random(random, 8, *writer, model));
  PD_ASSERT_OK(writer->commit({}));
  const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(201)));
  EXPECT_EQ(PD_ASSERT_OK(testing::read_model(*reader)), model);
}

TEST(Rewrite, EpochsAreTheSameAfterTheyWereMoved) { compact_and_check(CompressionKind::kNone); }

TEST(Rewrite, CompressedEpochsToo) { compact_and_check(CompressionKind::kZstd); }

}  // namespace
}  // namespace perdure::store
