// For tests: a group of real processes with a store of its own, from its start to its loss.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "engine/core_file.h"
#include "engine/group.h"
#include "store/store.h"

namespace perdure::engine {

inline void expect_ok(const Result<CheckpointReport>& report) {
  ASSERT_TRUE(report.ok()) << report.error().to_string();
}

class GroupTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/perdure_group_test.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    folder_ = path;
    null_ = open_null();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Fd open_null() { return Fd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC)); }

  std::unique_ptr<store::Store> open_store() {
    store::Options options;
    options.directory = folder_ + "/group";
    options.access = store::Access::kWrite;
    options.create = store::Create::kIfMissing;
    Result<std::unique_ptr<store::Store>> store = store::Store::open(options);
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().to_string());
    return std::move(store).value();
  }

  std::unique_ptr<Group> start(std::vector<std::string> command) {
    StartOptions options;
    options.name = "test";
    options.command = std::move(command);
    options.environment = {"PATH=/usr/bin:/bin"};
    options.cwd = folder_;
    options.streams = {null_.get(), null_.get(), null_.get()};
    Result<std::unique_ptr<Group>> group = Group::start(options, open_store());
    EXPECT_TRUE(group.ok()) << (group.ok() ? "" : group.error().to_string());
    return group.ok() ? std::move(group).value() : nullptr;
  }

  std::unique_ptr<Group> restore(Epoch epoch = {}) {
    RestoreOptions options;
    options.name = "test";
    options.epoch = epoch;
    options.streams = {null_.get(), null_.get(), null_.get()};
    Result<std::unique_ptr<Group>> group = Group::restore(options, open_store());
    EXPECT_TRUE(group.ok()) << (group.ok() ? "" : group.error().to_string());
    return group.ok() ? std::move(group).value() : nullptr;
  }

  static int wait_end(Group* group) {
    pollfd end{group->end_fd(), POLLIN, 0};
    EXPECT_EQ(poll(&end, 1, 20'000), 1) << "the group does not end";
    std::optional<int> status;
    for (int i = 0; i < 1000 && !status; ++i) {
      status = group->wait_status();
      if (!status) usleep(1000);
    }
    return status.value_or(-1);
  }

  static void lose(std::unique_ptr<Group> group) {
    ASSERT_TRUE(group->kill().ok());
    wait_end(group.get());
  }

  std::string read_file(const std::string& name) {
    std::ifstream in(folder_ + "/" + name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  void wait_for_file(const std::string& name) {
    for (int i = 0; i < 20'000 && read_file(name).empty(); ++i) usleep(1000);
  }

  static object::Graph graph_of(Group& group, Epoch epoch) {
    auto reader = group.store().read_epoch(epoch);
    EXPECT_TRUE(reader.ok());
    Result<object::Graph> graph = load_graph(**reader);
    EXPECT_TRUE(graph.ok());
    return std::move(graph).value();
  }

  // While a file `refuse` is there, the program has something that cannot be saved, and says so by
  // a file `refused`.
  void refuse_once(Group* group) {
    std::ofstream(folder_ + "/refuse") << "x";
    wait_for_file("refused");
    EXPECT_FALSE(group->checkpoint({}).ok());
    std::filesystem::remove(folder_ + "/refuse");
    for (int i = 0; i < 20'000 && std::filesystem::exists(folder_ + "/refused"); ++i) usleep(1000);
  }
  // The program checks itself when asked to.
  void expect_whole_after_loss(std::unique_ptr<Group> group) {
    lose(std::move(group));
    std::ofstream(folder_ + "/check") << "x";
    std::unique_ptr<Group> again = restore();
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(wait_end(again.get()), 0);
    EXPECT_EQ(read_file("verdict"), "whole");
  }
  static Result<CheckpointReport> checkpoint_at_last(Group* group) {
    Result<CheckpointReport> report = group->checkpoint({});
    for (int i = 0; i < 1000 && !report.ok(); ++i, usleep(1000)) report = group->checkpoint({});
    return report;
  }

  std::string folder_;
  Fd null_;
};

}  // namespace perdure::engine
