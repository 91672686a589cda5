#include "kernel/task_info.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>

namespace perdure::kernel {
namespace {

// Answers of kcmp(2).
constexpr long kLess = 1;
constexpr long kGreater = 2;

Error failure(const char* operation, pid_t tid) {
  return Error::system(errno, operation, "tid " + std::to_string(tid));
}

// ptrace's glibc prototype takes only its own enumeration.
long ptrace_request(int request, pid_t tid, uint64_t address, void* data) {
  return ::syscall(SYS_ptrace, request, tid, address, data);
}

template <typename T>
Result<T> read_value(pid_t tid, uint64_t from) {
  T value = {};
  PD_TRY(read_memory(tid, RemoteAddr(from),
                     MutableBytes(reinterpret_cast<uint8_t*>(&value), sizeof(T))));
  return value;
}

}  // namespace

Result<int> kcmp(pid_t first, pid_t second, Shared what) {
  const long answer = ::syscall(SYS_kcmp, first, second, static_cast<int>(what), 0, 0);
  if (answer < 0) {
    return Error::system(errno, "kcmp", std::to_string(first) + " and " + std::to_string(second));
  }
  if (answer == kLess) return -1;
  if (answer == kGreater) return 1;
  return static_cast<int>(answer);
}

Result<RobustList> get_robust_list(pid_t tid) {
  RobustList list;
  if (::syscall(SYS_get_robust_list, tid, &list.head.value, &list.length) != 0) {
    return failure("get_robust_list", tid);
  }
  return list;
}

Result<abi::RseqConfiguration> rseq_configuration(pid_t tid) {
  abi::RseqConfiguration configuration = {};
  const long size =
      ptrace_request(abi::kPtraceGetRseqConfiguration, tid, sizeof(configuration), &configuration);
  if (size < 0 && errno == EIO) {
    return Error(Code::kUnavailable, "this kernel cannot tell restartable sequences (Linux 5.13)");
  }
  if (size < 0) return failure("read the rseq configuration of", tid);
  return configuration;
}

Result<abi::SyscallUserDispatchConfig> syscall_user_dispatch(pid_t tid) {
  abi::SyscallUserDispatchConfig configuration = {};
  const long result = ptrace_request(abi::kPtraceGetSyscallUserDispatchConfig, tid,
                                     sizeof(configuration), &configuration);
  if (result < 0 && errno == EIO) {
    return Error(Code::kUnavailable, "this kernel cannot tell system call dispatch (Linux 6.4)");
  }
  if (result < 0) return failure("read the system call dispatch of", tid);
  return configuration;
}

Result<bool> abort_restartable_sequence(pid_t tid, const abi::RseqConfiguration& rseq,
                                        Registers* registers) {
  if (rseq.size == 0) return false;
  const uint64_t field = rseq.pointer + offsetof(abi::Rseq, critical_section);
  // One word by ptrace is much cheaper than opening the memory. An area that cannot be read is the
  // kernel's to punish.
  uint64_t section_at = 0;
  if (ptrace_request(PTRACE_PEEKDATA, tid, field, &section_at) != 0) return false;
  if (section_at == 0) return false;
  const auto section = PD_TRY(read_value<abi::RseqCriticalSection>(tid, section_at));
  if (registers->rip - section.start >= section.length)
    return false;  // the pointer is cleared lazily
  registers->rip = section.abort;
  return true;
}

int64_t own_speculation_control(int which) {
  const int result = ::prctl(PR_GET_SPECULATION_CTRL, which, 0, 0, 0);
  return result < 0 ? -errno : result;
}

}  // namespace perdure::kernel
