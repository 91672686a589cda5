// Starting a command as a group of its own.
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asm/termbits.h>

#include <cerrno>
#include <cstring>

#include "engine/instance.h"
#include "engine/start.h"
#include "kernel/proc/stat.h"
#include "kernel/terminal.h"
#include "restore/init.h"

namespace perdure::engine {
namespace {

// By then most programs have loaded their libraries.
constexpr uint64_t kPrepareAfterNs = 50'000'000;
// The command is the second process of its PID namespace.
constexpr pid_t kMainPid = 2;

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

// Runs in the command's process; returns only on failure.
Error execute(const StartOptions& options, int slave, const sigset_t& mask) {
  (void)setsid();
  if (slave >= 0 && ioctl(slave, TIOCSCTTY, 0) != 0)
    return Error::system(errno, "take", "the terminal");
  for (int number = 0; number < 3; ++number) {
    const int from = slave >= 0 ? slave : options.streams[static_cast<size_t>(number)];
    if (from == number) {
      (void)fcntl(number, F_SETFD, 0);
    } else if (dup2(from, number) < 0) {
      return Error::system(errno, "place", "standard stream " + std::to_string(number));
    }
  }
  if (!options.cwd.empty() && chdir(options.cwd.c_str()) != 0)
    return Error::system(errno, "enter", options.cwd);
  // Descriptors beyond the standard streams that a shell or terminal left open are not the
  // command's (as with sudo(8)).
  (void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  (void)sigprocmask(SIG_SETMASK, &mask, nullptr);
  std::vector<char*> arguments = pointers(options.command);
  std::vector<char*> environment = pointers(options.environment);
  execvpe(arguments[0], arguments.data(), environment.data());
  return Error::system(errno, "execute", options.command[0])
      .with_remedy("check the command's name and PATH, and that it may be executed");
}

// Forks the command; its failure to execute comes back through a pipe that execve(2) closes.
Status spawn_command(const StartOptions& options, int slave, const sigset_t& mask) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return Error::system(errno, "pipe");
  Fd reading = Fd::adopt(report[0]);
  Fd writing = Fd::adopt(report[1]);
  const pid_t child = fork();
  if (child < 0) return Error::system(errno, "fork");
  if (child == 0) {
    Error error = execute(options, slave, mask);
    const std::string text =
        std::string(1, static_cast<char>(error.code())) + error.message() + '\0' + error.remedy();
    (void)!write(report[1], text.data(), text.size());
    _exit(127);
  }
  writing.reset();
  char text[4096];
  ssize_t size;
  do {
    size = read(reading.get(), text, sizeof(text) - 1);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return {};
  text[size] = '\0';
  const std::string message(text + 1);
  const char* remedy =
      message.size() + 2 < static_cast<size_t>(size) ? text + message.size() + 2 : "";
  return Error(static_cast<Code>(text[0]), message).with_remedy(remedy);
}

}  // namespace

Status start(const StartOptions& options, GroupState* state) {
  PD_ASSERT(!options.command.empty());
  kernel::TerminalPair terminal;
  if (options.terminal == Terminal::kNew) {
    terminal =
        PD_TRY(kernel::open_terminal(options.terminal_size.rows, options.terminal_size.columns));
  }
  const int slave = terminal.slave.valid() ? terminal.slave.get() : -1;
  sigset_t mask;  // the init blocks everything; the command gets the caller's
  sigemptyset(&mask);
  (void)sigprocmask(SIG_SETMASK, nullptr, &mask);
  auto body = [&]() -> Result<std::string> {
    PD_TRY(spawn_command(options, slave, mask));
    return std::string();
  };
  restore::Init init = PD_TRY(restore::Init::start({}, body));
  for (const std::string& word : options.command) state->instance.add_command(word);
  PD_TRY(settle_instance({&init, kMainPid, std::move(terminal.master)}, state));
  state->prepare_at_ns = state->clock.monotonic_ns() + kPrepareAfterNs;
  return {};
}

}  // namespace perdure::engine
