#include "restore/init.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel/proc/read.h"

namespace perdure::restore {
namespace {

// What passes over the channel: first the body's outcome (code, then message and remedy, each with its NUL), then, from
// the engine, the numbers for release().
constexpr size_t kMessageMax = 8192;

struct ReleaseMessage {
  pid_t main_pid;
  uint32_t keep_count;
  int keep[16];
};

Status mount_at(const char* source, const char* target, const char* type, unsigned long flags, const char* data) {
  if (mount(source, target, type, flags, data) != 0) return Error::system(errno, "mount", target);
  return {};
}

// What a PID namespace needs: a /proc of its own. Mounts of the host still arrive, ours do not leave.
Status set_up_namespaces(const InitOptions& options) {
  PD_TRY(mount_at("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr));
  PD_TRY(mount_at("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
  if (!options.hostname.empty() && sethostname(options.hostname.data(), options.hostname.size()) != 0) {
    return Error::system(errno, "sethostname", options.hostname);
  }
  if (!options.domainname.empty() && setdomainname(options.domainname.data(), options.domainname.size()) != 0) {
    return Error::system(errno, "setdomainname", options.domainname);
  }
  return {};
}

void send_outcome(int channel, const Status& outcome) {
  std::string text;
  if (outcome.ok()) {
    text.push_back('\0');
  } else {
    text.push_back(static_cast<char>(static_cast<int>(outcome.error().code()) + 1));
    text += outcome.error().message().substr(0, 4000);
    text.push_back('\0');
    text += outcome.error().remedy().substr(0, 2000);
  }
  text.push_back('\0');
  (void)send(channel, text.data(), text.size(), MSG_NOSIGNAL);
}

Status receive_outcome(int channel) {
  char text[kMessageMax];
  ssize_t size;
  do {
    size = recv(channel, text, sizeof(text) - 1, 0);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return Error(Code::kInternal, "the group's init ended before it was ready");
  text[size] = '\0';
  if (text[0] == '\0') return {};
  Code code = static_cast<Code>(text[0] - 1);
  std::string message(text + 1);
  size_t remedy_at = 1 + message.size() + 1;
  Error error(code, std::move(message));
  if (remedy_at < static_cast<size_t>(size)) error = std::move(error).with_remedy(text + remedy_at);
  return error;
}

void close_all_but(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  unsigned first = 0;
  for (int fd : keep) {
    if (fd < 0 || static_cast<unsigned>(fd) < first) continue;
    if (static_cast<unsigned>(fd) > first) (void)syscall(SYS_close_range, first, static_cast<unsigned>(fd) - 1, 0);
    first = static_cast<unsigned>(fd) + 1;
  }
  (void)syscall(SYS_close_range, first, ~0u, 0);
}

// Reaps until nothing is left. The status of the main process is ours, as a shell would tell it.
int reap_until_empty(pid_t main_pid) {
  int exit_status = 0;
  for (;;) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) return exit_status;
    if (pid == main_pid) exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}

// Until the engine has released us we must not outlive it.
void die_with_engine() { (void)prctl(PR_SET_PDEATHSIG, SIGKILL); }

void block_all_signals() {
  sigset_t all;
  sigfillset(&all);
  (void)sigprocmask(SIG_SETMASK, &all, nullptr);
}

int run_init(const InitOptions& options, const Init::Body& body, int channel) {
  die_with_engine();
  block_all_signals();
  Status outcome = {};
  if (options.namespaces == Namespaces::kOwn) outcome = set_up_namespaces(options);
  if (outcome.ok()) outcome = body();
  bool ok = outcome.ok();
  send_outcome(channel, outcome);
  if (!ok) return 1;
  ReleaseMessage release{};
  ssize_t size;
  do {
    size = recv(channel, &release, sizeof(release), 0);
  } while (size < 0 && errno == EINTR);
  if (size != static_cast<ssize_t>(sizeof(release))) return 1;
  if (options.namespaces == Namespaces::kShared) return 0;
  (void)prctl(PR_SET_PDEATHSIG, 0);
  (void)prctl(PR_SET_NAME, "perdure-init");
  (void)chdir("/");
  close_all_but(std::vector<int>(release.keep, release.keep + std::min<uint32_t>(release.keep_count, 16)));
  return reap_until_empty(release.main_pid);
}

}  // namespace

Result<Init> Init::start(const InitOptions& options, const Body& body) {
  int channel[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0) return Error::system(errno, "socketpair");
  Fd ours = Fd::adopt(channel[0]);
  Fd theirs = Fd::adopt(channel[1]);
  kernel::SpawnOptions spawn;
  if (options.namespaces == Namespaces::kOwn) spawn.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
  kernel::Spawned process = PD_TRY_WITHIN("start the group's init", kernel::spawn(spawn, [&] {
                                            int kept = ours.get();
                                            (void)close(kept);
                                            return run_init(options, body, theirs.get());
                                          }));
  theirs.reset();
  Status ready = receive_outcome(ours.get());
  if (!ready.ok()) {
    (void)kill(process.pid, SIGKILL);
    (void)waitpid(process.pid, nullptr, __WALL);
    return std::move(ready).error();
  }
  return Init(std::move(process), std::move(ours));
}

Status Init::release(pid_t main_pid, const std::vector<int>& keep) {
  PD_ASSERT(keep.size() <= 16);
  ReleaseMessage message{main_pid, static_cast<uint32_t>(keep.size()), {}};
  std::copy(keep.begin(), keep.end(), message.keep);
  if (send(channel_.get(), &message, sizeof(message), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(message))) {
    return Error::system(errno, "release", "the group's init");
  }
  channel_.reset();
  return {};
}

}  // namespace perdure::restore
