#include "daemon/places.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

using Variables = std::map<std::string, std::string>;

Environment environment_of(const Variables& variables) {
  return [&variables](const char* name) {
    auto at = variables.find(name);
    return at == variables.end() ? nullptr : at->second.c_str();
  };
}

class PlacesTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-places-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    variables_ = {{"PERDURE_STORE", base_ + "/store"}, {"PERDURE_RUNTIME_DIR", base_ + "/run"}};
  }
  void TearDown() override { EXPECT_TRUE(kernel::remove_tree(base_).ok()); }

  Places places() { return Places::find(environment_of(variables_), true, 0).value(); }
  void make_group(const std::string& store, const std::string& name) {
    ASSERT_TRUE(kernel::make_private_folder(store + "/" + name).ok());
  }

  std::string base_;
  Variables variables_;
};

struct DefaultRow {
  Variables variables;
  bool is_root;
  std::string store;
  std::string runtime;
};

TEST(PlacesDefaults, FollowUserAndEnvironment) {
  const DefaultRow table[] = {
      {{{"HOME", "/h"}}, true, "/var/lib/perdure", "/run/perdure"},
      {{{"HOME", "/h"}}, false, "/h/.local/share/perdure", "/tmp/perdure-7"},
      {{{"HOME", "/h"}, {"XDG_DATA_HOME", "/d"}, {"XDG_RUNTIME_DIR", "/r"}},
       false,
       "/d/perdure",
       "/r/perdure"},
      {{{"HOME", "/h"}, {"XDG_DATA_HOME", "relative"}},
       false,
       "/h/.local/share/perdure",
       "/tmp/perdure-7"},
      {{{"PERDURE_STORE", "/s/"}, {"PERDURE_RUNTIME_DIR", "/r/../q"}}, true, "/s", "/q"},
  };
  for (const DefaultRow& row : table) {
    auto places = Places::find(environment_of(row.variables), row.is_root, 7);
    ASSERT_TRUE(places.ok());
    EXPECT_EQ(places->default_store(), row.store);
    EXPECT_EQ(places->runtime(), kernel::canonical_path(row.runtime));
  }
}

TEST(PlacesDefaults, WithoutAHomeTheStoreMustBeNamed) {
  Variables none;
  auto places = Places::find(environment_of(none), false, 7);
  ASSERT_FALSE(places.ok());
  EXPECT_NE(places.error().remedy().find("--store"), std::string::npos);
}

TEST_F(PlacesTest, SocketsOfOneNameInTwoStoresDiffer) {
  EXPECT_NE(places().place("a", base_ + "/one").socket_path,
            places().place("a", base_ + "/two").socket_path);
  EXPECT_EQ(places().place("a", base_ + "/one").socket_path,
            places().place("a", base_ + "/two/../one/").socket_path);
}

TEST_F(PlacesTest, ANamedGroupIsFoundInTheDefaultStore) {
  make_group(base_ + "/store", "redis");
  make_group(base_ + "/store", "web");
  auto found = places().find_group("web", "");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->directory, base_ + "/store/web");
}

TEST_F(PlacesTest, AnAnnouncedGroupIsFoundByNameAlone) {
  make_group(base_ + "/elsewhere", "redis");
  EXPECT_FALSE(places().find_group("redis", "").ok());
  ASSERT_TRUE(places().announce(places().place("redis", base_ + "/elsewhere")).ok());
  auto found = places().find_group("redis", "");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->store, base_ + "/elsewhere");
  places().forget(*found);
  EXPECT_FALSE(places().find_group("redis", "").ok());
}

TEST_F(PlacesTest, ANoteOfARemovedStoreGoesWithIt) {
  make_group(base_ + "/elsewhere", "redis");
  ASSERT_TRUE(places().announce(places().place("redis", base_ + "/elsewhere")).ok());
  ASSERT_TRUE(kernel::remove_tree(base_ + "/elsewhere").ok());
  EXPECT_EQ(places().find_group("redis", "").error().code(), Code::kNotFound);
  EXPECT_TRUE(kernel::list_folder(base_ + "/run")->empty());
}

TEST_F(PlacesTest, AForgedNoteIsPassedOver) {
  make_group(base_ + "/elsewhere", "redis");
  ASSERT_TRUE(kernel::make_private_folder(base_ + "/run").ok());
  ASSERT_TRUE(kernel::write_note(base_ + "/run/redis@0.store", base_ + "/elsewhere").ok());
  ASSERT_TRUE(kernel::write_note(base_ + "/run/..@0.store", "/").ok());
  EXPECT_TRUE(places().groups("")->empty());
}

TEST_F(PlacesTest, TheOnlyGroupNeedsNoName) {
  EXPECT_EQ(places().find_group("", "").error().code(), Code::kNotFound);
  make_group(base_ + "/store", "redis");
  EXPECT_EQ(places().find_group("", "")->name, "redis");
  make_group(base_ + "/store", "web");
  auto found = places().find_group("", "");
  ASSERT_FALSE(found.ok());
  EXPECT_NE(found.error().message().find("redis, web"), std::string::npos);
}

TEST_F(PlacesTest, ANameInTwoStoresMustBeToldApart) {
  make_group(base_ + "/store", "redis");
  make_group(base_ + "/elsewhere", "redis");
  ASSERT_TRUE(places().announce(places().place("redis", base_ + "/elsewhere")).ok());
  EXPECT_EQ(places().find_group("redis", "").error().code(), Code::kInvalid);
  EXPECT_EQ(places().find_group("redis", base_ + "/elsewhere")->store, base_ + "/elsewhere");
}

TEST_F(PlacesTest, ARuntimeFolderThatOthersMayWriteIsRefused) {
  ASSERT_TRUE(kernel::make_private_folder(base_ + "/run").ok());
  ASSERT_EQ(::chmod((base_ + "/run").c_str(), 0777), 0);
  Status status = places().announce(places().place("a", ""));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), Code::kPermission);
}

}  // namespace
}  // namespace perdure::daemon
