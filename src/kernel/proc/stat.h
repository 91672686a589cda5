// /proc/PID/stat and /proc/PID/task/TID/stat (proc_pid_stat(5)): ids, state and the layout of the
// address space.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace perdure::kernel::proc {

struct Stat {
  pid_t pid = 0;     // ids are those of the reader's PID namespace
  std::string comm;  // may hold spaces and parentheses
  char state = '?';  // R S D T t Z X I
  pid_t ppid = 0;
  pid_t process_group = 0;
  pid_t session = 0;
  uint32_t tty = 0;               // encoded device number of the controlling terminal, 0: none
  pid_t terminal_foreground = 0;  // process group in the foreground of that terminal, -1: none
  uint32_t flags = 0;             // PF_*
  int64_t nice = 0;
  int64_t threads = 0;
  uint64_t start_ticks = 0;  // since boot: with the pid, tells a process apart from a later one
  uint64_t start_code = 0, end_code = 0, start_stack = 0;
  uint64_t start_data = 0, end_data = 0, start_brk = 0;
  uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  int exit_signal = 0;  // field 38; -1 for threads other than the leader
  // Field 52: the wait(2) status of a zombie. (A stopped process has its signal here only until a
  // wait(2) told it.)
  int exit_code = 0;

  bool is_zombie() const { return state == 'Z' || state == 'X'; }
};

Result<Stat> parse_stat(std::string_view text);
Result<Stat> read_stat(pid_t pid);
Result<Stat> read_stat(pid_t pid, pid_t tid);

}  // namespace perdure::kernel::proc
