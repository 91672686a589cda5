#include "kernel/task_info.h"

#include <gtest/gtest.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/test_child.h"

namespace perdure::kernel {
namespace {

TEST(TaskInfo, KcmpOrdersTasksAndKnowsTheSame) {
  TestChild child([] {});
  EXPECT_EQ(kcmp(::getpid(), ::getpid(), Shared::kMemory).value(), 0);
  const int order = kcmp(::getpid(), child.pid(), Shared::kMemory).value();
  EXPECT_NE(order, 0);
  EXPECT_EQ(kcmp(child.pid(), ::getpid(), Shared::kMemory).value(), -order);
}

TEST(TaskInfo, TheRobustListIsWhereTheThreadSaid) {
  static uint64_t head[3];
  TestChild child([] { ::syscall(SYS_set_robust_list, head, sizeof(head)); });
  const RobustList list = get_robust_list(child.pid()).value();
  EXPECT_EQ(list.head.value, reinterpret_cast<uint64_t>(head));
  EXPECT_EQ(list.length, sizeof(head));
}

struct alignas(32) Area {
  abi::Rseq rseq;
};
Area area;
abi::RseqCriticalSection section;
constexpr uint64_t kStart = 0x10000;

// libc registers one for every thread, at the same address in a forked child.
TEST(TaskInfo, TheRseqConfigurationIsThatOfTheThread) {
  if (__rseq_size == 0) GTEST_SKIP() << "libc registered no restartable sequences";
  TestChild child([] {});
  StoppedThread stopped(child.pid());
  const auto rseq = rseq_configuration(child.pid()).value();
  const auto* expected = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
  EXPECT_EQ(rseq.pointer, reinterpret_cast<uint64_t>(expected));
  EXPECT_GE(rseq.size, 32u);
  EXPECT_EQ(rseq.signature, RSEQ_SIG);
}

TEST(TaskInfo, ASequenceIsAbortedOnlyWhileTheThreadIsInsideIt) {
  section = {0, 0, kStart, 16, 0x20000};
  TestChild child([] {});
  StoppedThread stopped(child.pid());
  const abi::RseqConfiguration rseq = {reinterpret_cast<uint64_t>(&area), sizeof(area), RSEQ_SIG, 0,
                                       0};
  const auto aborted = [&](uint64_t at, uint64_t section_at) {
    const RemoteAddr field(rseq.pointer + offsetof(abi::Rseq, critical_section));
    PD_ASSERT(write_memory(child.pid(), field, bytes_of(section_at)).ok());
    Registers registers = stopped.tracee().registers().value();
    registers.rip = at;
    const bool moved = abort_restartable_sequence(child.pid(), rseq, &registers).value();
    EXPECT_EQ(registers.rip, moved ? section.abort : at);
    return moved;
  };
  const auto section_at = reinterpret_cast<uint64_t>(&section);
  EXPECT_TRUE(aborted(kStart, section_at));
  EXPECT_TRUE(aborted(kStart + 15, section_at));
  EXPECT_FALSE(aborted(kStart + 16, section_at));
  EXPECT_FALSE(aborted(kStart - 1, section_at));
  EXPECT_FALSE(aborted(kStart, 0));
}

TEST(TaskInfo, SystemCallDispatchIsOffByDefault) {
  TestChild child([] {});
  StoppedThread stopped(child.pid());
  EXPECT_EQ(syscall_user_dispatch(child.pid()).value().mode, 0u);
}

}  // namespace
}  // namespace perdure::kernel
