// Init: the process that holds a group together. With namespaces of its own it is their PID 1: it
// mounts what they need, starts or rebuilds the group's first processes, reaps orphans, and ends
// when the last process of the group has ended, with the exit status of the group's command. For a
// group without namespaces of its own it is a builder that ends as soon as the first processes
// exist.
//
// It is a fork of the engine and runs ordinary code of ours, but outlives the engine: it keeps no
// descriptor of the engine's except those that it is told to keep.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/spawn.h"

namespace perdure::restore {

enum class Namespaces : uint8_t { kOwn, kShared };

struct InitOptions {
  Namespaces namespaces = Namespaces::kOwn;
  std::string hostname;  // kOwn: empty keeps the host's
  std::string domainname;
  pid_t enter_namespaces_of = 0;  // kShared: a process whose namespaces are entered first; 0: ours
  // In the caller, while the init runs its body.
  std::function<void()> meanwhile;
  // In the init, once its answer is on its way, while the caller goes on.
  std::function<void()> afterwards;
  // In the init, for each call(), until it is released.
  std::function<Status(const std::string& message, Fd descriptor)> serve;
  // In the init, when it is released: calls `work` with descriptors that stay open.
  std::function<void(const std::function<void(std::vector<int>)>& work)> with_kept;
};

class Init {
 public:
  // Clones the init and waits until `body` has run in it, inside the namespaces. What body returned
  // is in answer(); an error of body is returned here, and the init has ended. While the Init is
  // not yet released, it and all it made die with the engine.
  using Body = std::function<Result<std::string>()>;
  static Result<Init> start(const InitOptions& options, const Body& body);

  Init(Init&&) = default;
  Init& operator=(Init&&) = default;

  const std::string& answer() const { return answer_; }
  pid_t pid() const { return process_.pid; }
  const Fd& pidfd() const { return process_.pidfd; }
  Fd take_pidfd() { return std::move(process_.pidfd); }
  // Has InitOptions::serve run in the init. descriptor: -1 for none.
  Status call(const std::string& message, int descriptor);
  // Lets it live without the engine: closes every descriptor except `keep`, then reaps (kOwn) or
  // ends (kShared). main_pid: the group's command, as the init sees it; its exit status becomes the
  // init's.
  Status release(pid_t main_pid, const std::vector<int>& keep);

 private:
  Init(kernel::Spawned process, Fd channel, std::string answer)
      : process_(std::move(process)), channel_(std::move(channel)), answer_(std::move(answer)) {}
  kernel::Spawned process_;
  Fd channel_;
  std::string answer_;
};

}  // namespace perdure::restore
