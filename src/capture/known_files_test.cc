#include "capture/known_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <unistd.h>

#include <map>

namespace perdure::capture {
namespace {

constexpr int64_t kNowNs = 1'000'000'000'000, kMs = 1'000'000;
const ObjectId kId{7};

kernel::FileImage some_image() {
  kernel::FileImage image;
  image.fd = 5;
  image.file = 0xffff'8880'0000'1000;
  image.flags = O_RDWR;
  image.position = 10;
  image.inode = 99;
  image.mode = S_IFREG | 0600;
  image.device = 3;
  image.magic = EXT4_SUPER_MAGIC;
  image.size = 20;
  image.ctime_ns = kNowNs - 2000 * kMs;
  return image;
}

// A capture that looks at the file, and gives its record back.
bool look_at(KnownFiles& known, const kernel::FileImage& image, int64_t now_ns = kNowNs) {
  PathLook paths;
  known.begin(now_ns);
  known.note(image.file, "/tmp/file");
  const bool kept = known.keep(image, ::getpid(), kId, "key", &paths) != nullptr;
  known.end();
  std::map<ObjectId, object::OpenFile> records;
  records[kId].mutable_regular()->set_offset(image.position);
  known.take_back(&records);
  return kept;
}

bool holds(KnownFiles& known, const kernel::FileImage& image, pid_t holder = ::getpid()) {
  PathLook paths;
  return known.find(image, holder, &paths) != nullptr;
}

TEST(KnownFiles, HoldWhileTheImageIsTheSame) {
  KnownFiles known;
  EXPECT_FALSE(holds(known, some_image()));
  EXPECT_TRUE(look_at(known, some_image()));
  EXPECT_TRUE(holds(known, some_image()));
  EXPECT_FALSE(holds(known, some_image(), ::getppid()));
  const auto expect_gone = [&](auto change) {
    kernel::FileImage image = some_image();
    change(image);
    EXPECT_FALSE(holds(known, image));
  };
  expect_gone([](auto& image) { image.fd = 6; });
  expect_gone([](auto& image) { image.file += 256; });
  expect_gone([](auto& image) { image.flags |= O_APPEND; });
  expect_gone([](auto& image) { image.owned = true; });
  expect_gone([](auto& image) { image.locks = true; });
  expect_gone([](auto& image) { ++image.inode; });
  expect_gone([](auto& image) { ++image.size; });
  expect_gone([](auto& image) { image.mode = S_IFREG | 0400; });
  expect_gone([](auto& image) { ++image.device; });
  expect_gone([](auto& image) { image.magic = XFS_SUPER_MAGIC; });
  expect_gone([](auto& image) { ++image.ctime_ns; });
}

TEST(KnownFiles, ARecentChangeMayNotBeTheLast) {
  for (const int64_t age_ms : {-5, 0, 10, 900}) {
    KnownFiles known;
    kernel::FileImage image = some_image();
    image.ctime_ns = kNowNs - age_ms * kMs;
    EXPECT_FALSE(look_at(known, image)) << age_ms;
    EXPECT_FALSE(holds(known, image)) << age_ms;
    EXPECT_TRUE(look_at(known, image, kNowNs + 1100 * kMs)) << age_ms;
    EXPECT_TRUE(holds(known, image)) << age_ms;
  }
}

TEST(KnownFiles, OtherFileSystemsAndUnknownTimesAreNotBelieved) {
  KnownFiles known;
  kernel::FileImage image = some_image();
  image.magic = NFS_SUPER_MAGIC;
  EXPECT_FALSE(look_at(known, image));
  image = some_image();
  image.ctime_ns = 0;
  EXPECT_FALSE(look_at(known, image));
  EXPECT_EQ(*known.link_of(image.file), "/tmp/file");
}

TEST(KnownFiles, ARecordIsLentOnceAndANewPositionIsANewVersion) {
  KnownFiles known;
  const kernel::FileImage image = some_image();
  ASSERT_TRUE(look_at(known, image));
  PathLook paths;
  const auto lend = [&](uint64_t position) {
    known.begin(kNowNs);
    KnownFiles::File* const file = known.find(image, ::getpid(), &paths);
    EXPECT_NE(file, nullptr);
    std::map<ObjectId, object::OpenFile> records;
    records[kId] = known.lend(file, kId, position);
    EXPECT_EQ(records[kId].regular().offset(), position);
    EXPECT_FALSE(holds(known, image)) << "it is lent";
    known.end();
    known.take_back(&records);
    return file->version();
  };
  const uint64_t version = lend(10);
  EXPECT_EQ(lend(10), version);
  const uint64_t next = lend(20);
  EXPECT_NE(next, version);
  EXPECT_EQ(lend(20), next);
  // A capture that failed: nothing came back.
  known.begin(kNowNs);
  (void)known.lend(known.find(image, ::getpid(), &paths), kId, 20);
  known.begin(kNowNs);
  EXPECT_FALSE(holds(known, image));
}

TEST(KnownFiles, WhatACaptureDidNotMeetIsForgotten) {
  KnownFiles known;
  ASSERT_TRUE(look_at(known, some_image()));
  kernel::FileImage other = some_image();
  other.file += 256;
  ASSERT_TRUE(look_at(known, other));
  EXPECT_FALSE(holds(known, some_image()));
  EXPECT_EQ(known.link_of(some_image().file), nullptr);
  EXPECT_TRUE(holds(known, other));
}

}  // namespace
}  // namespace perdure::capture
