// What is known of a process is compared with what a capture finds that knows nothing of it, in the
// same stop.
#include "capture/collect.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "capture/blocked_call.h"
#include "capture/wait_seen.h"
#include "kernel/test_changes.h"
#include "kernel/tracer_thread.h"

namespace perdure::capture {
namespace {

using google::protobuf::util::MessageDifferencer;
using kernel::Actor;

SystemClock real_clock;

// Captures of one process, as the engine makes them.
class Captures {
 public:
  explicit Captures(pid_t pid) : pid_(pid) { images_ = make_images(); }
  static std::unique_ptr<kernel::TaskImages> make_images() {
    auto made = kernel::TaskImages::create();
    return made.ok() ? std::move(*made) : nullptr;
  }
  bool have_images() const { return images_ != nullptr; }

  struct Got {
    Status status;
    object::Graph graph;
    std::vector<memory::Area> areas;
  };
  // Both of one stop.
  struct Pair {
    Got known, anew;
    bool was_known = false;  // nothing was asked anew
  };

  Pair capture() {
    Pair pair;
    files_.look_again();
    Scope scope;
    scope.roots = {pid_};
    const Status frozen =
        while_frozen(scope, &task_clock_, &waits_, real_clock, [&](Frozen& group) -> Status {
          StoppedProcess& process = group.processes().front();
          files_.reset();
          pair.known = collect(group, &process, &memo_, images_.get());
          pair.was_known = memo_.unchanged;
          ProcessMemo fresh;
          files_.reset();
          pair.anew = collect(group, &process, &fresh, nullptr);
          return {};
        });
    EXPECT_TRUE(frozen.ok()) << frozen.error().to_string();
    return pair;
  }

 private:
  Got collect(Frozen& group, StoppedProcess* process, ProcessMemo* memo,
              kernel::TaskImages* images) {
    Got got;
    memo->pid = pid_;
    memo->start_ticks = process->start_ticks;
    memo->tracked = true;
    const auto namespaces = kernel::proc::read_namespaces(::getpid()).value();
    MemoryObjects objects(ids_);
    object::Graph graph;
    CollectContext context{graph,
                           ids_,
                           pids_,
                           waits_,
                           files_,
                           objects,
                           namespaces,
                           kernel::own_tid(),
                           namespaces.link(kernel::proc::Namespace::kIpc),
                           group.stopped_at_ns(),
                           images};
    got.status = [&]() -> Status {
      PD_TRY(enter_process(process, kernel::BatchArea::at(RemoteAddr()), memo, images));
      const CollectedProcess collected = PD_TRY(collect_process(process, memo, &context));
      got.areas = collected.areas;
      got.graph = graph;
      expect_one_record_for_each_version(graph);
      take_back(collected, &graph, memo);
      return {};
    }();
    return got;
  }

  void expect_one_record_for_each_version(const object::Graph& graph) {
    const auto expect = [&](const auto& records) {
      for (const auto& [id, record] : records) {
        const auto version = graph.versions.find(id);
        if (version == graph.versions.end()) continue;
        const std::string bytes = record.SerializeAsString();
        EXPECT_EQ(versions_.emplace(version->second, bytes).first->second, bytes);
      }
    };
    expect(graph.processes);
    expect(graph.threads);
    expect(graph.address_spaces);
  }

  pid_t pid_;
  std::map<uint64_t, std::string> versions_;
  std::unique_ptr<kernel::TaskImages> images_;
  ProcessMemo memo_;
  object::IdTable ids_{object::kFirstFreeObjectId};
  kernel::PidMap pids_;
  TaskClock task_clock_;
  WaitBook waits_;
  ChecksumCache checksums_;
  MappedFiles files_{ids_, &checksums_};
};

#define SKIP_WITHOUT_IMAGES(captures) \
  if (!(captures).have_images()) GTEST_SKIP() << "needs the feature: BPF iterators over tasks"

template <typename Map>
void expect_same(const Map& known, const Map& anew, const std::string& what) {
  ASSERT_EQ(known.size(), anew.size()) << what;
  for (const auto& [id, record] : anew) {
    std::string difference;
    MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(known.contains(id) && differencer.Compare(known.at(id), record))
        << what << ": " << difference;
  }
}

void expect_same(const Captures::Pair& pair, const std::string& what) {
  ASSERT_EQ(pair.known.status.ok(), pair.anew.status.ok()) << what;
  if (!pair.anew.status.ok()) {
    EXPECT_EQ(pair.known.status.error().to_string(), pair.anew.status.error().to_string()) << what;
    return;
  }
  // What captures do in between may make the thread sleep once more.
  object::Graph known = pair.known.graph, anew = pair.anew.graph;
  for (object::Graph* graph : {&known, &anew}) {
    for (auto& [id, thread] : graph->threads) thread.mutable_blocked()->clear_sleeps();
  }
  expect_same(known.processes, anew.processes, what);
  expect_same(known.threads, anew.threads, what);
  expect_same(known.address_spaces, anew.address_spaces, what);
  EXPECT_EQ(pair.known.areas.size(), pair.anew.areas.size()) << what;
}

// From the second on what the first capture found holds.
void make_known(Captures& captures) {
  for (int i = 0; i < 3; ++i) expect_same(captures.capture(), "before");
  EXPECT_TRUE(captures.capture().was_known);
}

TEST(Collect, WhatAProgramDidNotChangeIsKnown) {
  Actor actor({[] { return ::getppid() != 0; }});
  Captures captures(actor.pid());
  SKIP_WITHOUT_IMAGES(captures);
  make_known(captures);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(actor.act(0));
    const Captures::Pair pair = captures.capture();
    EXPECT_TRUE(pair.was_known);
    expect_same(pair, "after some calls");
  }
}

// But for the address space, whose lock the capture that knows nothing takes.
std::map<ObjectId, uint64_t> versions_of_tasks(const object::Graph& graph) {
  std::map<ObjectId, uint64_t> versions = graph.versions;
  for (const auto& [id, space] : graph.address_spaces) versions.erase(id);
  return versions;
}

TEST(Collect, RecordsOfWhatIsAtRestKeepTheirVersions) {
  Actor actor({[] { return ::getppid() != 0; }});
  Captures captures(actor.pid());
  SKIP_WITHOUT_IMAGES(captures);
  make_known(captures);
  const auto versions = versions_of_tasks(captures.capture().known.graph);
  EXPECT_EQ(versions.size(), 2u);
  EXPECT_EQ(versions_of_tasks(captures.capture().known.graph), versions);
}

TEST(Collect, WhatAProgramChangesIsSeen) {
  for (const kernel::Change& change : kernel::changes()) {
    Actor actor({change.act});
    Captures captures(actor.pid());
    SKIP_WITHOUT_IMAGES(captures);
    make_known(captures);
    if (!actor.act(0)) continue;
    for (int i = 0; i < 3; ++i) expect_same(captures.capture(), change.name);
  }
}

TEST(Collect, WhatOthersChangeIsSeen) {
  Actor actor({[] {
    sigset_t all;
    sigfillset(&all);
    return ::sigprocmask(SIG_BLOCK, &all, nullptr) == 0;
  }});
  const pid_t pid = actor.pid();
  EXPECT_TRUE(actor.act(0));
  Captures captures(pid);
  SKIP_WITHOUT_IMAGES(captures);
  const std::vector<kernel::Change> outside = {
      {"limit",
       [pid] {
         const rlimit limit = {1000, 1000};
         return ::prlimit(pid, RLIMIT_CORE, &limit, nullptr) == 0;
       }},
      {"nice", [pid] { return ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), 7) == 0; }},
      {"policy",
       [pid] {
         const sched_param none = {};
         return ::sched_setscheduler(pid, SCHED_BATCH, &none) == 0;
       }},
      {"affinity",
       [pid] {
         cpu_set_t processors;
         CPU_ZERO(&processors);
         CPU_SET(0, &processors);
         return ::sched_setaffinity(pid, sizeof(processors), &processors) == 0;
       }},
      {"io priority", [pid] { return ::syscall(SYS_ioprio_set, 1, pid, 2 << 13 | 5) == 0; }},
      {"process group", [pid] { return ::setpgid(pid, pid) == 0; }},
      {"signal", [pid] { return ::kill(pid, SIGUSR1) == 0; }},
      {"signal of a thread", [pid] { return ::syscall(SYS_tgkill, pid, pid, SIGUSR2) == 0; }},
  };
  for (const kernel::Change& change : outside) {
    make_known(captures);
    EXPECT_TRUE(change.act()) << change.name;
    for (int i = 0; i < 3; ++i) expect_same(captures.capture(), change.name);
  }
}

TEST(Collect, MappingsThatChangedAreSeen) {
  constexpr size_t kBytes = 16 * 4096;
  static char* memory = nullptr;
  const std::vector<kernel::Change> all = {
      {"mmap",
       [] {
         memory = static_cast<char*>(
             ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
         return memory != MAP_FAILED;
       }},
      {"write",
       [] {
         std::memset(memory, 1, kBytes);
         return true;
       }},
      {"mprotect", [] { return ::mprotect(memory, 4096, PROT_READ) == 0; }},
      // mlock(3) does nothing under AddressSanitizer
      {"mlock", [] { return ::syscall(SYS_mlock, memory + 4096, 4096) == 0; }},
      {"mremap", [] { return ::mremap(memory + 8192, 4096, 65536, MREMAP_MAYMOVE) != MAP_FAILED; }},
      {"brk", [] { return ::sbrk(4096) != nullptr; }},
      {"shared memory",
       [] {
         return ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                       0) != MAP_FAILED;
       }},
      {"munmap", [] { return ::munmap(memory, kBytes) == 0; }},
  };
  std::vector<Actor::Act> acts;
  for (const kernel::Change& change : all) acts.push_back(change.act);
  Actor actor(acts);
  Captures captures(actor.pid());
  SKIP_WITHOUT_IMAGES(captures);
  for (size_t i = 0; i < all.size(); ++i) {
    make_known(captures);
    EXPECT_TRUE(actor.act(i)) << all[i].name;
    for (int k = 0; k < 3; ++k) expect_same(captures.capture(), all[i].name);
  }
}

TEST(Collect, TimersThatRunAreAskedForEachTime) {
  Actor actor({[] {
    const itimerval later = {{0, 0}, {1000, 0}};
    return ::setitimer(ITIMER_REAL, &later, nullptr) == 0;
  }});
  Captures captures(actor.pid());
  SKIP_WITHOUT_IMAGES(captures);
  make_known(captures);
  EXPECT_TRUE(actor.act(0));
  for (int i = 0; i < 3; ++i) {
    const Captures::Pair pair = captures.capture();
    EXPECT_FALSE(pair.was_known);
    ASSERT_TRUE(pair.known.status.ok());
    EXPECT_EQ(pair.known.graph.processes.begin()->second.interval_timers_size(), 1);
  }
}

}  // namespace
}  // namespace perdure::capture
