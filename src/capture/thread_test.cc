#include "capture/thread.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "kernel/features.h"
#include "kernel/sched.h"
#include "kernel/test_child.h"

namespace perdure::capture {
namespace {

using kernel::Batch;
using kernel::StoppedThread;
using kernel::TestChild;

object::Thread record_of(pid_t pid) {
  StoppedThread stopped(pid);
  object::Thread record;
  const auto status = read_thread(pid, pid, &record);
  EXPECT_TRUE(status.ok()) << status.error().to_string();
  Batch batch = stopped.batch();
  const ThreadQuery query = ThreadQuery::add(&batch);
  PD_ASSERT(stopped.run(&batch).ok());
  const Status decoded = query.decode(batch, &record);
  EXPECT_TRUE(decoded.ok()) << decoded.error().to_string();
  return record;
}

TEST(ThreadRecord, WhatTheThreadSetIsRead) {
  static char stack[65536];
  static int tid_word;
  TestChild child([] {
    stack_t alternate = {};
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof(stack);
    ::sigaltstack(&alternate, nullptr);
    ::syscall(SYS_set_tid_address, &tid_word);
    ::prctl(PR_SET_TIMERSLACK, 123456);
    ::prctl(PR_SET_PDEATHSIG, SIGHUP);
    ::prctl(PR_SET_NAME, "the thread");
    ::setpriority(PRIO_PROCESS, 0, 4);
  });
  const object::Thread record = record_of(child.pid());
  EXPECT_EQ(record.tid(), child.pid());
  EXPECT_EQ(record.comm(), "the thread");
  EXPECT_EQ(record.altstack_base(), reinterpret_cast<uint64_t>(stack));
  EXPECT_EQ(record.altstack_size(), sizeof(stack));
  EXPECT_EQ(record.clear_child_tid(), reinterpret_cast<uint64_t>(&tid_word));
  EXPECT_EQ(record.timer_slack_ns(), 123456u);
  EXPECT_EQ(record.parent_death_signal(), SIGHUP);
  EXPECT_EQ(record.scheduler().nice(), 4);
  EXPECT_EQ(record.robust_list_length(), 24u);
  const auto cpus = kernel::sched_getaffinity(child.pid()).value();
  EXPECT_EQ(record.affinity(), std::string(cpus.begin(), cpus.end()));
  if (__rseq_size != 0) {
    EXPECT_NE(record.rseq_pointer(), 0u);
  }
}

TEST(ThreadRecord, CredentialsOfAUserWithOneCapabilityAreRead) {
  if (!kernel::Features::create("").value().has(kernel::Feature::kChangeIds)) {
    GTEST_SKIP() << "change_ids is missing, see `perdure check`";
  }
  TestChild child([] {
    const gid_t groups[] = {7, 8};
    PD_ASSERT(::setgroups(2, groups) == 0);
    PD_ASSERT(::prctl(PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0) == 0);
    PD_ASSERT(::setresgid(11, 12, 13) == 0);
    PD_ASSERT(::setresuid(21, 22, 23) == 0);
    PD_ASSERT(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  });
  const object::Thread record = record_of(child.pid());
  const object::Credentials& credentials = record.credentials();
  EXPECT_EQ(credentials.uid(), 21u);
  EXPECT_EQ(credentials.euid(), 22u);
  EXPECT_EQ(credentials.suid(), 23u);
  EXPECT_EQ(credentials.fsuid(), 22u);
  EXPECT_EQ(credentials.egid(), 12u);
  EXPECT_EQ(std::vector<uint32_t>(credentials.groups().begin(), credentials.groups().end()),
            (std::vector<uint32_t>{7, 8}));
  EXPECT_EQ(credentials.cap_effective(), 0u);
  EXPECT_EQ(credentials.securebits(), static_cast<uint32_t>(SECBIT_NOROOT));
  EXPECT_TRUE(credentials.no_new_privs());
}

}  // namespace
}  // namespace perdure::capture
