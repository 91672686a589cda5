// Pseudo terminals: pairs whose both ends belong to the group, and ends of terminals that lead out
// of it. The terminal that `run` made for the group is held by the engine and saved with the group;
// its descriptors only refer to it.
#include <poll.h>
#include <sys/sysmacros.h>

#include "capture/file_kinds.h"
#include "kernel/file.h"
#include "kernel/proc/stat.h"
#include "kernel/proc/status.h"
#include "kernel/pty.h"
#include "kernel/pty_queue.h"

namespace perdure::capture {
namespace {

constexpr unsigned kSlaveMajorFirst = 136;

uint32_t index_of(dev_t slave) { return (major(slave) - kSlaveMajorFirst) * 256 + minor(slave); }

// A session or process group as the program sees it; 0 if it has no process in the group.
pid_t inner_group(const FileContext& context, pid_t outer, bool session) {
  if (outer <= 0) return 0;
  for (const Member& member : context.members) {
    if (member.pid == outer) return member.group_pid;
  }
  for (const Member& member : context.members) {
    const auto stat = kernel::proc::read_stat(member.pid);
    if (!stat.ok() || (session ? stat->session : stat->process_group) != outer) continue;
    const auto status = kernel::proc::read_status(member.pid);
    if (!status.ok()) continue;
    return session ? status->inner_session() : status->inner_process_group();
  }
  return 0;
}

Status fill_modes(const OpenFileEntry& master, object::Pty* pty) {
  const int fd = master.duplicate.get();
  const kernel::Termios2 modes = PD_TRY(kernel::terminal_modes(fd));
  pty->set_termios(&modes, sizeof(modes));
  const kernel::TerminalWindow window = PD_TRY(kernel::terminal_window(fd));
  pty->set_rows(window.rows);
  pty->set_columns(window.columns);
  pty->set_xpixel(window.x_pixels);
  pty->set_ypixel(window.y_pixels);
  pty->set_locked(PD_TRY(kernel::is_pty_locked(fd)));
  pty->set_packet(PD_TRY(kernel::is_pty_packet(fd)));
  return {};
}

// The slave's file in /dev/pts carries owner and mode.
Status fill_slave(const FileContext& context, const PtyPair& pair, object::Pty* pty) {
  if (!pair.slaves.empty()) {
    const OpenFileEntry& slave = *pair.slaves[0];
    pty->set_exclusive(PD_TRY(kernel::is_terminal_exclusive(slave.duplicate.get())));
  } else {
    const int ready = PD_TRY(kernel::poll_now(pair.master->duplicate.get(), POLLIN));
    pty->set_hung_up((ready & POLLHUP) != 0);
  }
  const std::string path = "/proc/" + std::to_string(pair.master->holder) + "/root/dev/pts/" +
                           std::to_string(pty->index());
  const Result<struct stat> file = kernel::stat_path(path);
  if (file.ok()) {
    pty->set_uid(file->st_uid);
    pty->set_gid(file->st_gid);
    pty->set_mode(file->st_mode);
  }
  if (!pair.slaves.empty() || pty->hung_up()) return {};
  const std::string holder = file.ok() ? find_outside_holder(context, *file) : std::string();
  if (holder.empty()) return {};  // never opened
  return refuse(*pair.master,
                "master of terminal " + path.substr(path.find("/dev")) +
                    ", whose slave is held by " + holder + ",",
                "run both programs in the same group");
}

Status relate_pair(FileContext& context, uint32_t index, PtyPair& pair) {
  pair.id = context.ids.id_of("pty:" + std::to_string(index));
  object::Pty& pty = context.out.ptys[pair.id];
  pty.set_index(index);
  PD_TRY_WITHIN(pair.master->where, fill_modes(*pair.master, &pty));
  PD_TRY(fill_slave(context, pair, &pty));
  const int fd = pair.master->duplicate.get();
  pty.set_session(inner_group(context, kernel::terminal_session(fd), true));
  pty.set_foreground(inner_group(context, kernel::terminal_foreground(fd), false));
  object::PtyEnd* end = pair.master->record.mutable_pty();
  end->set_master(true);
  end->set_pty(pair.id.value);
  end->set_index(index);
  for (OpenFileEntry* slave : pair.slaves) {
    slave->record.mutable_pty()->set_pty(pair.id.value);
    slave->record.mutable_pty()->set_index(index);
  }
  return {};
}

Status read_pair(const PtyPair& pair, object::Pty* pty) {
  if (pair.slaves.empty() && !pty->hung_up())
    return {};  // never opened: its queues cannot be reached
  const int slave = pair.slaves.empty() ? -1 : pair.slaves[0]->duplicate.get();
  Result<kernel::PtyQueues> queues = kernel::peek_pty_queues(pair.master->duplicate.get(), slave);
  if (!queues.ok() && queues.error().code() == Code::kBusy) {
    return refuse(
        *pair.master,
        "terminal /dev/pts/" + std::to_string(pty->index()) + ", whose output is stopped or full,",
        "let it run on and try again");
  }
  if (!queues.ok()) return std::move(queues).error().within(pair.master->where);
  pty->set_output(queues->output);
  pty->set_input(queues->input);
  for (const uint32_t line : queues->lines) pty->add_input_lines(line);
  for (const bool ended : queues->ended) pty->add_input_ends(ended);
  return {};
}

// A group may have a devpts file system of its own, in which a number means another terminal. The
// group's terminal lies in the engine's. What was opened as /dev/tty does not show its file system.
bool is_group_terminal(const FileContext& context, const OpenFileEntry& entry, dev_t device) {
  if (!context.options.terminal || *context.options.terminal != device) return false;
  if (!kernel::is_pty_slave(entry.file.st_rdev)) return true;
  const Result<struct stat> ours = kernel::stat_path("/dev/pts");
  return !ours.ok() || ours->st_dev == entry.file.st_dev;
}

}  // namespace

Status capture_pty_master(FileContext& context, OpenFileEntry& entry) {
  const uint32_t index = PD_TRY_WITHIN(entry.where, kernel::pty_index(entry.duplicate.get()));
  PtyPair& pair = context.ptys[index];
  if (pair.master != nullptr) {
    return refuse(entry, "terminal " + std::to_string(index) + " of a second devpts file system",
                  "use one devpts file system in the group");
  }
  pair.master = &entry;
  return {};
}

Status capture_terminal(FileContext& context, OpenFileEntry& entry) {
  const Result<dev_t> device = kernel::terminal_device(entry.duplicate.get());
  if (!device.ok()) return capture_device(context, entry);
  if (is_group_terminal(context, entry, *device)) {
    entry.record.mutable_pty()->set_group_terminal(true);
    entry.record.mutable_pty()->set_index(index_of(*device));
    return {};
  }
  if (kernel::is_pty_slave(*device)) {
    context.slaves.emplace_back(index_of(*device), &entry);
    return {};
  }
  const std::string target =
      "terminal " + std::to_string(major(*device)) + ":" + std::to_string(minor(*device));
  capture_outside(context, entry, target,
                  refuse(entry, target + " " + entry.link, "let the program close it"));
  return {};
}

Status relate_ptys(FileContext& context) {
  for (const auto& [index, slave] : context.slaves) {
    const auto pair = context.ptys.find(index);
    if (pair != context.ptys.end()) {
      pair->second.slaves.push_back(slave);
      continue;
    }
    const std::string target = "terminal /dev/pts/" + std::to_string(index);
    capture_outside(context, *slave, target,
                    refuse(*slave, target + ", whose master is outside the group,",
                           "run the program that holds the master in the same group"));
  }
  for (auto& [index, pair] : context.ptys) PD_TRY(relate_pair(context, index, pair));
  return {};
}

Status read_ptys(FileContext& context) {
  for (auto& [index, pair] : context.ptys) {
    PD_TRY(read_pair(pair, &context.out.ptys[pair.id]));
  }
  return {};
}

}  // namespace perdure::capture
