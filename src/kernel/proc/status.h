// /proc/PID/status and /proc/PID/task/TID/status (proc_pid_status(5)): credentials, signal masks,
// ids in every PID namespace. The numbers are those of the one thread that the file belongs to.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perdure::kernel::proc {

struct TaskStatus {
  std::string name;
  char state = '?';
  uint32_t umask = 0;
  pid_t tgid = 0, pid = 0, ppid = 0, tracer_pid = 0;  // in the reader's PID namespace
  // From the reader's PID namespace inwards; the last is what the program itself sees.
  std::vector<pid_t> ns_tgid, ns_pid, ns_process_group, ns_session;
  std::array<uint32_t, 4> uids = {};  // real, effective, saved, file system
  std::array<uint32_t, 4> gids = {};
  std::vector<uint32_t> groups;
  uint64_t cap_inheritable = 0, cap_permitted = 0, cap_effective = 0, cap_bounding = 0;
  uint64_t cap_ambient = 0;
  bool no_new_privs = false;
  uint32_t seccomp_mode = 0;  // 0 none, 1 strict, 2 filter
  // Bit N-1 is signal N.
  uint64_t pending_thread = 0, pending_process = 0, blocked = 0, ignored = 0, caught = 0;
  uint32_t threads = 0;
  uint64_t rss_bytes = 0;
  uint64_t anonymous_bytes = 0;  // of rss_bytes
  bool core_dumping = false;
  bool shadow_stack = false;          // x86_Thread_features
  std::vector<uint8_t> cpus_allowed;  // bit set, CPU 0 first, trailing zero bytes cut

  // The ids that the program sees.
  pid_t inner_tgid() const { return ns_tgid.empty() ? tgid : ns_tgid.back(); }
  pid_t inner_pid() const { return ns_pid.empty() ? pid : ns_pid.back(); }
  pid_t inner_process_group() const {
    return ns_process_group.empty() ? 0 : ns_process_group.back();
  }
  pid_t inner_session() const { return ns_session.empty() ? 0 : ns_session.back(); }
  bool is_zombie() const { return state == 'Z' || state == 'X'; }
};

Result<TaskStatus> parse_status(std::string_view text);
Result<TaskStatus> read_status(pid_t pid);
Result<TaskStatus> read_status(pid_t pid, pid_t tid);

}  // namespace perdure::kernel::proc
