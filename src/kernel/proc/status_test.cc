#include "kernel/proc/status.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "kernel/test_child.h"

namespace perdure::kernel::proc {
namespace {

constexpr const char* kText =
    "Name:\ta\\nb\\\\ c \n"
    "Umask:\t0027\n"
    "State:\tT (stopped)\n"
    "Tgid:\t42\nNgid:\t0\nPid:\t43\nPPid:\t7\nTracerPid:\t9\n"
    "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t64\nGroups:\t10 20 4294967294 \n"
    "NStgid:\t42\t2\nNSpid:\t43\t3\nNSpgid:\t42\t2\nNSsid:\t40\t1\n"
    "VmRSS:\t    1776 kB\nRssAnon:\t     100 kB\nCoreDumping:\t1\nThreads:\t3\nSigQ:\t0/96365\n"
    "SigPnd:\t0000000000000001\nShdPnd:\t0000000000000002\nSigBlk:\tfffffffe7ffbfeff\n"
    "SigIgn:\t0000000000001000\nSigCgt:\t0000000180000002\n"
    "CapInh:\t0000000000000001\nCapPrm:\t000001fffeffffff\nCapEff:\t000001fffeffffff\n"
    "CapBnd:\t000001fffeffffff\nCapAmb:\t0000000000000001\n"
    "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"
    "Cpus_allowed:\t1,80000003\nCpus_allowed_list:\t0-1,31-32\n"
    "x86_Thread_features:\tshstk wrss \n";

TEST(ProcStatus, EveryLineIsRead) {
  const TaskStatus status = parse_status(kText).value();
  EXPECT_EQ(status.name, "a\nb\\ c ");
  EXPECT_EQ(status.umask, 027u);
  EXPECT_EQ(status.state, 'T');
  EXPECT_EQ(status.tgid, 42);
  EXPECT_EQ(status.pid, 43);
  EXPECT_EQ(status.tracer_pid, 9);
  EXPECT_EQ(status.uids, (std::array<uint32_t, 4>{1, 2, 3, 4}));
  EXPECT_EQ(status.gids, (std::array<uint32_t, 4>{5, 6, 7, 8}));
  EXPECT_EQ(status.groups, (std::vector<uint32_t>{10, 20, 4294967294}));
  EXPECT_EQ(status.inner_tgid(), 2);
  EXPECT_EQ(status.inner_pid(), 3);
  EXPECT_EQ(status.inner_process_group(), 2);
  EXPECT_EQ(status.inner_session(), 1);
  EXPECT_EQ(status.rss_bytes, 1776u * 1024);
  EXPECT_EQ(status.anonymous_bytes, 100u * 1024);
  EXPECT_TRUE(status.core_dumping);
  EXPECT_EQ(status.threads, 3u);
  EXPECT_EQ(status.caught, 0x180000002u);
  EXPECT_EQ(status.ignored, 0x1000u);
  EXPECT_EQ(status.cap_bounding, 0x1fffeffffffu);
  EXPECT_TRUE(status.no_new_privs);
  EXPECT_EQ(status.seccomp_mode, 2u);
  EXPECT_EQ(status.cpus_allowed, (std::vector<uint8_t>{3, 0, 0, 0x80, 1}));
  EXPECT_TRUE(status.shadow_stack);
}

TEST(ProcStatus, ALineThatDoesNotParseIsRefused) {
  EXPECT_FALSE(parse_status("Pid:\tx\nNSpid:\t1\n").ok());
  EXPECT_FALSE(parse_status("Pid:\t1\nNSpid:\t1\nUid:\t1\t2\t3\n").ok());
  EXPECT_FALSE(parse_status("Pid:\t1\nNSpid:\t1\nSigIgn:\tzz\n").ok());
  EXPECT_FALSE(parse_status("").ok());
}

TEST(ProcStatus, AChildsSettingsAreRead) {
  TestChild child([] {
    ::umask(0137);
    ::signal(SIGUSR1, SIG_IGN);
    ::signal(SIGUSR2, [](int) {});
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::prctl(PR_SET_NAME, "odd (\\) name ");
  });
  const TaskStatus status = read_status(child.pid()).value();
  EXPECT_EQ(status.umask, 0137u);
  EXPECT_NE(status.ignored & 1ull << (SIGUSR1 - 1), 0u);
  EXPECT_NE(status.caught & 1ull << (SIGUSR2 - 1), 0u);
  EXPECT_TRUE(status.no_new_privs);
  EXPECT_EQ(status.name, "odd (\\) name ");
  EXPECT_EQ(status.inner_pid(), child.pid());
  EXPECT_EQ(status.ppid, ::getpid());
}

}  // namespace
}  // namespace perdure::kernel::proc
