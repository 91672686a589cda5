#include "restore/files.h"

#include <fcntl.h>

#include <algorithm>

#include "kernel/event_files.h"
#include "kernel/file.h"
#include "kernel/holder.h"
#include "restore/file_kinds.h"
#include "restore/unix_socket.h"

namespace perdure::restore {
namespace {

using object::OpenFile;

// Above every number that a process has, or that an epoll watch was added under.
int first_number(const object::Graph& graph) {
  int highest = 2;
  for (const auto& [id, process] : graph.processes) {
    for (const object::FdEntry& entry : process.fds()) highest = std::max(highest, entry.fd());
  }
  for (const auto& [id, file] : graph.open_files) {
    for (const object::EpollWatch& watch : file.epoll().watches()) {
      highest = std::max(highest, watch.fd());
    }
  }
  return highest + 1;
}

const object::FileIdentity* identity_in(const OpenFile& record) {
  switch (record.kind_case()) {
    case OpenFile::kRegular:
      return record.regular().deleted() ? nullptr : &record.regular().identity();
    case OpenFile::kDirectory:
      return &record.directory().identity();
    case OpenFile::kPathOnly:
      return &record.path_only().identity();
    default:
      return nullptr;
  }
}

// Pipes, ptys and Unix sockets are made together with their other ends.
bool is_made_together(const OpenFile& record) {
  return record.has_pipe() || record.has_unix_socket() ||
         (record.has_pty() && !record.pty().group_terminal());
}

Result<Fd> open_one(const FileMaker& maker, const OpenFile& record) {
  switch (record.kind_case()) {
    case OpenFile::kRegular:
      return open_regular_file(maker, record);
    case OpenFile::kDirectory:
      return open_directory(record);
    case OpenFile::kPathOnly:
      return open_path_only(record);
    case OpenFile::kDevice:
      return open_device(record);
    case OpenFile::kEventfd:
      return open_eventfd(record);
    case OpenFile::kEpoll:
      return open_epoll();
    case OpenFile::kTimerfd:
      return open_timerfd(record);
    case OpenFile::kSignalfd:
      return open_signalfd(record);
    case OpenFile::kMemfd:
      return open_memfd(maker, record);
    case OpenFile::kStandardStream:
      return open_standard_stream(maker, record);
    case OpenFile::kTcpListener:
      return open_tcp_listener(record);
    case OpenFile::kPty:
      return open_group_terminal(maker, record);
    default:
      return Error(Code::kNewer, "the epoch holds an open file of an unknown kind");
  }
}

Status make_single_files(FileMaker* maker) {
  for (const auto& [id, record] : maker->graph().open_files) {
    if (is_made_together(record)) continue;
    Fd file = PD_TRY_WITHIN("restore " + describe(record), open_one(*maker, record));
    PD_TRY(maker->keep(id, std::move(file)));
  }
  return {};
}

// The terminal that `run` made becomes a controlling terminal through a descriptor of its own.
Status make_terminal(FileMaker* maker) {
  if (maker->options().terminal < 0) return {};
  const std::string path = kernel::path_of_fd(maker->options().terminal);
  Fd slave = PD_TRY(kernel::open_file(path, O_RDWR | O_NOCTTY));
  return maker->keep_terminal(std::move(slave));
}

// The epoch's content is about to replace what is there: that must be nobody's.
Status check_unused(const object::MemoryObject& record) {
  if (record.kind() != object::MemoryObject::POSIX_SHM) return {};
  const Result<struct stat> found = kernel::lstat_path(record.name());
  if (!found.ok()) return {};
  const std::string holder = kernel::find_file_holder(record.name(), *found);
  if (holder.empty()) return {};
  return Error(Code::kBusy, "shared memory " + record.name() + " is in use by " + holder)
      .with_remedy("end that program, then restore again");
}

}  // namespace

FileMaker::FileMaker(const object::Graph& graph, const FileBuildOptions& options)
    : graph_(graph), options_(options) {
  opened_.first = first_number(graph);
}

Result<int> FileMaker::place(Fd file) {
  Result<Fd> placed = kernel::duplicate_above(file.get(), opened_.first);
  if (!placed.ok()) {
    return std::move(placed)
        .error()
        .with_code(Code::kLimit)
        .with_remedy(
            "raise the limit of open files (ulimit -n): a restore needs room above the program's "
            "own");
  }
  owned_.push_back(std::move(placed).value());
  return owned_.back().get();
}

Status FileMaker::keep(ObjectId id, Fd file) {
  const OpenFile& record = graph_.open_files.at(id);
  const bool shared = record.has_standard_stream() || record.has_path_only();
  // O_ASYNC is set by the process: see file_late.h.
  const int flags = static_cast<int>(record.flags()) & ~O_ASYNC;
  if (!shared) {
    PD_TRY_WITHIN("restore " + describe(record), kernel::set_status_flags(file.get(), flags));
  }
  opened_.files[id] = PD_TRY(place(std::move(file)));
  return {};
}

Status FileMaker::keep_memory(ObjectId id, Fd file) {
  opened_.memory[id] = PD_TRY(place(std::move(file)));
  return {};
}

Status FileMaker::keep_pty(ObjectId id, Fd slave) {
  opened_.ptys[id] = PD_TRY(place(std::move(slave)));
  return {};
}

Status FileMaker::keep_terminal(Fd slave) {
  opened_.terminal = PD_TRY(place(std::move(slave)));
  return {};
}

Result<int> FileMaker::made(ObjectId id) const {
  const auto found = opened_.files.find(id);
  if (found != opened_.files.end()) return found->second;
  return Error(Code::kCorrupt, "open file " + std::to_string(id.value) + " is not in the epoch");
}

Result<int> FileMaker::memory(ObjectId id) const {
  const auto found = opened_.memory.find(id);
  if (found != opened_.memory.end()) return found->second;
  return Error(Code::kCorrupt,
               "memory object " + std::to_string(id.value) + " is not in the epoch");
}

FileBuilder FileMaker::finish() && {
  FileBuilder builder;
  builder.opened_ = std::move(opened_);
  builder.owned_ = std::move(owned_);
  return builder;
}

Status FileBuilder::check(const object::Graph& graph, const FileBuildOptions& options) {
  for (const auto& [id, record] : graph.open_files) {
    const object::FileIdentity* identity = identity_in(record);
    if (identity != nullptr) PD_TRY(verify_identity(*identity, options.policy));
  }
  for (const auto& [id, record] : graph.memory_objects) PD_TRY(check_unused(record));
  return {};
}

Result<FileBuilder> FileBuilder::open_all(const object::Graph& graph,
                                          const FileBuildOptions& options) {
  PD_TRY(check(graph, options));
  kernel::raise_descriptor_limit();
  FileMaker maker(graph, options);
  PD_TRY(make_memory_objects(&maker));
  PD_TRY(make_single_files(&maker));
  PD_TRY(make_terminal(&maker));
  PD_TRY(make_pipes(&maker));
  PD_TRY(make_ptys(&maker));
  UnixSockets unix_sockets(&maker);
  PD_TRY(unix_sockets.make());
  PD_TRY(unix_sockets.fill());
  PD_TRY(place_file_locks(maker));
  PD_TRY(add_epoll_watches(maker));
  return std::move(maker).finish();
}

}  // namespace perdure::restore
