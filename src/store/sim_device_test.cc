#include "store/sim_device.h"

#include <gtest/gtest.h>

#include "store/format.h"
#include "store/io_queue.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

AlignedBuffer block_of(uint8_t byte) {
  AlignedBuffer buffer(kBlockSize);
  std::memset(buffer.data(), byte, kBlockSize);
  return buffer;
}

Bytes bytes_in(const AlignedBuffer& buffer) { return Bytes(buffer.data(), buffer.size()); }

TEST(SimDisk, WhatWasSyncedSurvives) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto disk = SimDisk::create(seed);
    const auto device = disk->device();
    const auto file = PD_ASSERT_OK(device->open("a", FileMode::kCreate));
    PD_ASSERT_OK(file->write_at(0, bytes_in(block_of(7)), Through::kDirect));
    PD_ASSERT_OK(file->sync());
    PD_ASSERT_OK(device->sync_names());
    disk->power_cycle();
    EXPECT_EQ(disk->content("a"), std::vector<uint8_t>(kBlockSize, 7));
    EXPECT_EQ(file->sync().error().code(), Code::kIo);  // from before the loss
  }
}

TEST(SimDisk, WhatWasNotSyncedSurvivesInEveryWay) {
  bool lost = false, whole = false, torn = false, name_lost = false;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const auto disk = SimDisk::create(seed);
    const auto device = disk->device();
    const auto file = PD_ASSERT_OK(device->open("a", FileMode::kCreate));
    PD_ASSERT_OK(file->write_at(0, bytes_in(block_of(7)), Through::kDirect));
    disk->power_cycle();
    if (disk->names().empty()) {
      name_lost = true;
      continue;
    }
    const std::vector<uint8_t>& content = disk->content("a");
    const auto kept = std::count(content.begin(), content.end(), 7);
    lost = lost || kept == 0;
    whole = whole || kept == static_cast<long>(kBlockSize);
    torn = torn || (kept != 0 && kept != static_cast<long>(kBlockSize));
  }
  EXPECT_TRUE(lost && whole && torn && name_lost);
}

TEST(SimDisk, TheCrashComesAtTheChosenOperation) {
  const auto disk = SimDisk::create(1);
  const auto device = disk->device();
  disk->crash_at(1);
  const auto file = PD_ASSERT_OK(device->open("a", FileMode::kCreate));
  EXPECT_EQ(file->write_at(0, bytes_in(block_of(7)), Through::kDirect).error().code(), Code::kIo);
  EXPECT_TRUE(disk->crashed());
  EXPECT_EQ(device->list().error().code(), Code::kIo);
}

TEST(SimDisk, TheSameSeedGivesTheSameDisk) {
  std::vector<uint8_t> contents[2];
  for (auto& content : contents) {
    const auto disk = SimDisk::create(9);
    const auto device = disk->device();
    const auto file = PD_ASSERT_OK(device->open("a", FileMode::kCreate));
    PD_ASSERT_OK(device->sync_names());
    for (uint8_t at = 0; at < 20; ++at) {
      PD_ASSERT_OK(file->write_at(at * kBlockSize, bytes_in(block_of(at)), Through::kDirect));
    }
    disk->power_cycle();
    content = disk->content("a");
  }
  EXPECT_EQ(contents[0], contents[1]);
}

TEST(SimDisk, AllocationEndsAtTheCapacity) {
  const auto disk = SimDisk::create(1);
  disk->set_capacity(10 * kBlockSize);
  const auto file = PD_ASSERT_OK(disk->device()->open("a", FileMode::kCreate));
  EXPECT_EQ(file->allocate(11 * kBlockSize).error().code(), Code::kFull);
  EXPECT_TRUE(file->allocate(10 * kBlockSize).ok());
}

}  // namespace
}  // namespace perdure::store
