#include "kernel/task_images.h"

#include <gtest/gtest.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "kernel/test_changes.h"

namespace perdure::kernel {
namespace {

// A look that outlives the next one.
struct Seen {
  std::vector<uint8_t> process, space, thread;
  bool pending, own_pending, timers;
  uint32_t mapping_changes, semaphores;
  bool operator==(const Seen& other) const {
    return process == other.process && space == other.space && thread == other.thread;
  }
};

Seen look_at(TaskImages& images, pid_t pid) {
  // In the same call each time: it waits for its next order.
  for (int i = 0; i < 1000; ++i) {
    FILE* file = ::fopen(("/proc/" + std::to_string(pid) + "/syscall").c_str(), "r");
    long number = -1;
    const bool asleep = file != nullptr && ::fscanf(file, "%ld", &number) == 1;
    if (file != nullptr) ::fclose(file);
    if (asleep && number == SYS_read) break;
    ::usleep(1000);
  }
  const auto look = images.look(pid);
  EXPECT_TRUE(look.ok()) << look.error().to_string();
  const TaskLook& at = **look;
  EXPECT_EQ(at.threads.size(), 1u);
  const Bytes thread = at.threads.front().bytes;
  return {{at.process.begin(), at.process.end()},
          {at.space.begin(), at.space.end()},
          {thread.begin(), thread.end()},
          at.pending,
          at.threads.front().pending,
          at.timers,
          at.mapping_changes.value_or(0),
          at.semaphores};
}

std::unique_ptr<TaskImages> make_images() {
  auto made = TaskImages::create();
  return made.ok() ? std::move(*made) : nullptr;
}

#define SKIP_WITHOUT(images) \
  if ((images) == nullptr) GTEST_SKIP() << "needs the feature: BPF iterators over tasks"

TEST(TaskImages, AreTheSameWhileNothingChanges) {
  const std::unique_ptr<TaskImages> images = make_images();
  SKIP_WITHOUT(images);
  Actor actor({[] {  // computes, writes to its memory, makes calls
    std::vector<char> memory(1u << 16, 'x');
    for (int i = 0; i < 1000; ++i)
      memory[static_cast<size_t>(i) * 64] = static_cast<char>(::getppid());
    return true;
  }});
  EXPECT_TRUE(actor.act(0));
  const Seen before = look_at(*images, actor.pid());
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(actor.act(0));
    EXPECT_EQ(before, look_at(*images, actor.pid()));
  }
}

TEST(TaskImages, ShowWhatAProgramChangesOfItself) {
  const std::unique_ptr<TaskImages> images = make_images();
  SKIP_WITHOUT(images);
  for (const Change& change : changes()) {
    Actor actor({change.act});
    const Seen before = look_at(*images, actor.pid());
    if (!actor.act(0)) {
      fprintf(stderr, "not possible here: %s\n", change.name);
      continue;
    }
    EXPECT_FALSE(before == look_at(*images, actor.pid())) << change.name;
  }
}

// The kernel may put the new list where an older one was.
TEST(TaskImages, ShowOtherGroupsOfTheSameNumber) {
  const std::unique_ptr<TaskImages> images = make_images();
  SKIP_WITHOUT(images);
  static gid_t groups[] = {7, 8};
  Actor actor({[] {
    ++groups[1];
    return ::syscall(SYS_setgroups, 2, groups) == 0;
  }});
  if (!actor.act(0)) GTEST_SKIP() << "needs the privilege to set groups";
  for (int i = 0; i < 20; ++i) {
    const Seen before = look_at(*images, actor.pid());
    EXPECT_TRUE(actor.act(0));
    EXPECT_FALSE(before == look_at(*images, actor.pid()));
  }
}

TEST(TaskImages, ShowAnotherSession) {
  const std::unique_ptr<TaskImages> images = make_images();
  SKIP_WITHOUT(images);
  Actor actor({[] { return ::setsid() > 0; }});
  const Seen before = look_at(*images, actor.pid());
  EXPECT_TRUE(actor.act(0));
  EXPECT_FALSE(before.process == look_at(*images, actor.pid()).process);
}

TEST(TaskImages, ShowWhatOthersChange) {
  const std::unique_ptr<TaskImages> images = make_images();
  SKIP_WITHOUT(images);
  Actor actor({[] { return true; }});
  const pid_t pid = actor.pid();
  const std::vector<Change> outside = {
      {"limit",
       [pid] {
         const rlimit limit = {1000, 1000};
         return ::prlimit(pid, RLIMIT_CORE, &limit, nullptr) == 0;
       }},
      {"affinity",
       [pid] {
         cpu_set_t processors;
         CPU_ZERO(&processors);
         CPU_SET(0, &processors);
         return ::sched_setaffinity(pid, sizeof(processors), &processors) == 0;
       }},
      {"oom_score_adj",
       [pid] {
         const std::string path = "/proc/" + std::to_string(pid) + "/oom_score_adj";
         const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
         const bool done = fd >= 0 && ::write(fd, "55", 2) == 2;
         ::close(fd);
         return done;
       }},
      {"process group", [pid] { return ::setpgid(pid, pid) == 0; }},
  };
  for (const Change& change : outside) {
    const Seen before = look_at(*images, pid);
    EXPECT_TRUE(change.act()) << change.name;
    EXPECT_FALSE(before == look_at(*images, pid)) << change.name;
  }
}

TEST(TaskImages, TellPendingSignalsTimersAndSemaphores) {
  const std::unique_ptr<TaskImages> images = make_images();
  SKIP_WITHOUT(images);
  Actor actor({
      [] {
        sigset_t all;
        sigfillset(&all);
        return ::sigprocmask(SIG_BLOCK, &all, nullptr) == 0;
      },
      [] { return ::raise(SIGUSR1) == 0; },
      [] {
        const itimerval later = {{0, 0}, {1000, 0}};
        return ::setitimer(ITIMER_REAL, &later, nullptr) == 0;
      },
      [] {
        const itimerval never = {};
        return ::setitimer(ITIMER_REAL, &never, nullptr) == 0;
      },
      [] {
        timer_t timer = nullptr;
        return ::timer_create(CLOCK_MONOTONIC, nullptr, &timer) == 0;
      },
      [] { return ::unshare(CLONE_NEWIPC) == 0; },
      [] { return ::semget(IPC_PRIVATE, 1, 0600) >= 0; },
  });
  EXPECT_TRUE(actor.act(0));
  Seen seen = look_at(*images, actor.pid());
  EXPECT_FALSE(seen.pending || seen.own_pending || seen.timers);
  EXPECT_TRUE(actor.act(1));
  seen = look_at(*images, actor.pid());
  EXPECT_TRUE(seen.own_pending && !seen.pending);
  EXPECT_EQ(::kill(actor.pid(), SIGUSR2), 0);
  EXPECT_TRUE(look_at(*images, actor.pid()).pending);
  EXPECT_TRUE(actor.act(2));
  EXPECT_TRUE(look_at(*images, actor.pid()).timers);
  EXPECT_TRUE(actor.act(3));
  EXPECT_FALSE(look_at(*images, actor.pid()).timers);
  EXPECT_TRUE(actor.act(4));
  EXPECT_TRUE(look_at(*images, actor.pid()).timers);
  if (!actor.act(5)) return;
  EXPECT_EQ(look_at(*images, actor.pid()).semaphores, 0u);
  EXPECT_TRUE(actor.act(6));
  EXPECT_EQ(look_at(*images, actor.pid()).semaphores, 1u);
}

TEST(TaskImages, CountChangesOfMappings) {
  const std::unique_ptr<TaskImages> images = make_images();
  SKIP_WITHOUT(images);
  static char* memory = nullptr;
  constexpr size_t kBytes = 16 * 4096;
  const std::vector<Change> all = {
      {"mmap",
       [] {
         memory = static_cast<char*>(
             ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
         return memory != MAP_FAILED;
       }},
      {"mprotect", [] { return ::mprotect(memory, 4096, PROT_READ) == 0; }},
      {"madvise", [] { return ::madvise(memory, kBytes, MADV_DONTFORK) == 0; }},
      // mlock(3) does nothing under AddressSanitizer
      {"mlock", [] { return ::syscall(SYS_mlock, memory + 4096, 4096) == 0; }},
      {"mremap", [] { return ::mremap(memory + 8192, 4096, 65536, MREMAP_MAYMOVE) != MAP_FAILED; }},
      {"brk", [] { return ::sbrk(4096) != nullptr; }},
      {"name", [] { return ::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, 4096, "some") == 0; }},
      {"munmap", [] { return ::munmap(memory, kBytes) == 0; }},
  };
  std::vector<Actor::Act> acts;
  for (const Change& change : all) acts.push_back(change.act);
  acts.push_back([] {
    static char written[1u << 20];
    std::memset(written, 1, sizeof(written));
    return true;
  });
  Actor actor(acts);
  for (size_t i = 0; i < all.size(); ++i) {
    const Seen before = look_at(*images, actor.pid());
    if (!actor.act(i)) {
      fprintf(stderr, "not possible here: %s\n", all[i].name);
      continue;
    }
    EXPECT_NE(before.mapping_changes, look_at(*images, actor.pid()).mapping_changes) << all[i].name;
  }
  const Seen before = look_at(*images, actor.pid());
  EXPECT_EQ(before.mapping_changes % 2, 0u);
  EXPECT_TRUE(actor.act(all.size()));
  EXPECT_EQ(before.mapping_changes, look_at(*images, actor.pid()).mapping_changes) << "writes";
}

TEST(TaskImages, AProcessThatEndedIsGone) {
  const std::unique_ptr<TaskImages> images = make_images();
  SKIP_WITHOUT(images);
  pid_t pid = 0;
  {
    Actor actor({[] { return true; }});
    pid = actor.pid();
    EXPECT_TRUE(images->look(pid).ok());
  }
  EXPECT_FALSE(images->look(pid).ok());
}

TEST(LazyTaskImages, AreMadeAtOnceIfTheyShallBe) {
  SKIP_WITHOUT(make_images());
  LazyTaskImages images;
  EXPECT_EQ(images.get(), nullptr);
  images.make();
  TaskImages* const made = images.get();
  EXPECT_NE(made, nullptr);
  EXPECT_NE(images.files(), nullptr);
  for (int i = 0; i < 100; ++i) images.wanted_again();
  EXPECT_EQ(images.get(), made);
  LazyTaskImages forbidden;
  forbidden.forbid();
  forbidden.make();
  for (int i = 0; i < 100; ++i) forbidden.wanted_again();
  EXPECT_EQ(forbidden.get(), nullptr);
}

}  // namespace
}  // namespace perdure::kernel
