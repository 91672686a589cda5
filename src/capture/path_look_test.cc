#include "capture/path_look.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace perdure::capture {
namespace {

namespace fs = std::filesystem;

class PathLookTest : public ::testing::Test {
 protected:
  PathLookTest() {
    char name[] = "/tmp/path-look-test-XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    root_ = name;
  }
  ~PathLookTest() override { fs::remove_all(root_); }

  fs::path root_;
};

TEST_F(PathLookTest, FindsWhatStatFindsHoweverManyPathsAFolderHas) {
  fs::create_directories(root_ / "some" / "folder");
  std::vector<std::string> paths = {"/", "/nothing/here", "/nothing/there", ".", "", "/tmp/"};
  for (int i = 0; i < 5; ++i) {
    const fs::path file = root_ / "some" / "folder" / std::to_string(i);
    std::ofstream(file) << std::string(static_cast<size_t>(i), 'x');
    paths.push_back(file);
    paths.push_back(file.string() + ".missing");
  }
  fs::create_symlink("folder/3", root_ / "some" / "link");
  fs::create_symlink("nowhere", root_ / "some" / "broken");
  paths.insert(paths.end(), {root_ / "some" / "link", root_ / "some" / "broken", root_ / "some"});
  PathLook look;
  for (int round = 0; round < 2; ++round) {
    for (const std::string& path : paths) {
      struct stat expected = {};
      const bool there = ::stat(path.c_str(), &expected) == 0;
      const struct stat* const found = look.find(path);
      ASSERT_EQ(found != nullptr, there) << path;
      if (!there) continue;
      EXPECT_EQ(found->st_ino, expected.st_ino) << path;
      EXPECT_EQ(found->st_dev, expected.st_dev) << path;
      EXPECT_EQ(found->st_size, expected.st_size) << path;
    }
  }
}

TEST_F(PathLookTest, IsOfOneMoment) {
  const std::string path = root_ / "file";
  PathLook look;
  EXPECT_EQ(look.find(path), nullptr);
  std::ofstream(path) << "x";
  EXPECT_EQ(look.find(path), nullptr);
  EXPECT_NE(PathLook().find(path), nullptr);
}

}  // namespace
}  // namespace perdure::capture
