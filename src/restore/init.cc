#include "restore/init.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/bytes.h"
#include "kernel/control_socket.h"
#include "kernel/own_mounts.h"
#include "kernel/pidfd.h"

namespace perdure::restore {
namespace {

// What passes over the channel: the body's outcome (head, then its answer or message, then the
// remedy); then, from the engine, calls (head, then the message), each answered by an outcome,
// and last the message of release().
constexpr uint32_t kSuccess = ~0u;
constexpr uint32_t kOutcomeBytesMax = 64u << 20;
constexpr uint32_t kKeepMax = 16;

struct Outcome {
  uint32_t code;
  uint32_t text_size;
  uint32_t remedy_size;
};

// A descriptor may travel beside it.
struct CallHead {
  uint32_t is_call;  // 0: a ReleaseMessage follows
  uint32_t size;
};

struct ReleaseMessage {
  pid_t main_pid;
  uint32_t keep_count;
  int keep[kKeepMax];
};

// What a PID namespace needs: a /proc of its own.
Status set_up_namespaces(const InitOptions& options) {
  PD_TRY(kernel::keep_mounts());
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return Error::system(errno, "mount", "/proc");
  if (!options.hostname.empty() &&
      sethostname(options.hostname.data(), options.hostname.size()) != 0) {
    return Error::system(errno, "sethostname", options.hostname);
  }
  if (!options.domainname.empty() &&
      setdomainname(options.domainname.data(), options.domainname.size()) != 0) {
    return Error::system(errno, "setdomainname", options.domainname);
  }
  return {};
}

Status send_all(int channel, const void* bytes, size_t size) {
  const char* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t sent = send(channel, at, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return Error::system(errno, "send", "to the engine");
    at += sent;
    size -= static_cast<size_t>(sent);
  }
  return {};
}

// False at the end of the stream.
bool receive_all(int channel, void* bytes, size_t size) {
  char* at = static_cast<char*>(bytes);
  while (size > 0) {
    const ssize_t got = recv(channel, at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

// A head and the descriptor beside it arrive together, for they are sent by one call.
bool receive_head(int channel, CallHead* head, Fd* descriptor) {
  Fd borrowed = Fd::adopt(channel);
  Result<kernel::Received> got = kernel::receive_bytes(
      borrowed, MutableBytes(reinterpret_cast<uint8_t*>(head), sizeof(*head)));
  (void)borrowed.release();
  if (!got.ok() || got->bytes != sizeof(*head)) return false;
  if (!got->descriptors.empty()) *descriptor = std::move(got->descriptors.front());
  return true;
}

void send_outcome(int channel, const Result<std::string>& outcome) {
  std::string text = outcome.ok() ? outcome.value() : outcome.error().message();
  const std::string remedy = outcome.ok() ? "" : outcome.error().remedy();
  Outcome head{outcome.ok() ? kSuccess : static_cast<uint32_t>(outcome.error().code()),
               static_cast<uint32_t>(text.size()), static_cast<uint32_t>(remedy.size())};
  if (send_all(channel, &head, sizeof(head)).ok() &&
      send_all(channel, text.data(), text.size()).ok()) {
    (void)send_all(channel, remedy.data(), remedy.size());
  }
}

Result<std::string> receive_outcome(int channel) {
  Outcome head{};
  const Error early(Code::kInternal, "the group's init ended before it was ready");
  if (!receive_all(channel, &head, sizeof(head))) return early;
  PD_ASSERT(head.text_size <= kOutcomeBytesMax && head.remedy_size <= kOutcomeBytesMax);
  std::string text(head.text_size, '\0');
  std::string remedy(head.remedy_size, '\0');
  if (!receive_all(channel, text.data(), text.size()) ||
      !receive_all(channel, remedy.data(), remedy.size())) {
    return early;
  }
  if (head.code == kSuccess) return text;
  return Error(static_cast<Code>(head.code), std::move(text)).with_remedy(std::move(remedy));
}

void close_all_but(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  unsigned first = 0;
  for (int fd : keep) {
    if (fd < 0 || static_cast<unsigned>(fd) < first) continue;
    if (static_cast<unsigned>(fd) > first)
      kernel::close_range(first, static_cast<unsigned>(fd) - 1);
    first = static_cast<unsigned>(fd) + 1;
  }
  kernel::close_range(first, ~0u);
}

// Reaps until nothing is left. The status of the main process is ours, as a shell would tell it.
int reap_until_empty(pid_t main_pid) {
  int exit_status = 0;
  for (;;) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) return exit_status;
    if (pid == main_pid)
      exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}

// Until the engine has released us we must not outlive it.
void die_with_engine() { (void)prctl(PR_SET_PDEATHSIG, SIGKILL); }

void block_all_signals() {
  sigset_t all;
  sigfillset(&all);
  (void)sigprocmask(SIG_SETMASK, &all, nullptr);
}

Result<std::string> run_body(const InitOptions& options, const Init::Body& body) {
  if (options.namespaces == Namespaces::kOwn) PD_TRY(set_up_namespaces(options));
  return body();
}

// Until the engine releases us. False if it went away.
bool serve_calls(const InitOptions& options, int channel) {
  for (;;) {
    CallHead head{};
    Fd descriptor;
    if (!receive_head(channel, &head, &descriptor)) return false;
    if (head.is_call == 0) return true;
    PD_ASSERT(options.serve && head.size <= kOutcomeBytesMax);
    std::string message(head.size, '\0');
    if (!receive_all(channel, message.data(), message.size())) return false;
    Status served = options.serve(message, std::move(descriptor));
    send_outcome(channel, served.ok() ? Result<std::string>(std::string())
                                      : Result<std::string>(std::move(served).error()));
  }
}

int run_init(const InitOptions& options, const Init::Body& body, int channel) {
  die_with_engine();
  block_all_signals();
  Result<std::string> outcome = run_body(options, body);
  send_outcome(channel, outcome);
  if (!outcome.ok()) return 1;
  if (options.afterwards) options.afterwards();
  if (!serve_calls(options, channel)) return 1;
  ReleaseMessage release{};
  if (!receive_all(channel, &release, sizeof(release))) return 1;
  if (options.namespaces == Namespaces::kShared) return 0;
  (void)prctl(PR_SET_PDEATHSIG, 0);
  (void)prctl(PR_SET_NAME, "perdure-init");
  (void)chdir("/");
  auto close_others = [&](std::vector<int> keep) {
    keep.insert(keep.end(), release.keep, release.keep + std::min(release.keep_count, kKeepMax));
    close_all_but(std::move(keep));
  };
  options.with_kept ? options.with_kept(close_others) : close_others({});
  return reap_until_empty(release.main_pid);
}

}  // namespace

Result<Init> Init::start(const InitOptions& options, const Body& body) {
  int channel[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0)
    return Error::system(errno, "socketpair");
  Fd ours = Fd::adopt(channel[0]);
  Fd theirs = Fd::adopt(channel[1]);
  kernel::SpawnOptions spawn;
  if (options.namespaces == Namespaces::kOwn)
    spawn.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
  kernel::Spawned process = PD_TRY_WITHIN("start the group's init", kernel::spawn(spawn, [&] {
                                            int kept = ours.get();
                                            (void)close(kept);
                                            return run_init(options, body, theirs.get());
                                          }));
  theirs.reset();
  if (options.meanwhile) options.meanwhile();
  Result<std::string> ready = receive_outcome(ours.get());
  if (!ready.ok()) {
    (void)kill(process.pid, SIGKILL);
    (void)waitpid(process.pid, nullptr, __WALL);
    return std::move(ready).error();
  }
  return Init(std::move(process), std::move(ours), std::move(ready).value());
}

Status Init::call(const std::string& message, int descriptor) {
  const CallHead head{1, static_cast<uint32_t>(message.size())};
  PD_TRY(kernel::send_bytes(channel_, bytes_of(head), descriptor));
  PD_TRY(send_all(channel_.get(), message.data(), message.size()));
  PD_TRY(receive_outcome(channel_.get()));
  return {};
}

Status Init::release(pid_t main_pid, const std::vector<int>& keep) {
  PD_ASSERT(keep.size() <= kKeepMax);
  const CallHead head{0, 0};
  PD_TRY_WITHIN("release the group's init", send_all(channel_.get(), &head, sizeof(head)));
  ReleaseMessage message{main_pid, static_cast<uint32_t>(keep.size()), {}};
  std::copy(keep.begin(), keep.end(), message.keep);
  PD_TRY_WITHIN("release the group's init", send_all(channel_.get(), &message, sizeof(message)));
  channel_.reset();
  return {};
}

}  // namespace perdure::restore
