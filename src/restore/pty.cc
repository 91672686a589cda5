#include "kernel/pty.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "kernel/file.h"
#include "kernel/pty_queue.h"
#include "restore/file_kinds.h"

namespace perdure::restore {
namespace {

// kernel.pty.max
constexpr size_t kPtysMax = 4096;

// The kernel gives out the lowest free number, so those below are taken for the moment.
Result<Fd> open_master(uint32_t index) {
  std::vector<Fd> below;
  while (below.size() < kPtysMax) {
    Fd master = PD_TRY(kernel::open_file("/dev/ptmx", O_RDWR | O_NOCTTY));
    const uint32_t got = PD_TRY(kernel::pty_index(master.get()));
    if (got == index) return master;
    if (got > index) break;
    below.push_back(std::move(master));
  }
  return Error(Code::kExists,
               "terminal /dev/pts/" + std::to_string(index) + " is in use by another program")
      .with_remedy("close that terminal, or restore a group that has its own /dev/pts");
}

Status set_modes(int master, const object::Pty& pty) {
  kernel::Termios2 modes;
  if (pty.termios().size() != sizeof(modes)) {
    return Error(Code::kCorrupt, "the modes of a terminal have the wrong size");
  }
  std::memcpy(&modes, pty.termios().data(), sizeof(modes));
  PD_TRY(kernel::set_terminal_modes(master, modes));
  return kernel::set_terminal_window(
      master, {static_cast<uint16_t>(pty.rows()), static_cast<uint16_t>(pty.columns()),
               static_cast<uint16_t>(pty.xpixel()), static_cast<uint16_t>(pty.ypixel())});
}

Status fill(int master, int slave, const object::Pty& pty) {
  kernel::PtyQueues queues;
  queues.output = pty.output();
  queues.input = pty.input();
  queues.lines.assign(pty.input_lines().begin(), pty.input_lines().end());
  queues.ended.assign(pty.input_ends().begin(), pty.input_ends().end());
  queues.ended.resize(queues.lines.size());
  return kernel::fill_pty_queues(master, slave, queues);
}

// The group's processes of each end.
struct Ends {
  ObjectId master;
  std::vector<ObjectId> slaves;
};

Status make_slaves(FileMaker* maker, int master, const Ends& ends, ObjectId id,
                   const object::Pty& pty) {
  // A slave that was never opened must not be: after its last close, reading the master fails.
  const bool was_open = !ends.slaves.empty() || pty.hung_up() || pty.session() != 0;
  if (!was_open) return {};
  const Fd slave = PD_TRY(kernel::open_pty_peer(master, O_RDWR));
  PD_TRY(fill(master, slave.get(), pty));
  if (pty.mode() != 0) {
    PD_TRY(kernel::set_owner_and_mode(slave.get(), pty.uid(), pty.gid(), pty.mode()));
  }
  for (const ObjectId end : ends.slaves) {
    const int flags = open_flags(maker->graph().open_files.at(end));
    Fd opened = PD_TRY(kernel::open_pty_peer(master, flags));
    PD_TRY(maker->keep(end, std::move(opened)));
  }
  if (pty.exclusive()) PD_TRY(kernel::set_terminal_exclusive(slave.get()));
  if (pty.session() == 0) return {};
  return maker->keep_pty(id, PD_TRY(kernel::open_pty_peer(master, O_RDWR)));
}

Status make_pair(FileMaker* maker, ObjectId id, const Ends& ends, const object::Pty& pty) {
  Fd master = PD_TRY(open_master(pty.index()));
  PD_TRY(kernel::set_pty_locked(master.get(), false));
  PD_TRY(set_modes(master.get(), pty));
  PD_TRY(make_slaves(maker, master.get(), ends, id, pty));
  if (pty.packet()) PD_TRY(kernel::set_pty_packet(master.get(), true));
  PD_TRY(kernel::set_pty_locked(master.get(), pty.locked()));
  return maker->keep(ends.master, std::move(master));
}

bool is_taken(const object::Pty& pty) {
  return kernel::stat_path("/dev/pts/" + std::to_string(pty.index())).ok();
}

// Other programs may have the group's numbers now. A group with mounts of its own gets a /dev/pts
// of its own then.
Status free_numbers(const FileMaker& maker) {
  const auto& ptys = maker.graph().ptys;
  const bool taken =
      std::any_of(ptys.begin(), ptys.end(), [](const auto& item) { return is_taken(item.second); });
  if (!taken || !maker.options().fresh_namespaces) return {};
  return kernel::mount_fresh_ptys();
}

}  // namespace

Status make_ptys(FileMaker* maker) {
  PD_TRY(free_numbers(*maker));
  std::map<ObjectId, Ends> pairs;
  for (const auto& [id, record] : maker->graph().open_files) {
    if (!record.has_pty() || record.pty().group_terminal()) continue;
    Ends& ends = pairs[ObjectId(record.pty().pty())];
    if (record.pty().master()) {
      ends.master = id;
    } else {
      ends.slaves.push_back(id);
    }
  }
  for (const auto& [id, ends] : pairs) {
    const auto pty = maker->graph().ptys.find(id);
    if (pty == maker->graph().ptys.end() || ends.master.value == 0) {
      return Error(Code::kCorrupt, "a terminal has no record in the epoch");
    }
    PD_TRY_WITHIN("restore terminal /dev/pts/" + std::to_string(pty->second.index()),
                  make_pair(maker, id, ends, pty->second));
  }
  return {};
}

Result<Fd> open_group_terminal(const FileMaker& maker, const object::OpenFile& record) {
  if (maker.options().terminal < 0) {
    return Error(Code::kInvalid, "the group has a terminal, and none is given to it");
  }
  return kernel::open_file(kernel::path_of_fd(maker.options().terminal), open_flags(record));
}

}  // namespace perdure::restore
