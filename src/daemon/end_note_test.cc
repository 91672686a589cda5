#include "daemon/end_note.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

class EndNoteTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-end-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { EXPECT_TRUE(kernel::remove_tree(directory_).ok()); }
  std::string directory_;
};

TEST_F(EndNoteTest, ComesBackAsWritten) {
  ASSERT_TRUE(write_end_note(directory_, {EndNote::How::kEnded, 768, 5}).ok());
  auto note = read_end_note(directory_);
  ASSERT_TRUE(note);
  EXPECT_EQ(note->how, EndNote::How::kEnded);
  EXPECT_EQ(note->wait_status, 768);
  EXPECT_EQ(note->realtime_ns, 5u);
  ASSERT_TRUE(write_end_note(directory_, {EndNote::How::kDetached, std::nullopt, 6}).ok());
  EXPECT_EQ(read_end_note(directory_)->how, EndNote::How::kDetached);
  EXPECT_FALSE(read_end_note(directory_)->wait_status);
}

TEST_F(EndNoteTest, ARunningGroupHasNone) {
  EXPECT_FALSE(read_end_note(directory_));
  ASSERT_TRUE(write_end_note(directory_, {}).ok());
  ASSERT_TRUE(remove_end_note(directory_).ok());
  EXPECT_TRUE(remove_end_note(directory_).ok());
  EXPECT_FALSE(read_end_note(directory_));
}

TEST_F(EndNoteTest, ForeignBytesAreNoNote) {
  for (const char* text : {"", "ended", "x\n", "\0\0\0"}) {
    ASSERT_TRUE(kernel::write_note(directory_ + "/ended", text).ok());
    EXPECT_FALSE(read_end_note(directory_)) << text;
  }
  ASSERT_TRUE(
      kernel::write_note(directory_ + "/ended", "ended\nwait_status 99999999999999999999\n").ok());
  EXPECT_FALSE(read_end_note(directory_)->wait_status);
}

}  // namespace
}  // namespace perdure::daemon
