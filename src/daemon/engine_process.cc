#include "daemon/engine_process.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/end_note.h"
#include "daemon/log.h"
#include "daemon/message.h"
#include "daemon/server.h"
#include "kernel/control_socket.h"
#include "kernel/daemonize.h"
#include "kernel/file.h"
#include "kernel/folder.h"
#include "kernel/sched.h"

namespace perdure::daemon {
namespace {

struct Begun {
  std::unique_ptr<GroupControl> group;
  Fd listener;
  control::Response started;
};

void close_callers_own(const std::vector<int>& numbers) {
  for (int number : numbers) {
    if (kernel::is_callers_own(number)) kernel::close_descriptors({number});
  }
}

// The caller holds the group's lock.
Result<Begun> begin(const Places& places, const LaunchOptions& options, EngineTask& task) {
  const GroupPlace& place = options.place;
  Begun begun;
  PD_TRY(places.announce(place));
  begun.listener = PD_TRY(kernel::listen_unix(place.socket_path));
  if (!options.foreground) close_callers_own(options.inherited);
  control::Started& started = *begun.started.mutable_started();
  begun.group = PD_TRY(task.begin(started));
  PD_TRY(remove_end_note(place.directory));
  started.set_name(begun.group->name());
  started.set_engine_pid(::getpid());
  started.set_root_pid(begun.group->root_pid());
  started.set_processes(static_cast<uint32_t>(begun.group->processes().size()));
  started.set_has_terminal(begun.group->terminal_fd() >= 0);
  return begun;
}

// The starter may be gone; the group does not care.
void say(const Fd& starter, const control::Response& response, int descriptor = -1) {
  std::vector<uint8_t> frame = encode_frame(response.SerializeAsString());
  (void)kernel::send_bytes(starter, frame, descriptor).ok();
}

// Without the lock nothing here is ours to undo: another engine may hold the group.
int fail(const Fd& starter, const Error& error) {
  control::Response response;
  write_error(error, *response.mutable_failure());
  say(starter, response);
  return exit_status(error.code());
}

void undo(const Places& places, const GroupPlace& place, EngineTask& task) {
  (void)kernel::remove_file_if_exists(place.socket_path).ok();
  task.undo();
  if (!kernel::is_folder(place.directory)) places.forget(place);
}

void note_end(const GroupPlace& place, const ServerResult& result, const Clock& clock, Log& log) {
  EndNote note;
  note.how = result.end == ServerEnd::kDetached ? EndNote::How::kDetached : EndNote::How::kEnded;
  note.wait_status = result.wait_status;
  note.realtime_ns = clock.realtime_ns();
  log.info(
      result.wait_status
          ? "the group's command " + describe_wait_status(*result.wait_status)
          : std::string(result.end == ServerEnd::kDetached ? "detached" : "the group has ended"));
  Status noted = write_end_note(place.directory, note);
  if (!noted.ok()) log.warn(noted.error().message());
}

// From here on the engine holds nothing of the caller's: no pipe end, no folder, no descriptor.
Status give_up_caller(const LaunchOptions& options) {
  if (options.arguments == nullptr) return Ok{};
  kernel::close_descriptors(options.inherited);
  ::umask(077);
  return kernel::leave_caller();
}

constexpr uint64_t kDescriptorsAtFirst = 1024;

// The group stands still until this thread has run: where the processors are busy, waiting for its
// turn is most of a stop window (p99 halves). Everything that is forked was forked before.
void hurry_stops(Log& log) {
  constexpr int kNice = -10;
  Result<kernel::SchedulerAttributes> own = kernel::sched_getattr(0);
  if (!own.ok() || own->nice <= kNice) return;
  own->nice = kNice;
  own->runtime_ns = 0;  // the usual slice
  const Status set = kernel::sched_setattr(0, *own);
  if (!set.ok())
    log.info("stops may take longer where processors are busy: " + set.error().message());
}

int serve(const LaunchOptions& options, EngineTask& task, Begun begun, Fd starter, Log& log) {
  SystemClock clock;
  bool shows_terminal = options.show_terminal && begun.group->terminal_fd() >= 0;
  Server server(*begun.group, std::move(begun.listener), options.place.store, clock, log);
  server.configure(options.place.directory, task.settings());
  // The user waits for this; what is left to do is between the engine and its log.
  const control::Started& started = begun.started.started();
  say(starter, begun.started, options.show_terminal ? begun.group->terminal_fd() : -1);
  log.info(fmt::format("engine {} holds group {} ({} processes, root {})", ::getpid(),
                       options.place.name, started.processes(), started.root_pid()));
  const Status given_up = give_up_caller(options);
  if (!given_up.ok()) log.warn(given_up.error().message());
  if (options.foreground && kernel::set_nonblocking(starter).ok()) {
    server.adopt(std::move(starter), true, shows_terminal);
  } else {
    starter.reset();
  }
  hurry_stops(log);
  auto result = server.run();
  if (!result.ok()) {
    log.error(result.error().message());
    return exit_status(result.error().code());
  }
  if (auto why = begun.group->lazy_failure()) log.error(*why);
  if (result->end != ServerEnd::kShutdown) note_end(options.place, *result, clock, log);
  // Before the lock goes with the group: afterwards another engine may have put its own socket
  // there.
  (void)kernel::remove_file_if_exists(options.place.socket_path).ok();
  begun.group.reset();
  if (result->end != ServerEnd::kShutdown) task.finish();
  return 0;
}

}  // namespace

int run_engine(const Places& places, const LaunchOptions& options, EngineTask& task, Fd starter) {
  kernel::reserve_descriptors(kDescriptorsAtFirst);  // while there is one thread, it costs nothing
  Status locked = task.lock();
  if (!locked.ok()) return fail(starter, locked.error());
  auto begun = begin(places, options, task);
  if (!begun.ok()) {
    undo(places, options.place, task);
    return fail(starter, begun.error());
  }
  Log log = Log::open(options.place.directory + "/engine.log");
  int status = serve(options, task, std::move(*begun), std::move(starter), log);
  // A group that left no epoch left no folder either.
  if (!kernel::is_folder(options.place.directory)) places.forget(options.place);
  return status;
}

Result<Launched> launch_engine(const Places& places, const LaunchOptions& options,
                               EngineTask& task) {
  auto [ours, starter] = PD_TRY(kernel::control_socket_pair());
  kernel::Side side = PD_TRY(kernel::fork_daemon());
  if (side == kernel::Side::kDaemon) {
    ours.reset();
    std::string title = "perdure-engine " + options.place.name;
    if (options.arguments != nullptr)
      kernel::set_process_title(options.arguments, title, "perdure-engine");
    ::_exit(run_engine(places, options, task, std::move(starter)));
  }
  starter.reset();
  Client client = Client::over(std::move(ours), options.place.name);
  auto answer = client.next(kNoLimit);
  if (!answer.ok() && client.ended()) {
    return Error(Code::kInternal,
                 "the engine of group " + options.place.name + " died while it started")
        .with_remedy("see " + options.place.directory + "/engine.log");
  }
  Answer started = PD_TRY(std::move(answer));
  if (!started.response.has_started())
    return Error(Code::kInternal, "the engine did not say that it started");
  return Launched{started.response.started(), std::move(client), std::move(started.descriptor)};
}

}  // namespace perdure::daemon
