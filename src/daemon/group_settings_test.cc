#include "daemon/group_settings.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "daemon/note_lines.h"
#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

const store::Retention kRules{.newest = 1,
                              .rules = {{0, 1'000'000'000}, {1'000'000'000, 60'000'000'000}}};

class GroupSettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-settings-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { EXPECT_TRUE(kernel::remove_tree(directory_).ok()); }
  std::string directory_;
};

TEST_F(GroupSettingsTest, WhatIsNotSaidStaysAsItWas) {
  ASSERT_TRUE(change_settings(directory_, {.compression = store::CompressionKind::kZstd,
                                           .keep = store::Retention{.newest = 5, .rules = {}}})
                  .ok());
  ASSERT_TRUE(change_settings(directory_, {.compression = {}, .keep = kRules}).ok());
  GroupSettings settings = read_settings(directory_);
  EXPECT_EQ(settings.compression, store::CompressionKind::kZstd);
  EXPECT_EQ(settings.keep, kRules);
  EXPECT_EQ(change_settings(directory_, {.every_ns = 5'000'000})->keep, kRules);
  EXPECT_EQ(read_settings(directory_).every_ns, 5'000'000u);
}

TEST_F(GroupSettingsTest, ThePortOfFiguresStaysUntilItIsGivenUp) {
  ASSERT_TRUE(change_settings(directory_, {.metrics_port = 9123}).ok());
  ASSERT_TRUE(change_settings(directory_, {.every_ns = 5'000'000}).ok());
  EXPECT_EQ(read_settings(directory_).metrics_port, 9123u);
  ASSERT_TRUE(change_settings(directory_, {.metrics_port = 0}).ok());
  EXPECT_EQ(read_settings(directory_).metrics_port, 0u);
  EXPECT_EQ(read_settings(directory_).every_ns, 5'000'000u);
  ASSERT_TRUE(kernel::write_note(directory_ + "/settings", "metrics_port 65536\n").ok());
  EXPECT_EQ(read_settings(directory_).metrics_port, 0u);
}

TEST_F(GroupSettingsTest, NothingSaidIsNothingWritten) {
  EXPECT_EQ(change_settings(directory_, {})->keep, std::nullopt);
  EXPECT_TRUE(kernel::list_folder(directory_)->empty());
}

TEST_F(GroupSettingsTest, ForeignBytesAreTheDefaults) {
  ASSERT_TRUE(kernel::write_note(directory_ + "/settings", "keep x\nzstd\n\xff").ok());
  EXPECT_EQ(read_settings(directory_).keep, std::nullopt);
  EXPECT_EQ(read_settings(directory_).compression, store::CompressionKind::kNone);
  ASSERT_TRUE(kernel::write_note(directory_ + "/settings", "keep 0\nzstd 1\n").ok());
  EXPECT_EQ(read_settings(directory_).keep, std::nullopt);
  EXPECT_EQ(read_settings(directory_).compression, store::CompressionKind::kZstd);
}

TEST(NoteLines, OnlyAWholeNumberOnALineOfItsOwnCounts) {
  EXPECT_EQ(note_line_number("a 1\nkeep 12\n", "keep"), 12u);
  EXPECT_EQ(note_line_number("keep 12", "keep"), 12u);
  for (const char* text : {"", "keep", "keep ", "keep 1x", "keepx 1", "a keep 1", "keep -1",
                           "keep 99999999999999999999"}) {
    EXPECT_EQ(note_line_number(text, "keep"), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace perdure::daemon
