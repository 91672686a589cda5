// Stores that were damaged, truncated or come from elsewhere: each gives one clear error, or is
// recovered from.
#include <gtest/gtest.h>

#include <fstream>

#include "store/format.h"
#include "store/frame.h"
#include "store/sim_device.h"
#include "store/store.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Model;
using testing::page_of;
using testing::read_model;

Options on(const std::shared_ptr<SimDisk>& disk, Access access) {
  Options options;
  options.device = disk->device();
  options.access = access;
  options.segment_bytes = 1 << 20;
  return options;
}

// Three epochs; the pages of the first are in all of them, those of the others only in their own.
struct Sample {
  std::shared_ptr<SimDisk> disk = SimDisk::create(1);
  std::vector<Model> models = std::vector<Model>(4);

  Sample() {
    Options options = on(disk, Access::kWrite);
    options.create = Create::kIfMissing;
    const auto store = PD_ASSERT_OK(Store::open(options));
    for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
      models[epoch] = models[epoch - 1];
      const auto writer = PD_ASSERT_OK(store->begin_epoch());
      testing::ModelWriter both(*writer, models[epoch]);
      PD_ASSERT_OK(both.put_record(1, 1, "record of epoch " + std::to_string(epoch)));
      if (epoch == 1) PD_ASSERT_OK(both.put_page(2, 100, page_of(100)));
      PD_ASSERT_OK(both.put_page(2, 5, page_of(epoch)));
      PD_ASSERT_OK(writer->commit({}));
    }
  }
  std::vector<uint8_t>& segment() { return disk->content("segment-00000001"); }
  // Where this page lies in the segment.
  uint64_t offset_of(Epoch epoch, uint64_t page) const {
    const auto store = PD_ASSERT_OK(Store::open(on(disk, Access::kRead)));
    const auto reader = PD_ASSERT_OK(store->read_epoch(epoch));
    return reader->extents(ObjectId(2), page, 1).at(0).location.byte_offset();
  }
};

TEST(Damage, ADamagedPageIsNamedAndOtherEpochsAreNot) {
  Sample sample;
  const uint64_t at = sample.offset_of(Epoch(2), 5);
  sample.segment()[at + 17] ^= 1;
  const auto store = PD_ASSERT_OK(Store::open(on(sample.disk, Access::kRead)));
  const auto bad = PD_ASSERT_OK(store->read_epoch(Epoch(2)));
  const auto read = read_model(*bad);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code(), Code::kCorrupt);
  EXPECT_NE(read.error().message().find("segment-00000001 at byte " + std::to_string(at)),
            std::string::npos)
      << read.error().to_string();
  for (const uint64_t epoch : {1, 3}) {
    const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(epoch)));
    EXPECT_EQ(PD_ASSERT_OK(read_model(*reader)), sample.models[epoch]);
  }
}

// Every epoch either reads as it was or is refused.
void expect_no_invented_data(Store& store, const Sample& original, const std::string& damage) {
  for (const EpochInfo& info : store.epochs()) {
    const auto reader = store.read_epoch(info.epoch);
    if (!reader.ok()) continue;
    const auto model = read_model(**reader);
    if (!model.ok()) continue;
    EXPECT_EQ(*model, original.models[info.epoch.value]) << damage;
  }
}

// Whatever single block is spoilt: no crash, no invented data, and every epoch either reads as it
// was or is refused.
TEST(Damage, EverySpoiltBlockIsNoticedOrHarmless) {
  const Sample original;
  const uint64_t blocks = 40;
  for (uint64_t block = 0; block < blocks; ++block) {
    for (const uint8_t spoilt : {0x00, 0xff}) {
      const auto disk = original.disk->copy(1);
      std::vector<uint8_t>& segment = disk->content("segment-00000001");
      std::fill_n(segment.begin() + static_cast<ptrdiff_t>(block * kBlockSize), kBlockSize, spoilt);
      const auto store = Store::open(on(disk, Access::kWrite));
      if (!store.ok()) {
        EXPECT_EQ(store.error().code(), Code::kCorrupt);
        continue;
      }
      expect_no_invented_data(**store, original, "block " + std::to_string(block));
    }
  }
}

// A damaged frame in the middle costs the epochs that need it, not the ones behind it.
TEST(Damage, EpochsBehindADamagedCommitAreFoundByAWriter) {
  Sample sample;
  const auto disk = sample.disk;
  std::vector<uint8_t>& segment = sample.segment();
  uint64_t first_commit = 0;
  for (uint64_t block = kFirstFrameBlock; first_commit == 0; ++block) {
    const auto header = load_le<FrameHeader>(segment.data() + block * kBlockSize);
    if (header.magic == kFrameMagic && header.kind == 3) first_commit = block;
  }
  segment[first_commit * kBlockSize + 70] ^= 1;
  const auto store = PD_ASSERT_OK(Store::open(on(disk, Access::kWrite)));
  EXPECT_EQ(store->epochs().size(), 2u);
  ASSERT_EQ(store->warnings().size(), 1u);
  EXPECT_NE(store->warnings()[0].find("byte " + std::to_string(first_commit * kBlockSize)),
            std::string::npos);
  // Epochs 2 and 3 are based on the damaged index: refused by name, not half read.
  EXPECT_EQ(store->read_epoch(Epoch(3)).error().code(), Code::kCorrupt);
}

TEST(Damage, AfterACleanEndTheLossOfTheNewestEpochIsReported) {
  Sample sample;
  std::vector<uint8_t>& segment = sample.segment();
  uint64_t last_commit = 0;
  for (uint64_t block = kFirstFrameBlock; block < 60; ++block) {
    const auto header = load_le<FrameHeader>(segment.data() + block * kBlockSize);
    if (header.magic == kFrameMagic && header.kind == 3) last_commit = block;
  }
  for (const uint8_t spoilt : {0, 1}) {
    std::fill_n(segment.begin() + static_cast<ptrdiff_t>(last_commit * kBlockSize), kBlockSize,
                spoilt);
    const auto store = PD_ASSERT_OK(Store::open(on(sample.disk, Access::kRead)));
    EXPECT_EQ(store->epochs().size(), 2u);
    EXPECT_EQ(store->warnings().size(), 1u);
  }
}

TEST(Damage, AnIntactStoreGivesNoWarning) {
  const Sample sample;
  for (const Access access : {Access::kRead, Access::kWrite}) {
    EXPECT_TRUE(PD_ASSERT_OK(Store::open(on(sample.disk, access)))->warnings().empty());
  }
}

TEST(Damage, TruncationCostsOnlyWhatWasCutOff) {
  const Sample original;
  const size_t size = original.disk->copy(1)->content("segment-00000001").size();
  for (size_t keep = 0; keep < std::min<size_t>(size, 40 * kBlockSize); keep += 1777) {
    const auto disk = original.disk->copy(1);
    disk->content("segment-00000001").resize(keep);
    const auto store = Store::open(on(disk, Access::kRead));
    if (!store.ok()) {
      EXPECT_TRUE(store.error().code() == Code::kCorrupt ||
                  store.error().code() == Code::kNotFound);
      continue;
    }
    expect_no_invented_data(**store, original, "cut at byte " + std::to_string(keep));
  }
}

TEST(Damage, ANewerVersionIsRefusedByName) {
  Sample sample;
  store_le(sample.segment().data() + offsetof(SegmentHeader, version), uint32_t{2});
  for (const Access access : {Access::kRead, Access::kWrite}) {
    const auto store = Store::open(on(sample.disk, access));
    ASSERT_FALSE(store.ok());
    EXPECT_EQ(store.error().code(), Code::kNewer);
    EXPECT_NE(store.error().message().find("version 2"), std::string::npos);
    EXPECT_FALSE(store.error().remedy().empty());
  }
}

TEST(Damage, ASegmentOfAnotherStoreIsNotMixedIn) {
  Sample sample;
  const auto other = SimDisk::create(2);
  Options options = on(other, Access::kWrite);
  options.create = Create::kIfMissing;
  {
    const auto store = PD_ASSERT_OK(Store::open(options));
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    PD_ASSERT_OK(writer->put_record(ObjectId(1), 1, testing::bytes_of_text("intruder")));
    PD_ASSERT_OK(writer->commit({}));
  }
  sample.segment() = other->content("segment-00000001");
  const auto mixed = Store::open(on(sample.disk, Access::kRead));
  ASSERT_TRUE(mixed.ok());  // it is the other store now, whole
  EXPECT_EQ((*mixed)->epochs().size(), 1u);
}

TEST(Damage, AMissingSegmentIsNamed) {
  const auto disk = SimDisk::create(1);
  Options options = on(disk, Access::kWrite);
  options.create = Create::kIfMissing;
  options.segment_bytes = 256 << 10;
  {
    const auto store = PD_ASSERT_OK(Store::open(options));
    for (uint64_t epoch = 0; epoch < 4; ++epoch) {
      const auto writer = PD_ASSERT_OK(store->begin_epoch());
      for (uint64_t page = 0; page < 30; ++page) {
        PD_ASSERT_OK(writer->put_pages(ObjectId(1), epoch * 30 + page, page_of(page)));
      }
      PD_ASSERT_OK(writer->commit({}));
    }
  }
  const auto device = disk->device();
  PD_ASSERT_OK(device->remove("segment-00000001"));
  const auto store = PD_ASSERT_OK(Store::open(on(disk, Access::kRead)));
  ASSERT_TRUE(store->newest().has_value());
  const auto reader = store->read_epoch(store->newest()->epoch);
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.error().code(), Code::kCorrupt);
  EXPECT_NE(reader.error().message().find("segment-00000001 is missing"), std::string::npos)
      << reader.error().to_string();
}

}  // namespace
}  // namespace perdure::store
