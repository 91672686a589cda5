#include "cli/record_tree.h"

#include <gtest/gtest.h>
#include <sys/user.h>

#include "cli/field_text.h"
#include "object/file.pb.h"
#include "object/process.pb.h"

namespace perdure::cli {
namespace {

object::Process a_process() {
  object::Process process;
  process.set_pid(17);
  process.set_comm("redis");
  process.set_umask(022);
  process.set_state(object::Process::STOPPED);
  process.set_child_subreaper(true);
  process.add_threads(40);
  process.add_threads(41);
  object::FdEntry* entry = process.add_fds();
  entry->set_fd(3);
  entry->set_file(50);
  return process;
}

TEST(RecordTree, TextNamesEveryFieldThatIsSet) {
  EXPECT_EQ(tree_text(tree_of(a_process()), 2),
            "  pid: 17\n"
            "  state: STOPPED\n"
            "  threads: 40 41\n"
            "  comm: redis\n"
            "  umask: 0022\n"
            "  fds\n"
            "    [0]\n"
            "      fd: 3\n"
            "      file: 50\n"
            "  child_subreaper: true\n");
}

TEST(RecordTree, JsonKeepsNumbersAndFlags) {
  JsonWriter json;
  tree_json(tree_of(a_process()), json);
  std::string text = json.take();
  EXPECT_NE(text.find("\"pid\": 17"), std::string::npos);
  EXPECT_NE(text.find("\"child_subreaper\": true"), std::string::npos);
  EXPECT_NE(text.find("\"comm\": \"redis\""), std::string::npos);
}

TEST(RecordTree, LeavesHavePaths) {
  auto leaves = tree_leaves(tree_of(a_process()));
  EXPECT_EQ(leaves.front(), std::pair(std::string("pid"), std::string("17")));
  EXPECT_EQ(leaves[2], std::pair(std::string("threads"), std::string("40 41")));
  EXPECT_EQ(leaves[leaves.size() - 2],
            std::pair(std::string("fds[3]"), std::string("fd 3 file 50")));
}

TEST(RecordTree, AnElementIsNamedByItsKeyAlsoWhereThatIsZero) {
  object::Process process;
  for (int fd : {0, 1, 1}) process.add_fds()->set_fd(fd);
  auto leaves = tree_leaves(tree_of(process));
  ASSERT_EQ(leaves.size(), 4u);
  EXPECT_EQ(leaves[0].first, "pid");
  EXPECT_EQ(leaves[1].first, "fds[0]");
  EXPECT_EQ(leaves[2].first, "fds[1]");
  EXPECT_EQ(leaves[3].first, "fds[1 #2]");
}

TEST(RecordTree, RegistersAreNamed) {
  object::Thread thread;
  user_regs_struct registers = {};
  registers.rip = 0x401000;
  registers.gs = 7;
  thread.set_registers(&registers, sizeof(registers));
  std::string text = tree_text(tree_of(thread), 0);
  EXPECT_NE(text.find("rip: 0x401000\n"), std::string::npos) << text;
  EXPECT_NE(text.find("gs: 0x7\n"), std::string::npos) << text;
  // Registers of another size are still shown.
  thread.set_registers("xy");
  EXPECT_EQ(tree_text(tree_of(thread), 0), "tid: 0\nregisters: \"xy\"\n");
}

TEST(FieldText, DecodesWhatPeopleKnowByName) {
  EXPECT_EQ(signal_set_text(0), "none");
  EXPECT_EQ(signal_set_text(1u << 1 | 1u << 14), "SIGINT SIGTERM");
  EXPECT_EQ(signal_set_text(~uint64_t{0}), "all");
  EXPECT_EQ(signal_name(0), "none");
  EXPECT_EQ(signal_name(17), "SIGCHLD");
  EXPECT_EQ(open_flags_text(0100000 | 02001), "write append");
  EXPECT_EQ(protection_text(5), "r-x");
  EXPECT_EQ(integer_text("perdure.object.Vma.start", 4096), "0x1000");
  EXPECT_EQ(integer_text("perdure.object.Process.exit_code", 9), "was killed by SIGKILL");
  EXPECT_EQ(integer_text("perdure.object.Process.pid", 9), std::nullopt);
  EXPECT_EQ(bytes_text_of("perdure.object.Thread.affinity", "\x4f"), "0-3,6");
  EXPECT_EQ(bytes_text_of("perdure.object.UnixSocket.address", std::string_view("\0abc", 4)),
            "@abc");
}

TEST(FieldText, LongBytesAreCutButToldApart) {
  std::string a(1000, '\1'), b(1000, '\1');
  b.back() = '\2';
  std::string text = bytes_text_of("perdure.object.PipeBuffer.content", a);
  EXPECT_LT(text.size(), 100u);
  EXPECT_NE(text, bytes_text_of("perdure.object.PipeBuffer.content", b));
}

TEST(FieldText, ShortSiginfoIsNoReasonToReadBeyond) {
  for (size_t size = 0; size < 40; ++size) {
    EXPECT_FALSE(
        bytes_text_of("perdure.object.PendingSignal.siginfo", std::string(size, '\1')).empty() &&
        size > 0);
  }
}

}  // namespace
}  // namespace perdure::cli
