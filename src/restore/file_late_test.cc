#include "restore/file_late.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <cstring>

namespace perdure::restore {
namespace {

using kernel::Batch;

object::Graph graph_with_process(int32_t pid) {
  object::Graph graph;
  graph.processes[ObjectId(100)].set_pid(pid);
  return graph;
}

object::OpenFile& add_file(object::Graph* graph, uint64_t id, int32_t fd) {
  object::FdEntry* entry = graph->processes.at(ObjectId(100)).add_fds();
  entry->set_fd(fd);
  entry->set_file(id);
  object::OpenFile& file = graph->open_files[ObjectId(id)];
  file.mutable_eventfd();
  return file;
}

TEST(FileLate, OwnersAreSetBeforeTheirSignalsAreSwitchedOn) {
  object::Graph graph = graph_with_process(7);
  object::OpenFile& file = add_file(&graph, 20, 5);
  file.set_owner_type(F_OWNER_PID);
  file.set_owner_pid(7);
  file.set_owner_signal(34);
  file.set_flags(O_RDWR | O_ASYNC);
  const auto calls = final_file_calls(graph.processes.at(ObjectId(100)), graph);
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[0].args[1].value, static_cast<uint64_t>(F_SETOWN_EX));
  f_owner_ex owner;
  std::memcpy(&owner, calls[0].data.data(), sizeof(owner));
  EXPECT_EQ(owner.pid, 7);
  EXPECT_EQ(calls[1].args[1].value, static_cast<uint64_t>(F_SETSIG));
  EXPECT_EQ(calls[2].args[1].value, static_cast<uint64_t>(F_SETFL));
  EXPECT_EQ(calls[2].args[0].value, 5u);
}

TEST(FileLate, OnlyTheFirstProcessSetsTheOwner) {
  object::Graph graph = graph_with_process(7);
  add_file(&graph, 20, 5).set_owner_pid(7);
  object::Process& second = graph.processes[ObjectId(101)];
  second.set_pid(8);
  *second.add_fds() = graph.processes.at(ObjectId(100)).fds(0);
  EXPECT_EQ(final_file_calls(graph.processes.at(ObjectId(100)), graph).size(), 1u);
  EXPECT_TRUE(final_file_calls(second, graph).empty());
}

TEST(FileLate, OnlySessionLeadersTakeTerminals) {
  object::Graph graph = graph_with_process(7);
  object::Pty& pty = graph.ptys[ObjectId(30)];
  pty.set_session(7);
  pty.set_foreground(9);
  OpenedFiles opened;
  opened.ptys[ObjectId(30)] = 1000;
  object::Process& process = graph.processes.at(ObjectId(100));
  process.set_session(6);
  EXPECT_TRUE(terminal_calls(process, graph, opened).empty());
  process.set_session(7);
  const auto calls = terminal_calls(process, graph, opened);
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].args[1].value, static_cast<uint64_t>(TIOCSCTTY));
  EXPECT_EQ(calls[1].args[1].value, static_cast<uint64_t>(TIOCSPGRP));
  EXPECT_EQ(load_le<int32_t>(calls[1].data.data()), 9);
}

TEST(FileLate, OnlyTheSealThatMustWaitComesLate) {
  object::Graph graph;
  graph.memory_objects[ObjectId(40)].set_seals(0x8);
  graph.memory_objects[ObjectId(41)].set_seals(0x10 | 0x2);
  OpenedFiles opened;
  opened.memory[ObjectId(40)] = 1000;
  opened.memory[ObjectId(41)] = 1001;
  const auto calls = seal_calls(graph, opened);
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].args[0].value, 1001u);
  EXPECT_EQ(calls[0].args[2].value, 0x12u);
}

TEST(FileLate, ManyCallsGoInSeveralBatches) {
  std::vector<LateCall> calls(600);
  for (LateCall& call : calls) call.number = SYS_getpid;
  LateCalls late(std::move(calls));
  Batch first{RemoteAddr(0x10000)};
  late.fill(&first);
  EXPECT_GT(first.size(), 0u);
  EXPECT_LT(first.size(), 400u);
  // The batch was not run: its calls count as not reached.
  EXPECT_FALSE(late.check(first).ok());
  EXPECT_FALSE(late.done());
}

}  // namespace
}  // namespace perdure::restore
