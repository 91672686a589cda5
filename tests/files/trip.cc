#include "trip.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/fd.h"
#include "kernel/file_images.h"
#include "restore/file_late.h"

namespace perdure::trip {
namespace {

constexpr int kReport = 999;  // where a process tells what went wrong

void stop_here() { ::raise(SIGSTOP); }

[[noreturn]] void end_process(int status) { ::_exit(status); }

void keep_only_report(int report, int terminal = -1) {
  ::dup2(report, kReport);
  if (terminal >= 0) {
    ::dup2(terminal, 3);
    ::syscall(SYS_close_range, 4u, static_cast<unsigned>(kReport) - 1, 0u);
    ::syscall(SYS_close_range, static_cast<unsigned>(kReport) + 1, ~0u, 0u);
    return;
  }
  ::syscall(SYS_close_range, 3u, static_cast<unsigned>(kReport) - 1, 0u);
  ::syscall(SYS_close_range, static_cast<unsigned>(kReport) + 1, ~0u, 0u);
}

std::string drain_report(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t got;
  while ((got = ::read(fd, buffer, sizeof(buffer))) > 0)
    text.append(buffer, static_cast<size_t>(got));
  return text;
}

// Runs a late call in ourselves, as a batch would in the target.
std::string run_late(const std::vector<restore::LateCall>& calls) {
  for (const restore::LateCall& call : calls) {
    std::array<uint64_t, 6> args;
    for (size_t i = 0; i < 6; ++i) args[i] = call.args[i].value;
    if (call.data_argument >= 0) {
      args[static_cast<size_t>(call.data_argument)] = reinterpret_cast<uint64_t>(call.data.data());
    }
    const long result =
        ::syscall(call.number, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (result < 0) return call.what + ": " + std::strerror(errno);
  }
  return {};
}

const object::Process& process_at(const object::Graph& graph, int index) {
  return graph.processes.at(ObjectId(1000 + static_cast<uint64_t>(index)));
}

std::string take_descriptors(const object::Graph& graph, const restore::OpenedFiles& opened,
                             int index) {
  const object::Process& process = process_at(graph, index);
  for (const object::FdEntry& entry : process.fds()) {
    if (entry.fd() <= 2) continue;  // the test's own
    const int from = opened.files.at(ObjectId(entry.file()));
    if (::dup3(from, entry.fd(), entry.close_on_exec() ? O_CLOEXEC : 0) < 0)
      return std::strerror(errno);
  }
  ::syscall(SYS_close_range, static_cast<unsigned>(opened.first), ~0u, 0u);
  ::dup2(2, kReport);
  return run_late(restore::final_file_calls(process, graph));
}

}  // namespace

void require(bool condition, const char* text, int line) {
  if (condition) return;
  const std::string message =
      "line " + std::to_string(line) + ": " + text + " (errno " + std::strerror(errno) + ")\n";
  (void)!::write(kReport, message.data(), message.size());
  end_process(1);
}

Group::Group(Plan plan) : plan_(std::move(plan)), ids_(object::kFirstFreeObjectId) {
  int pids_pipe[2];
  EXPECT_EQ(::pipe(pids_pipe), 0);
  const pid_t first = ::fork();
  if (first == 0) {
    keep_only_report(pids_pipe[1]);
    plan_.set_up();
    int index = 0;
    // The others are children of the test, so that it can wait for them.
    std::vector<pid_t> others;
    for (int i = 1; i < plan_.processes; ++i) {
      const long pid = ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
      if (pid == 0) {
        index = i;
        break;
      }
      others.push_back(static_cast<pid_t>(pid));
    }
    for (const pid_t other : others) (void)!::write(kReport, &other, sizeof(other));
    if (plan_.set_up_each) plan_.set_up_each(index);
    // The report pipe is no part of the group.
    ::close(kReport);
    stop_here();
    ::dup2(2, kReport);
    plan_.check(index);
    end_process(0);
  }
  ::close(pids_pipe[1]);
  pids_.push_back(first);
  // Everything in the pipe is a pid, or a failed requirement.
  const std::string text = drain_report(pids_pipe[0]);
  ::close(pids_pipe[0]);
  if (text.size() % sizeof(pid_t) != 0 || text.compare(0, 4, "line") == 0) ADD_FAILURE() << text;
  for (size_t at = 0;
       at + sizeof(pid_t) <= text.size() && static_cast<int>(pids_.size()) < plan_.processes;
       at += sizeof(pid_t)) {
    pid_t pid;
    std::memcpy(&pid, text.data() + at, sizeof(pid));
    pids_.push_back(pid);
  }
  for (const pid_t pid : pids_) {
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, WUNTRACED), pid);
    EXPECT_TRUE(WIFSTOPPED(status)) << "a process ended before it was set up";
  }
}

Group::~Group() { lose(); }

Status Group::capture(const capture::FileOptions& options) { return capture_pids(pids_, options); }

Status Group::capture_some(size_t count) {
  return capture_pids({pids_.begin(), pids_.begin() + static_cast<ptrdiff_t>(count)}, {});
}

capture::FileMemo memo_that_believes_soon() {
  capture::FileMemo memo;
  memo.known = capture::KnownFiles(50'000'000);
  return memo;
}

kernel::FileImages* file_images() {
  static const std::unique_ptr<kernel::FileImages> images = [] {
    const auto btf = kernel::Btf::read_kernel();
    auto made = btf.ok() ? kernel::FileImages::create(*btf)
                         : Result<std::unique_ptr<kernel::FileImages>>(btf.error());
    return made.ok() ? std::move(*made) : nullptr;
  }();
  return images.get();
}

namespace {

// Records as text, without the time that timers have left.
template <typename Map>
std::string text_of(const Map& records) {
  std::string text;
  for (auto [id, record] : records) {
    if constexpr (std::is_same_v<decltype(record), object::OpenFile>) {
      if (record.has_timerfd()) record.clear_timerfd();
    }
    text += std::to_string(id.value) + " { " + record.ShortDebugString() + " }\n";
  }
  return text;
}

std::string text_of(const capture::FileCapture& capture) {
  std::string text = text_of(capture.files) + text_of(capture.pipes) + text_of(capture.ptys);
  for (const capture::ProcessFiles& process : capture.processes) {
    object::Process record;
    capture::put_files(process, &record);
    text += record.ShortDebugString() + "\n";
  }
  return text;
}

}  // namespace

// What images of descriptors tell is what is found without them, in the same stop; also where an
// earlier capture left something to remember.
Status Group::expect_same_by_images(const std::vector<capture::Member>& members,
                                    const capture::FileOptions& options) {
  if (file_images() == nullptr) return {};
  capture::MemoryObjects memory(ids_);
  capture::FileOptions one_by_one = options;
  one_by_one.images = nullptr;
  one_by_one.memo = nullptr;
  const auto plain = capture::capture_files(members, ids_, memory, one_by_one);
  capture::FileMemo memo = memo_that_believes_soon();
  capture::FileOptions by_images = options;
  by_images.images = file_images();
  by_images.memo = &memo;
  for (int i = 0; i < 3; ++i) {
    memory.clear();
    if (i == 1) ::usleep(60'000);  // what was changed before is known from here on
    auto seen = capture::capture_files(members, ids_, memory, by_images);
    EXPECT_EQ(plain.ok(), seen.ok());
    if (!plain.ok() && !seen.ok()) {
      EXPECT_EQ(plain.error().to_string(), seen.error().to_string());
    }
    if (plain.ok() && seen.ok()) {
      EXPECT_EQ(text_of(*plain), text_of(*seen));
      memo.known.take_back(&seen->files);
    }
  }
  return {};
}

Status Group::capture_pids(const std::vector<pid_t>& pids, const capture::FileOptions& options) {
  std::vector<Fd> pidfds;
  std::vector<capture::Member> members;
  for (const pid_t pid : pids) {
    pidfds.push_back(Fd::adopt(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))));
    members.push_back({pid, pid, pidfds.back().get(), "subject"});
  }
  PD_TRY(expect_same_by_images(members, options));
  capture::MemoryObjects memory(ids_);
  capture::FileCapture found = PD_TRY(capture::capture_files(members, ids_, memory, options));
  graph_ = {};
  graph_.open_files = std::move(found.files);
  graph_.pipes = std::move(found.pipes);
  graph_.ptys = std::move(found.ptys);
  graph_.versions.insert(found.versions.begin(), found.versions.end());
  for (size_t i = 0; i < pids.size(); ++i) {
    object::Process& process = graph_.processes[ObjectId(1000 + i)];
    process.set_pid(pids[i]);
    capture::put_files(found.processes[i], &process);
  }
  for (const auto& [id, entry] : memory.entries()) {
    graph_.memory_objects[id] = entry.record;
    std::string& content = contents_[id];
    content.resize(entry.record.size());
    EXPECT_EQ(::pread(entry.content.get(), content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
  }
  return {};
}

void Group::go_on() {
  for (const pid_t pid : pids_) {
    ::kill(pid, SIGCONT);
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the capture changed something";
  }
  pids_.clear();
}

void Group::lose() {
  for (const pid_t pid : pids_) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  pids_.clear();
}

std::string Group::restore(restore::FileBuildOptions options, int terminal) {
  lose();
  options.fill_memory = [this](ObjectId id, int fd) -> Status {
    const std::string& content = contents_.at(id);
    if (::pwrite(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()))
      return {};
    return Error::system(errno, "fill");
  };
  int report[2];
  EXPECT_EQ(::pipe(report), 0);
  const pid_t builder_pid = ::fork();
  if (builder_pid == 0) {
    keep_only_report(report[1], terminal);
    if (options.fresh_namespaces) {
      (void)::unshare(CLONE_NEWNS);
      (void)::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    }
    const auto fail = [](const std::string& text) {
      (void)!::write(kReport, text.data(), text.size());
      end_process(1);
    };
    Result<restore::FileBuilder> builder = restore::FileBuilder::open_all(graph_, options);
    if (!builder.ok()) fail(builder.error().to_string());
    std::vector<pid_t> children;
    int gates[2];
    for (int i = 0; i < plan_.processes; ++i) {
      if (::pipe(gates) != 0) fail("pipe");
      const int gate = ::fcntl(gates[0], F_DUPFD, 900);
      const pid_t child = ::fork();
      if (child == 0) {
        ::close(gates[0]);
        ::close(gates[1]);
        const std::string failed = take_descriptors(graph_, builder->opened(), i);
        if (!failed.empty()) fail(failed);
        ::close(gate);
        // The builder has let go of its descriptors when the parent lets us go.
        stop_here();
        plan_.check(i);
        end_process(0);
      }
      ::close(gate);
      ::close(gates[0]);
      ::close(gates[1]);
      children.push_back(child);
    }
    { const restore::FileBuilder gone = std::move(builder).value(); }
    int worst = 0;
    for (const pid_t child : children) {
      int status = 0;
      ::waitpid(child, &status, WUNTRACED);
    }
    for (const pid_t child : children) {
      int status = 0;
      ::kill(child, SIGCONT);
      ::waitpid(child, &status, 0);
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) worst = 1;
    }
    end_process(worst);
  }
  ::close(report[1]);
  std::string text = drain_report(report[0]);
  ::close(report[0]);
  int status = 0;
  ::waitpid(builder_pid, &status, 0);
  const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return well ? std::string() : text.empty() ? "a restored process failed" : text;
}

const object::OpenFile& Group::file(int fd) const {
  for (const object::FdEntry& entry : process_at(graph_, 0).fds()) {
    if (entry.fd() == fd) return graph_.open_files.at(ObjectId(entry.file()));
  }
  static const object::OpenFile none;
  ADD_FAILURE() << "no descriptor " << fd;
  return none;
}

void expect_round_trip(Plan plan, const restore::FileBuildOptions& options) {
  {
    Group group(plan);
    for (int epoch = 0; epoch < 2; ++epoch) {
      const Status captured = group.capture();
      ASSERT_TRUE(captured.ok()) << captured.error().to_string();
    }
    group.go_on();
  }
  Group group(plan);
  const Status captured = group.capture();
  ASSERT_TRUE(captured.ok()) << captured.error().to_string();
  EXPECT_EQ(group.restore(options), "");
}

std::string refusal_of(std::function<void()> set_up) {
  Group group({std::move(set_up), nullptr, [](int) {}, 1});
  const Status captured = group.capture();
  if (captured.ok()) return "accepted";
  EXPECT_EQ(captured.error().code(), Code::kUnsupported);
  EXPECT_FALSE(captured.error().remedy().empty());
  return captured.error().message();
}

Folder::Folder() {
  std::string name = "/tmp/perdure-trip-XXXXXX";
  path_ = ::mkdtemp(name.data()) == nullptr ? std::string() : name;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string read_text(int fd, size_t size) {
  std::string text(size, '\0');
  const ssize_t got = ::read(fd, text.data(), size);
  if (got < 0) return errno == EAGAIN ? "EAGAIN" : std::strerror(errno);
  if (got == 0) return "EOF";
  text.resize(static_cast<size_t>(got));
  return text;
}

void write_text(int fd, const std::string& text) {
  REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

void place(int from, int to) {
  REQUIRE(from >= 0);
  if (from == to) return;
  REQUIRE(::dup2(from, to) == to);
  ::close(from);
}

void make_nonblocking(int fd) {
  REQUIRE(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

std::string content_of(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

void put_content(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace perdure::trip
