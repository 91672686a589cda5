#include "object/graph.h"

#include <gtest/gtest.h>

#include <vector>

namespace perdure::object {
namespace {

Graph small_graph() {
  Graph graph;
  graph.group.set_name("g");
  graph.group.add_processes(16);
  Process& process = graph.processes[ObjectId(16)];
  process.set_pid(2);
  process.add_threads(17);
  process.set_address_space(18);
  graph.threads[ObjectId(17)].set_tid(2);
  Vma* vma = graph.address_spaces[ObjectId(18)].add_vmas();
  vma->set_start(0x1000);
  vma->set_end(0x3000);
  return graph;
}

TEST(Graph, RecordsComeBackAsTheyWere) {
  Graph graph = small_graph();
  Graph copy;
  const auto add = [&copy](ObjectId id, Kind kind, Bytes bytes) {
    return copy.add(id, static_cast<uint32_t>(kind), bytes);
  };
  ASSERT_TRUE(graph.for_each_encoded(add, [](ObjectId) { return false; }).ok());
  EXPECT_TRUE(copy.check().ok());
  EXPECT_EQ(copy.processes.at(ObjectId(16)).SerializeAsString(),
            graph.processes.at(ObjectId(16)).SerializeAsString());
  EXPECT_EQ(copy.last_id(), 18u);
  ASSERT_NE(copy.find_process(2), nullptr);
  EXPECT_EQ(copy.find_process(3), nullptr);
}

TEST(Graph, WhatIsSkippedIsNotEncoded) {
  std::vector<uint64_t> encoded;
  const auto note = [&encoded](ObjectId id, Kind, Bytes) {
    encoded.push_back(id.value);
    return Status();
  };
  const auto skip = [](ObjectId id) { return id == ObjectId(17); };
  ASSERT_TRUE(small_graph().for_each_encoded(note, skip).ok());
  EXPECT_EQ(encoded, (std::vector<uint64_t>{kGroupObjectId, 16, 18}));
}

TEST(Graph, DanglingReferencesAreFound) {
  Graph graph = small_graph();
  graph.threads.clear();
  EXPECT_EQ(graph.check().error().code(), Code::kCorrupt);
  graph = small_graph();
  graph.processes.at(ObjectId(16)).add_fds()->set_file(99);
  EXPECT_EQ(graph.check().error().code(), Code::kCorrupt);
  graph = small_graph();
  graph.address_spaces.at(ObjectId(18)).mutable_vmas(0)->set_end(0x1001);
  EXPECT_EQ(graph.check().error().code(), Code::kCorrupt);
}

TEST(Graph, UnknownKindAndBrokenBytesAreErrors) {
  Graph graph;
  std::vector<uint8_t> broken = {0xff, 0xff, 0xff};
  EXPECT_EQ(graph.add(ObjectId(20), 2, broken).error().code(), Code::kCorrupt);
  EXPECT_EQ(graph.add(ObjectId(20), 999, broken).error().code(), Code::kNewer);
}

}  // namespace
}  // namespace perdure::object
