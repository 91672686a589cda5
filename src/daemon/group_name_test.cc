#include "daemon/group_name.h"

#include <gtest/gtest.h>

#include <set>

namespace perdure::daemon {
namespace {

TEST(GroupName, GoodOnesPass) {
  for (const char* name : {"redis", "a", "web-1", "_x", "node.js", "7zip", "A_b-c.d"}) {
    EXPECT_TRUE(check_group_name(name).ok()) << name;
  }
  EXPECT_TRUE(check_group_name(std::string(kGroupNameBytesMax, 'x')).ok());
}

TEST(GroupName, BadOnesAreRefusedWithTheRule) {
  const std::string table[] = {
      "",     ".",    "..",      "-x", "a/b",     "a b",
      "1234", "a\nb", "\x1b[0m", "né", ".hidden", std::string(kGroupNameBytesMax + 1, 'x')};
  for (const std::string& name : table) {
    Status status = check_group_name(name);
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_EQ(status.error().code(), Code::kInvalid);
    EXPECT_NE(status.error().remedy().find("letters"), std::string::npos);
  }
}

struct Row {
  const char* command;
  const char* name;
};

TEST(GroupName, ComesFromTheCommand) {
  const Row table[] = {{"redis-server", "redis-server"},
                       {"/usr/bin/python3.11", "python3.11"},
                       {"./a b", "a-b"},
                       {"", "group"},
                       {"/", "group"},
                       {"--", "group"},
                       {"42", "group-42"},
                       {"-login", "login"}};
  for (const Row& row : table) {
    std::string name = name_for_command(row.command, [](const std::string&) { return false; });
    EXPECT_EQ(name, row.name) << row.command;
    EXPECT_TRUE(check_group_name(name).ok()) << name;
  }
}

TEST(GroupName, ATakenNameGetsANumber) {
  std::set<std::string> taken = {"sleep", "sleep-2"};
  EXPECT_EQ(
      name_for_command("sleep", [&](const std::string& name) { return taken.count(name) > 0; }),
      "sleep-3");
}

TEST(GroupName, ALongCommandStillGivesAGoodName) {
  int asked = 0;
  std::string name =
      name_for_command(std::string(300, 'y'), [&](const std::string&) { return ++asked < 1000; });
  EXPECT_TRUE(check_group_name(name).ok()) << name;
}

}  // namespace
}  // namespace perdure::daemon
