#include "restore/file_late.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>

#include "restore/file_kinds.h"

namespace perdure::restore {
namespace {

using kernel::Arg;
using kernel::Batch;

// Calls in one batch; its table holds BatchArea::kCallsMax.
constexpr size_t kCallsPerBatch = 256;
constexpr size_t kDataPerBatch = Batch::kDataBytesMax / 2;
constexpr uint32_t kSealFutureWrite = 0x0010;

template <typename T>
std::vector<uint8_t> data_of(const T& value) {
  const Bytes bytes = bytes_of(value);
  return std::vector<uint8_t>(bytes.begin(), bytes.end());
}

LateCall simple_call(long number, std::array<Arg, 6> args, std::string what) {
  LateCall call;
  call.number = number;
  call.args = args;
  call.what = std::move(what);
  return call;
}

LateCall call_with_data(long number, std::array<Arg, 6> args, std::vector<uint8_t> data,
                        std::string what) {
  LateCall call = simple_call(number, args, std::move(what));
  call.data_argument = 2;
  call.data = std::move(data);
  return call;
}

void add_terminal(int fd, int32_t foreground, const std::string& name,
                  std::vector<LateCall>* calls) {
  if (fd < 0) return;
  calls->push_back(
      simple_call(SYS_ioctl, {fd, TIOCSCTTY, 0}, "make " + name + " its controlling terminal"));
  if (foreground == 0) return;
  calls->push_back(call_with_data(SYS_ioctl, {fd, TIOCSPGRP, 0}, data_of(foreground),
                                  "set the foreground process group of " + name));
}

// The owner is set once, by the first process that has the file.
bool is_first_user(const object::Process& process, const object::Graph& graph, uint64_t file) {
  for (const auto& [id, other] : graph.processes) {
    if (other.state() == object::Process::ZOMBIE) continue;
    for (const object::FdEntry& entry : other.fds()) {
      if (entry.file() == file) return other.pid() == process.pid();
    }
  }
  return false;
}

void add_owner(int fd, const object::OpenFile& record, std::vector<LateCall>* calls) {
  if (record.owner_pid() != 0) {
    const f_owner_ex owner = {static_cast<decltype(f_owner_ex::type)>(record.owner_type()),
                              record.owner_pid()};
    calls->push_back(call_with_data(SYS_fcntl, {fd, F_SETOWN_EX, 0}, data_of(owner),
                                    "set the signal owner of " + describe(record)));
  }
  if (record.owner_signal() != 0) {
    calls->push_back(simple_call(SYS_fcntl, {fd, F_SETSIG, record.owner_signal()},
                                 "set the signal of " + describe(record)));
  }
  // Last, and by this number: signals carry the number by which O_ASYNC was set (fcntl(2), si_fd).
  if ((record.flags() & O_ASYNC) == 0) return;
  calls->push_back(simple_call(SYS_fcntl, {fd, F_SETFL, static_cast<int>(record.flags())},
                               "set the flags of " + describe(record)));
}

void add_lock(const object::FileLock& lock, const object::Graph& graph,
              std::vector<LateCall>* calls) {
  struct flock range = {};
  range.l_type = lock.write() ? F_WRLCK : F_RDLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(lock.start());
  range.l_len = static_cast<off_t>(lock.length());
  const auto record = graph.open_files.find(ObjectId(lock.file()));
  const std::string what =
      "lock " + (record == graph.open_files.end() ? "a file" : describe(record->second));
  calls->push_back(call_with_data(SYS_fcntl, {lock.fd(), F_SETLK, 0}, data_of(range), what));
}

}  // namespace

std::vector<LateCall> terminal_calls(const object::Process& process, const object::Graph& graph,
                                     const OpenedFiles& opened) {
  std::vector<LateCall> calls;
  if (process.pid() != process.session()) return calls;
  for (const auto& [id, pty] : graph.ptys) {
    const auto slave = opened.ptys.find(id);
    if (pty.session() != process.session() || slave == opened.ptys.end()) continue;
    add_terminal(slave->second, pty.foreground(), "/dev/pts/" + std::to_string(pty.index()),
                 &calls);
  }
  const object::Terminal& terminal = graph.group.terminal();
  if (terminal.present() && terminal.session() == process.session()) {
    add_terminal(opened.terminal, terminal.foreground(), "the group's terminal", &calls);
  }
  return calls;
}

std::vector<LateCall> seal_calls(const object::Graph& graph, const OpenedFiles& opened) {
  std::vector<LateCall> calls;
  for (const auto& [id, record] : graph.memory_objects) {
    const auto memory = opened.memory.find(id);
    if ((record.seals() & kSealFutureWrite) == 0 || memory == opened.memory.end()) continue;
    calls.push_back(simple_call(SYS_fcntl, {memory->second, F_ADD_SEALS, record.seals()},
                                "seal memory " + record.name()));
  }
  return calls;
}

std::vector<LateCall> final_file_calls(const object::Process& process, const object::Graph& graph) {
  std::vector<LateCall> calls;
  for (const object::FdEntry& entry : process.fds()) {
    const auto record = graph.open_files.find(ObjectId(entry.file()));
    if (record == graph.open_files.end()) continue;
    const bool owned = record->second.owner_pid() != 0 || record->second.owner_signal() != 0 ||
                       (record->second.flags() & O_ASYNC) != 0;
    if (owned && !record->second.has_standard_stream() &&
        is_first_user(process, graph, entry.file())) {
      add_owner(entry.fd(), record->second, &calls);
    }
  }
  for (const object::FileLock& lock : process.locks()) {
    if (lock.kind() == object::FileLock::POSIX) add_lock(lock, graph, &calls);
  }
  return calls;
}

void LateCalls::fill(Batch* batch) {
  filled_ = 0;
  first_in_batch_ = batch->size();
  size_t data = 0;
  while (next_ + filled_ < calls_.size() && filled_ < kCallsPerBatch) {
    LateCall& call = calls_[next_ + filled_];
    data += call.data.size() + 16;
    if (data > kDataPerBatch && filled_ > 0) return;
    std::array<Arg, 6> args = call.args;
    if (call.data_argument >= 0)
      args[static_cast<size_t>(call.data_argument)] = batch->in(call.data);
    batch->call(call.number, args);
    ++filled_;
  }
}

Status LateCalls::check(const Batch& batch) {
  for (size_t i = 0; i < filled_; ++i) {
    const int64_t result = batch.result(first_in_batch_ + i);
    if (result >= 0) continue;
    const LateCall& call = calls_[next_ + i];
    if (result == Batch::kNotRun) return Error(Code::kInternal, call.what + ": was not reached");
    const int error_number = static_cast<int>(-result);
    Error error = Error::system(error_number, call.what);
    const bool locked =
        call.args[1].value == F_SETLK && (error_number == EAGAIN || error_number == EACCES);
    if (!locked) return error;
    return Error(Code::kBusy, call.what + ": another program holds a lock on it")
        .with_remedy("end that program, then restore again");
  }
  next_ += filled_;
  filled_ = 0;
  return {};
}

}  // namespace perdure::restore
