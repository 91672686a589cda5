#include "capture/refusals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "kernel/features.h"
#include "kernel/proc/read.h"
#include "kernel/test_child.h"

namespace perdure::capture {
namespace {

using kernel::Batch;
using kernel::StoppedThread;
using kernel::TestChild;
using testing::HasSubstr;

ProcessView view_of(pid_t pid) {
  kernel::PidMap pids;
  object::Process record;
  return read_process(pid, &pids, &record).value();
}

void expect_refused(const Status& status, Code code, const std::string& part) {
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), code);
  EXPECT_THAT(status.error().message(), HasSubstr(part));
}

Status unusual(const std::function<void()>& body) {
  TestChild child(body);
  StoppedThread stopped(child.pid());
  Batch batch = stopped.batch();
  const UnusualQuery query = UnusualQuery::add(&batch);
  PD_ASSERT(stopped.run(&batch).ok());
  return query.check(batch, view_of(child.pid()));
}

TEST(Refusals, AnOrdinaryChildPassesAllOfThem) {
  TestChild child([] {});
  StoppedThread stopped(child.pid());
  const ProcessView view = view_of(child.pid());
  EXPECT_TRUE(check_process(view).ok());
  EXPECT_TRUE(check_thread(view, view.status, ::getpid()).ok());
  EXPECT_TRUE(check_registers(view, stopped.guard().saved()).ok());
  EXPECT_TRUE(check_thread_sharing(view, child.pid()).ok());
  const ProcessView own = view_of(::getpid());
  const ProcessView* both[] = {&own, &view};
  EXPECT_TRUE(check_processes_apart(both).ok());
  const auto namespaces = kernel::proc::read_namespaces(child.pid()).value();
  EXPECT_TRUE(check_namespaces(view, namespaces, namespaces).ok());
  const Status usual = unusual([] {});
  EXPECT_TRUE(usual.ok()) << usual.error().to_string();
}

TEST(Refusals, SeccompIsNamedWithThePid) {
  TestChild child([] {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    sock_fprog program = {1, allow};
    PD_ASSERT(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
  });
  const ProcessView view = view_of(child.pid());
  const Status refused = check_thread(view, view.status, ::getpid());
  expect_refused(refused, Code::kUnsupported, "seccomp");
  EXPECT_THAT(refused.error().message(), HasSubstr(std::to_string(child.pid())));
}

TEST(Refusals, ADebuggerIsNamed) {
  TestChild child([] {});
  StoppedThread stopped(child.pid());
  const ProcessView view = view_of(child.pid());
  expect_refused(check_thread(view, view.status, 1), Code::kBusy, std::to_string(::getpid()));
}

TEST(Refusals, Code32IsRefused) {
  kernel::Registers registers = {};
  registers.cs = 0x23;
  expect_refused(check_registers(view_of(::getpid()), registers), Code::kUnsupported, "32-bit");
}

// A child that shares some of our kernel objects, as vfork(2) and clone(2) make them.
class SharingChild {
 public:
  explicit SharingChild(int flags) {
    stack_ =
        ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_ = ::clone(wait_to_be_killed, static_cast<char*>(stack_) + kStackBytes, flags | SIGCHLD,
                   nullptr);
    PD_ASSERT(pid_ > 0);
  }
  SharingChild(const SharingChild&) = delete;
  SharingChild& operator=(const SharingChild&) = delete;
  ~SharingChild() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, __WALL);
    ::munmap(stack_, kStackBytes);
  }
  pid_t pid() const { return pid_; }

 private:
  static constexpr size_t kStackBytes = 65536;
  static int wait_to_be_killed(void*) {
    while (true) ::pause();
  }
  void* stack_;
  pid_t pid_;
};

TEST(Refusals, ProcessesThatShareOneObjectAreBothNamed) {
  const struct {
    int flags;
    const char* what;
  } kCases[] = {{CLONE_VM, "memory"}, {CLONE_FILES, "descriptors"}, {CLONE_FS, "current folder"}};
  for (const auto& sharing : kCases) {
    SharingChild child(sharing.flags);
    TestChild other([] {});
    const ProcessView own = view_of(::getpid());
    const ProcessView its = view_of(child.pid());
    const ProcessView third = view_of(other.pid());
    const ProcessView* all[] = {&third, &own, &its};
    const Status refused = check_processes_apart(all);
    expect_refused(refused, Code::kUnsupported, sharing.what);
    EXPECT_THAT(refused.error().message(), HasSubstr(own.name()));
    EXPECT_THAT(refused.error().message(), HasSubstr(its.name()));
  }
}

TEST(Refusals, AThreadWithItsOwnDescriptorsIsRefused) {
  static pid_t tid;
  static std::atomic<bool>* ready;
  ready = static_cast<std::atomic<bool>*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  TestChild child([] {
    std::thread([] {
      ::unshare(CLONE_FILES);
      *ready = true;
      while (true) ::pause();
    }).detach();
    while (!*ready) ::sched_yield();
  });
  tid = kernel::proc::threads_of(child.pid()).value().back();
  ASSERT_NE(tid, child.pid());
  expect_refused(check_thread_sharing(view_of(child.pid()), tid), Code::kUnsupported,
                 "descriptors");
  ::munmap(ready, 4096);
}

TEST(Refusals, AnotherNamespaceIsNamed) {
  if (!kernel::Features::create("").value().has(kernel::Feature::kNamespaces))
    GTEST_SKIP() << "namespaces is missing, see `perdure check`";
  const auto root = kernel::proc::read_namespaces(::getpid()).value();
  TestChild child([] { PD_ASSERT(::unshare(CLONE_NEWUTS) == 0); });
  const auto own = kernel::proc::read_namespaces(child.pid()).value();
  expect_refused(check_namespaces(view_of(child.pid()), own, root), Code::kUnsupported, "uts");
  expect_refused(check_engine_namespaces(child.pid(), own, root), Code::kUnsupported, "uts");
  EXPECT_TRUE(check_engine_namespaces(child.pid(), own, own).ok());
  expect_refused(check_thread_namespaces(view_of(::getpid()), child.pid(), root),
                 Code::kUnsupported, "uts");
  TestChild parent([] { PD_ASSERT(::unshare(CLONE_NEWPID) == 0); });
  const auto later = kernel::proc::read_namespaces(parent.pid()).value();
  expect_refused(check_namespaces(view_of(parent.pid()), later, later), Code::kUnsupported,
                 "pid_for_children");
}

TEST(Refusals, SettingsThatAreNotKeptAreRefused) {
  expect_refused(unusual([] { ::prctl(PR_SET_TSC, PR_TSC_SIGSEGV); }), Code::kUnsupported,
                 "PR_SET_TSC");
  const bool numa = ::syscall(SYS_get_mempolicy, nullptr, nullptr, 0, nullptr, 0) == 0;
  if (!numa) GTEST_SKIP() << "this kernel has no NUMA policies";
  const unsigned long first_node = 1;
  expect_refused(unusual([&] { ::syscall(SYS_set_mempolicy, MPOL_BIND, &first_node, 64); }),
                 Code::kUnsupported, "set_mempolicy");
}

TEST(Refusals, SysvSemaphoresOfTheGroupsOwnNamespaceAreRefused) {
  if (!kernel::Features::create("").value().has(kernel::Feature::kNamespaces))
    GTEST_SKIP() << "namespaces is missing, see `perdure check`";
  for (bool with : {false, true}) {
    TestChild child([&] {
      PD_ASSERT(::unshare(CLONE_NEWIPC) == 0);
      if (with) PD_ASSERT(::semget(IPC_PRIVATE, 1, 0600) >= 0);
    });
    StoppedThread stopped(child.pid());
    Batch batch = stopped.batch();
    const SysvQuery query = SysvQuery::add(&batch);
    PD_ASSERT(stopped.run(&batch).ok());
    const Status checked = query.check(batch, view_of(child.pid()));
    EXPECT_EQ(checked.ok(), !with);
  }
}

}  // namespace
}  // namespace perdure::capture
