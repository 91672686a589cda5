#include "kernel/folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

namespace perdure::kernel {
namespace {

class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-folder-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(base_).ok()); }
  std::string base_;
};

TEST_F(FolderTest, MadeFoldersArePrivateAndNested) {
  std::string deep = base_ + "/a/b/c";
  ASSERT_TRUE(make_private_folder(deep).ok());
  EXPECT_TRUE(make_private_folder(deep).ok());
  EXPECT_TRUE(check_own_folder(deep).ok());
  struct stat status;
  ASSERT_EQ(::stat(deep.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(FolderTest, AFileInTheWayIsNamed) {
  ASSERT_TRUE(write_note(base_ + "/file", "x").ok());
  Status made = make_private_folder(base_ + "/file/sub");
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().message().find(base_ + "/file"), std::string::npos);
  EXPECT_FALSE(make_private_folder(base_ + "/file").ok());
}

TEST_F(FolderTest, AFolderThatOthersMayWriteIsNotOurs) {
  ASSERT_EQ(::chmod(base_.c_str(), 0770), 0);
  EXPECT_EQ(check_own_folder(base_).error().code(), Code::kPermission);
  ASSERT_EQ(::symlink("/tmp", (base_ + "/link").c_str()), 0);
  EXPECT_FALSE(check_own_folder(base_ + "/link").ok());
}

TEST_F(FolderTest, NotesAreReplacedWhole) {
  std::string path = base_ + "/note";
  ASSERT_TRUE(write_note(path, "long content").ok());
  ASSERT_TRUE(write_note(path, "short").ok());
  EXPECT_EQ(read_note(path).value(), "short");
  EXPECT_EQ(read_note(base_ + "/none").error().code(), Code::kNotFound);
  EXPECT_EQ(list_folder(base_).value(), std::vector<std::string>{"note"});
  ASSERT_EQ(::symlink(path.c_str(), (base_ + "/link").c_str()), 0);
  EXPECT_FALSE(read_note(base_ + "/link").ok()) << "a link is not followed";
}

TEST_F(FolderTest, ListsSortedAndNothingWhereNothingIs) {
  for (const char* name : {"b", "a"}) ASSERT_TRUE(write_note(base_ + "/" + name, "").ok());
  EXPECT_EQ(list_folder(base_).value(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(list_folder(base_ + "/none")->empty());
}

TEST_F(FolderTest, RemovingATreeLeavesWhatLinksPointTo) {
  ASSERT_TRUE(make_private_folder(base_ + "/tree").ok());
  ASSERT_TRUE(write_note(base_ + "/kept", "x").ok());
  ASSERT_EQ(::symlink((base_ + "/kept").c_str(), (base_ + "/tree/link").c_str()), 0);
  ASSERT_TRUE(remove_tree(base_ + "/tree").ok());
  EXPECT_FALSE(exists(base_ + "/tree"));
  EXPECT_TRUE(exists(base_ + "/kept"));
  EXPECT_TRUE(remove_tree(base_ + "/tree").ok());
}

TEST_F(FolderTest, CanonicalPathsAreAbsoluteAndWithoutLinks) {
  ASSERT_EQ(::symlink(base_.c_str(), (base_ + "/self").c_str()), 0);
  EXPECT_EQ(canonical_path(base_ + "/self/x/../y/"), canonical_path(base_) + "/y");
  EXPECT_EQ(canonical_path("/"), "/");
  EXPECT_EQ(canonical_path("relative").front(), '/');
}

}  // namespace
}  // namespace perdure::kernel
