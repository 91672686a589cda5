#include "memory/lock_effect.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

namespace perdure::memory {
namespace {

using Reach = LockEffect::Reach;

LockRecord call(uint64_t number, uint64_t own, std::initializer_list<uint64_t> arguments) {
  LockRecord record;
  record.own = own;
  record.call = number;
  size_t at = 0;
  for (uint64_t argument : arguments) record.arguments[at++] = argument;
  return record;
}

void expect_pages(const LockEffect& effect, Reach reach, uint64_t start, uint64_t end) {
  EXPECT_EQ(effect.reach, reach);
  EXPECT_EQ(effect.start, start);
  EXPECT_EQ(effect.end, end);
}

TEST(LockEffect, UnknownCallsMayHaveDoneAnything) {
  EXPECT_EQ(effect_of(call(SYS_shmat, 1, {})).reach, Reach::kEverything);
  EXPECT_EQ(effect_of(call(SYS_mremap, 1, {0x1000, 0x1000})).reach, Reach::kEverything);
  EXPECT_EQ(effect_of(call(SYS_readv, 1, {})).reach, Reach::kEverything);
  // To /proc/self/mem.
  EXPECT_EQ(effect_of(call(SYS_write, 1, {})).reach, Reach::kEverything);
  EXPECT_EQ(effect_of(call(SYS_pwrite64, 1, {})).reach, Reach::kEverything);
  EXPECT_EQ(effect_of(call(SYS_ptrace, 0, {})).reach, Reach::kEverything);
  EXPECT_EQ(effect_of(call(~uint64_t{0}, 0, {})).reach, Reach::kEverything);
}

// A call that was made again after a stop carries a mark in the upper half of its number.
TEST(LockEffect, OnlyTheLowerHalfOfANumberCounts) {
  constexpr uint64_t kMark = 0x5065726400000000;
  EXPECT_EQ(effect_of(call(kMark | SYS_epoll_wait, 1, {})).reach,
            effect_of(call(SYS_epoll_wait, 1, {})).reach);
  EXPECT_EQ(effect_of(call(kMark | SYS_epoll_wait, 1, {})).reach, Reach::kNothing);
  EXPECT_EQ(effect_of(call(kMark | SYS_statx, 0, {})).reach, Reach::kNothing);
}

TEST(LockEffect, WaitersAtFutexesMakePagesWritableAndWriteNone) {
  const LockEffect shared = effect_of(call(SYS_futex, 1, {0x2004, FUTEX_WAIT}));
  expect_pages(shared, Reach::kPages, 0x2000, 0x3000);
  EXPECT_TRUE(shared.only_unprotects);
  const LockEffect again = effect_of(call(SYS_restart_syscall, 1, {}));
  EXPECT_EQ(again.reach, Reach::kEverything);
  EXPECT_TRUE(again.only_unprotects);
  EXPECT_FALSE(effect_of(call(SYS_mremap, 1, {0x1000, 0x1000})).only_unprotects);
  EXPECT_TRUE(effect_of(call(SYS_clone, 1, {})).shares);
}

TEST(LockEffect, RangesAreRoundedToPages) {
  expect_pages(effect_of(call(SYS_madvise, 1, {0x2000, 0x1001, MADV_DONTNEED})), Reach::kPages,
               0x2000, 0x4000);
  expect_pages(effect_of(call(SYS_read, 1, {3, 0x2fff, 2})), Reach::kDirectReads, 0x2000, 0x4000);
  expect_pages(effect_of(call(SYS_munmap, 1, {0x2000, 0x1000})), Reach::kMappings, 0x2000, 0x3000);
}

TEST(LockEffect, LengthsThatNoCallCanHaveMeanEverything) {
  EXPECT_EQ(effect_of(call(SYS_munmap, 1, {0x1000, ~uint64_t{0}})).reach, Reach::kEverything);
  EXPECT_EQ(effect_of(call(SYS_read, 1, {3, ~uint64_t{0}, 1})).reach, Reach::kEverything);
}

TEST(LockEffect, MmapReplacesOnlyAtAFixedAddress) {
  EXPECT_EQ(effect_of(call(SYS_mmap, 1, {0x1000, 0x1000, 3, MAP_PRIVATE | MAP_ANONYMOUS})).reach,
            Reach::kNothing);
  expect_pages(effect_of(call(SYS_mmap, 1, {0x1000, 0x1000, 3, MAP_PRIVATE | MAP_FIXED})),
               Reach::kMappings, 0x1000, 0x2000);
}

TEST(LockEffect, AHeapLosesWhatItShrinksBy) {
  LockRecord record = call(SYS_brk, 1, {0x10000});
  record.break_end = 0x14000;
  expect_pages(effect_of(record), Reach::kMappings, 0x10000, 0x14000);
  record.break_end = 0x8000;
  EXPECT_EQ(effect_of(record).reach, Reach::kNothing);
  record.arguments[0] = 0;
  EXPECT_EQ(effect_of(record).reach, Reach::kNothing);
}

TEST(LockEffect, WritesOfOthersAreFollowedToTheirPlace) {
  LockRecord record = call(SYS_process_vm_writev, 0, {1, 2, 1, 3, 1});
  record.remote_start = 0x5008;
  record.remote_length = 8;
  expect_pages(effect_of(record), Reach::kPages, 0x5000, 0x6000);
  record.arguments[4] = 2;
  EXPECT_EQ(effect_of(record).reach, Reach::kEverything);
  expect_pages(effect_of(call(SYS_pwrite64, 0, {3, 1, 4096, 0x7000})), Reach::kPages, 0x7000,
               0x8000);
  EXPECT_EQ(effect_of(call(SYS_write, 0, {3, 1, 1})).reach, Reach::kEverything);
}

TEST(LockEffect, ReadersDoNothingToOthers) {
  EXPECT_EQ(effect_of(call(SYS_readv, 0, {})).reach, Reach::kNothing);
  EXPECT_EQ(effect_of(call(SYS_openat, 0, {})).reach, Reach::kNothing);
  EXPECT_EQ(effect_of(call(SYS_newfstatat, 0, {})).reach, Reach::kNothing);
  EXPECT_EQ(effect_of(call(SYS_ptrace, 0, {PTRACE_PEEKDATA, 1, 0x5008})).reach, Reach::kNothing);
  EXPECT_EQ(effect_of(call(SYS_ioctl, 0, {})).reach, Reach::kEverything);
}

TEST(LockEffect, ATracerWritesOneWord) {
  expect_pages(effect_of(call(SYS_ptrace, 0, {PTRACE_POKEDATA, 1, 0x5ffc})), Reach::kPages, 0x5000,
               0x7000);
  EXPECT_EQ(effect_of(call(SYS_ptrace, 0, {PTRACE_SETREGSET})).reach, Reach::kEverything);
}

TEST(LockEffect, AFutexThatMayBeSharedIsMadeReadyToBeWritten) {
  expect_pages(effect_of(call(SYS_futex, 1, {0x5004, FUTEX_WAIT})), Reach::kPages, 0x5000, 0x6000);
  EXPECT_EQ(effect_of(call(SYS_futex, 1, {0x5004, FUTEX_WAIT_PRIVATE})).reach, Reach::kNothing);
  EXPECT_EQ(effect_of(call(SYS_futex, 1, {0x5004, FUTEX_CMP_REQUEUE})).reach, Reach::kEverything);
}

TEST(LockEffect, AThreadThatEndsMayReleaseRobustFutexesBefore) {
  LockRecord record = call(SYS_exit, 1, {});
  EXPECT_EQ(effect_of(record).reach, Reach::kNothing);
  record.robust_list = 0x1000;
  EXPECT_EQ(effect_of(record).reach, Reach::kEverything);
}

TEST(LockEffect, NumbersOf32BitCallsMeanNothing) {
  LockRecord record = call(SYS_close, 1, {});
  EXPECT_EQ(effect_of(record).reach, Reach::kNothing);
  record.status = 2;
  EXPECT_EQ(effect_of(record).reach, Reach::kEverything);
}

TEST(LockEffect, TheCallOfAWorkerMeansNothing) {
  for (uint64_t flag : {0x00200000, 0x00000010, 0x00004000}) {
    LockRecord record = call(SYS_read, 1, {0, 0, 0});
    record.task_flags = flag;
    EXPECT_EQ(effect_of(record).reach, Reach::kEverything);
  }
}

}  // namespace
}  // namespace perdure::memory
