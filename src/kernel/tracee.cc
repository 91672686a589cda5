// Seizing, stopping and driving one thread with ptrace(2). The quirks handled here: a signal may be
// taken off the queue and reported before our own stop (it is delivered, then the stop follows); a
// new child reports its own first stop in any order to its maker's event; a group stop is told from
// our own by the signal in PTRACE_EVENT_STOP.
#include "kernel/tracee.h"

#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/fd.h"
#include "base/limits.h"
#include "kernel/proc/stat.h"
#include "kernel/task_info.h"
#include "kernel/tracer_thread.h"

namespace perdure::kernel {
namespace {

constexpr long kOptions =
    PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
// Largest xsave area of today's processors with AMX is below 12 KiB (CPUID leaf 0xD).
constexpr size_t kXstateBytesMax = 16384;
constexpr int kStopsPerRestMax = 10000;

Error trace_error(std::string_view what, pid_t tid) {
  return Error::system(errno, what, "pid " + std::to_string(tid));
}

int event_of(int status) { return status >> 16; }

bool is_birth(int event) {
  return event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK;
}

Error seize_error(pid_t tid, int error_number) {
  std::string who = "pid " + std::to_string(tid);
  Error error = Error::system(error_number, "trace", who);
  if (error_number == EPERM) {
    return Error(Code::kPermission, "trace " + who + ": not permitted")
        .with_remedy(
            "run as the process's user or root; a process that a debugger holds must be released "
            "first; see "
            "/proc/sys/kernel/yama/ptrace_scope");
  }
  return error;
}

// Engines trace from one thread.
thread_local std::vector<pid_t> leftovers;

}  // namespace

Result<Tracee> Tracee::seize(pid_t tid, TracerDeath death) {
  const long options = death == TracerDeath::kKill ? kOptions | PTRACE_O_EXITKILL : kOptions;
  if (ptrace(PTRACE_SEIZE, tid, nullptr, options) != 0) return seize_error(tid, errno);
  return Tracee(tid);
}

Tracee::Tracee(Tracee&& other) noexcept
    : tid_(std::exchange(other.tid_, 0)),
      stopped_(other.stopped_),
      stop_kind_(other.stop_kind_),
      stop_signal_(other.stop_signal_),
      stop_requested_(other.stop_requested_),
      caught_signals_(other.caught_signals_),
      rescue_(other.rescue_) {}

Tracee& Tracee::operator=(Tracee&& other) noexcept {
  if (this != &other) {
    if (tid_ != 0) (void)detach();
    tid_ = std::exchange(other.tid_, 0);
    stopped_ = other.stopped_;
    stop_kind_ = other.stop_kind_;
    stop_signal_ = other.stop_signal_;
    stop_requested_ = other.stop_requested_;
    caught_signals_ = other.caught_signals_;
    rescue_ = other.rescue_;
  }
  return *this;
}

Tracee::~Tracee() {
  if (tid_ != 0) (void)detach();
}

Status Tracee::interrupt() {
  if (ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr) != 0) return trace_error("interrupt", tid_);
  return {};
}

bool Tracee::wait_for_leftovers() {
  std::erase_if(leftovers, bury_if_dead);
  return !leftovers.empty();
}

bool Tracee::is_dead() const {
  const Result<proc::Stat> stat = proc::read_stat(tid_, tid_);
  return !stat.ok() || stat->is_zombie();
}

// Never sleeps in a waitpid(2) for this thread alone: that does not tell of a main thread that
// ended before the others of its process, or before those were waited for (delay_group_leader in
// kernel/exit.c).
Result<int> Tracee::wait_status(std::string_view what, Patience patience) {
  constexpr int kLooksMax = 100'000;  // ten seconds at least
  const bool may_sleep = patience == Patience::kEndless && is_tracer_thread();
  Looks looks;
  for (int tries = 0;; ++tries) {
    TraceEvent event;
    if (may_sleep) {
      event = await_trace_event(tid_).value_or(TraceEvent{-1, 0});
    } else {
      event.tid = waitpid(tid_, &event.status, __WALL | WNOHANG);
    }
    if (event.tid > 0 && WIFSTOPPED(event.status)) {
      stopped_ = true;
      return event.status;
    }
    if (event.tid != 0) break;
    if (looks.many() && is_dead() && !bury_if_dead(tid_)) {
      leftovers.push_back(tid_);
      break;
    }
    if (patience == Patience::kBounded && tries > kLooksMax) {
      return Error(Code::kTimeout,
                   std::string(what) + ": pid " + std::to_string(tid_) + " does not get to run");
    }
    looks.pause();
  }
  const pid_t dead = std::exchange(tid_, 0);
  return Error(Code::kGone, std::string(what) + ": pid " + std::to_string(dead) + " has ended");
}

Result<Tracee::Taken> Tracee::take_stop(int status) {
  stopped_ = true;
  const int event = event_of(status);
  const int signal = WSTOPSIG(status);
  if (event == PTRACE_EVENT_STOP) {
    stop_kind_ = signal == SIGTRAP ? StopKind::kTrap : StopKind::kGroupStop;
    stop_signal_ = signal == SIGTRAP ? 0 : signal;
    return Taken{Took::kRest};
  }
  Taken taken{Took::kPassing};
  if (is_birth(event)) taken.what = Took::kBirth;
  if (event == PTRACE_EVENT_VFORK) taken.what = Took::kVfork;
  if (event == PTRACE_EVENT_EXEC) taken.what = Took::kExecute;
  if (taken.what != Took::kPassing) {
    unsigned long message = 0;
    if (ptrace(PTRACE_GETEVENTMSG, tid_, nullptr, &message) == 0)
      taken.other = static_cast<pid_t>(message);
  }
  // Once let go it sleeps uninterruptibly until the child executes: it must be detached here, with
  // the child.
  if (taken.what == Took::kVfork) return taken;
  // Any other stop takes back the interrupt that is pending (ptrace_stop, kernel/signal.c).
  if (ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr) != 0 && errno != ESRCH)
    return trace_error("interrupt", tid_);
  const int deliver = event == 0 ? signal : 0;
  if (ptrace(PTRACE_CONT, tid_, nullptr, static_cast<long>(deliver)) != 0 && errno != ESRCH)
    return trace_error("continue", tid_);
  stopped_ = false;  // or dead: the next wait tells
  return taken;
}

Status Tracee::wait_rest(std::vector<pid_t>* born) {
  for (int stops = 0; stops < kStopsPerRestMax; ++stops) {
    const int status = PD_TRY(wait_status("stop", Patience::kBounded));
    const Taken taken = PD_TRY(take_stop(status));
    if (taken.what == Took::kRest) return {};
    const bool birth = taken.what == Took::kBirth || taken.what == Took::kVfork;
    if (birth && born != nullptr && taken.other != 0) born->push_back(taken.other);
    if (taken.what == Took::kVfork)
      return Error(Code::kBusy, "pid " + std::to_string(tid_) + " is in vfork(2)");
  }
  return Error(Code::kTimeout, "pid " + std::to_string(tid_) +
                                   " does not come to rest: it gets signals without end");
}

Result<Registers> Tracee::registers() const {
  Registers registers{};
  iovec io{&registers, sizeof(registers)};
  if (ptrace(PTRACE_GETREGSET, tid_, reinterpret_cast<void*>(NT_PRSTATUS), &io) != 0) {
    return trace_error("read registers of", tid_);
  }
  return registers;
}

Status Tracee::set_registers(const Registers& registers) {
  Registers copy = registers;
  iovec io{&copy, sizeof(copy)};
  if (ptrace(PTRACE_SETREGSET, tid_, reinterpret_cast<void*>(NT_PRSTATUS), &io) != 0) {
    return trace_error("write registers of", tid_);
  }
  return {};
}

Result<std::vector<uint8_t>> Tracee::xstate() const {
  std::string area;
  PD_TRY(read_xstate(&area));
  return std::vector<uint8_t>(area.begin(), area.end());
}

Result<bool> Tracee::read_xstate(std::string* xstate) const {
  uint8_t area[kXstateBytesMax];
  iovec io{area, sizeof(area)};
  if (ptrace(PTRACE_GETREGSET, tid_, reinterpret_cast<void*>(NT_X86_XSTATE), &io) != 0) {
    return trace_error("read xstate of", tid_);
  }
  const std::string_view now(reinterpret_cast<const char*>(area), io.iov_len);
  if (*xstate == now) return false;
  xstate->assign(now);
  return true;
}

Status Tracee::set_xstate(Bytes xstate) {
  iovec io{const_cast<uint8_t*>(xstate.data()), xstate.size()};
  if (ptrace(PTRACE_SETREGSET, tid_, reinterpret_cast<void*>(NT_X86_XSTATE), &io) != 0) {
    return trace_error("write xstate of", tid_);
  }
  return {};
}

Result<uint64_t> Tracee::signal_mask() const {
  uint64_t mask = 0;
  if (ptrace(static_cast<__ptrace_request>(PTRACE_GETSIGMASK), tid_, sizeof(mask), &mask) != 0) {
    return trace_error("read signal mask of", tid_);
  }
  return mask;
}

Status Tracee::set_signal_mask(uint64_t mask) {
  if (ptrace(static_cast<__ptrace_request>(PTRACE_SETSIGMASK), tid_, sizeof(mask), &mask) != 0) {
    return trace_error("write signal mask of", tid_);
  }
  return {};
}

Result<std::vector<std::array<uint8_t, 128>>> Tracee::pending(Queue queue) const {
  std::vector<std::array<uint8_t, 128>> all;
  for (;;) {
    std::array<std::array<uint8_t, 128>, 16> some;
    __ptrace_peeksiginfo_args args{};
    args.off = all.size();
    args.flags = queue == Queue::kProcess ? PTRACE_PEEKSIGINFO_SHARED : 0;
    args.nr = some.size();
    long count =
        ptrace(static_cast<__ptrace_request>(PTRACE_PEEKSIGINFO), tid_, &args, some.data());
    if (count < 0) return trace_error("read pending signals of", tid_);
    all.insert(all.end(), some.begin(), some.begin() + count);
    if (static_cast<size_t>(count) < some.size()) return all;
  }
}

Status Tracee::run_to_trap(RemoteAddr trap, std::vector<pid_t>* born) {
  if (ptrace(PTRACE_CONT, tid_, nullptr, nullptr) != 0) return trace_error("continue", tid_);
  return wait_trap(trap, born);
}

Status Tracee::wait_trap(RemoteAddr trap, std::vector<pid_t>* born) {
  for (int stops = 0; stops < kStopsPerRestMax; ++stops) {
    if (stops > 0 && ptrace(PTRACE_CONT, tid_, nullptr, nullptr) != 0)
      return trace_error("continue", tid_);
    const int status = PD_TRY(wait_status("run a batch"));
    const int event = event_of(status);
    const int signal = event == 0 ? WSTOPSIG(status) : 0;
    if (signal == rescue_.signal && PD_TRY(registers()).rip == trap.value) return {};
    if (is_birth(event) && born != nullptr) {
      unsigned long child = 0;
      if (ptrace(PTRACE_GETEVENTMSG, tid_, nullptr, &child) != 0)
        return trace_error("learn the child of", tid_);
      born->push_back(static_cast<pid_t>(child));
    } else if (signal == SIGSTOP) {
      stop_requested_ = true;  // put off until the thread is let go
    } else if (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL) {
      return Error(Code::kInternal,
                   "a batch in pid " + std::to_string(tid_) + " touched memory that is not there");
    }
    // PTRACE_EVENT_STOP (a group stop or a leftover interrupt), or the quiet signal from elsewhere,
    // which does nothing: go on; all other signals are blocked, so nothing is lost.
  }
  return Error(Code::kTimeout, "a batch in pid " + std::to_string(tid_) + " does not end");
}

Status Tracee::pass_stop(RemoteAddr trap) {
  int status = 0;
  const pid_t waited = waitpid(tid_, &status, __WALL | WNOHANG);
  if (waited == 0 || (waited < 0 && errno == EINTR)) return {};
  if (waited < 0 || !WIFSTOPPED(status)) {
    const pid_t dead = std::exchange(tid_, 0);
    return Error(Code::kGone, "run a batch: pid " + std::to_string(dead) + " has ended");
  }
  const int signal = event_of(status) == 0 ? WSTOPSIG(status) : 0;
  stopped_ = true;
  if (signal == rescue_.signal && PD_TRY(registers()).rip == trap.value) return {};
  if (signal == SIGSTOP) stop_requested_ = true;  // put off until the thread is let go
  if (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL) {
    return Error(Code::kInternal,
                 "a batch in pid " + std::to_string(tid_) + " touched memory that is not there");
  }
  return resume();
}

int quiet_signal(uint64_t caught, uint64_t blocked) {
  for (int signal : {SIGURG, SIGWINCH, SIGCONT, SIGCHLD}) {
    if (((caught | blocked) >> (signal - 1) & 1) == 0) return signal;
  }
  return SIGURG;
}

// Stops at a system call are notifications, not signals: they leave the program's actions alone.
Status Tracee::step_call() {
  for (int halves = 0, stops = 0; halves < 2; ++stops) {
    if (stops == kStopsPerRestMax) {
      return Error(Code::kTimeout, "a call in pid " + std::to_string(tid_) + " does not end");
    }
    if (ptrace(PTRACE_SYSCALL, tid_, nullptr, nullptr) != 0) return trace_error("step", tid_);
    const int status = PD_TRY(wait_status("step"));
    if (event_of(status) != 0) continue;
    if (WSTOPSIG(status) == SIGSTOP) {
      stop_requested_ = true;  // cannot be blocked; put off until the thread is let go
      continue;
    }
    if (WSTOPSIG(status) != SIGTRAP) {
      return Error(Code::kInternal, "a call in pid " + std::to_string(tid_) + " ended in signal " +
                                        std::to_string(WSTOPSIG(status)));
    }
    ++halves;
  }
  return {};
}

Status Tracee::enter_call_interrupted() {
  if (ptrace(PTRACE_SYSCALL, tid_, nullptr, nullptr) != 0) return trace_error("continue", tid_);
  int status = PD_TRY(wait_status("enter a system call"));
  if (event_of(status) != 0 || WSTOPSIG(status) != SIGTRAP) {
    return Error(Code::kInternal, "pid " + std::to_string(tid_) + " did not enter its system call");
  }
  PD_TRY(interrupt());
  PD_TRY(resume());
  return wait_rest(nullptr);
}

Status Tracee::die_of_signal(int signal) {
  int deliver = 0;
  for (int stops = 0; stops < kStopsPerRestMax; ++stops) {
    if (ptrace(PTRACE_CONT, tid_, nullptr, static_cast<long>(deliver)) != 0 && errno != ESRCH) {
      return trace_error("continue", tid_);
    }
    Result<int> status = wait_status("end");
    if (!status.ok())
      return status.error().code() == Code::kGone ? Status() : std::move(status).error();
    deliver = event_of(*status) == 0 && WSTOPSIG(*status) == signal ? signal : 0;
  }
  return Error(Code::kTimeout, "pid " + std::to_string(tid_) + " does not end");
}

Status Tracee::resume() {
  if (ptrace(PTRACE_CONT, tid_, nullptr, nullptr) != 0) return trace_error("continue", tid_);
  stopped_ = false;
  return {};
}

// A thread that died while it was ours stays a zombie of ours, and keeps its process from ending,
// until it is waited for.
void Tracee::bury(pid_t tid) {
  if (!bury_if_dead(tid)) leftovers.push_back(tid);
}

Status Tracee::detach() {
  const pid_t tid = std::exchange(tid_, 0);
  if (std::exchange(stop_requested_, false)) (void)kill(tid, SIGSTOP);
  if (!stopped_) {
    // Only a stopped thread can be detached.
    Tracee running(tid);
    Status rested = running.interrupt();
    if (rested.ok()) rested = running.wait_rest(nullptr);
    const bool waited_for = running.tid_ == 0;
    running.tid_ = 0;
    if (waited_for) return rested;
    if (!rested.ok() && rested.error().code() != Code::kBusy) {
      bury(tid);
      return rested;
    }
  }
  if (ptrace(PTRACE_DETACH, tid, nullptr, nullptr) == 0) return {};
  Error error = trace_error("detach", tid);
  bury(tid);
  return error;
}

Result<RegisterGuard> RegisterGuard::hold(Tracee* tracee) {
  Registers registers = PD_TRY(tracee->registers());
  // Whatever else the thread runs makes the kernel forget that it was inside a restartable
  // sequence.
  Result<abi::RseqConfiguration> rseq = rseq_configuration(tracee->tid());
  if (rseq.ok()) PD_TRY(abort_restartable_sequence(tracee->tid(), *rseq, &registers));
  uint64_t mask = PD_TRY(tracee->signal_mask());
  const int quiet = quiet_signal(tracee->caught_signals(), mask);
  tracee->set_rescue({registers, mask, quiet});
  return RegisterGuard(tracee, registers, mask);
}

RegisterGuard::~RegisterGuard() {
  if (tracee_ == nullptr || tracee_->tid() == 0) return;
  // In this order: until the registers are back, what runs if we die is the end of the batch, which
  // puts both back.
  (void)tracee_->set_signal_mask(mask_);
  (void)tracee_->set_registers(saved_);
}

Result<int64_t> remote_call(Tracee* tracee, RemoteAddr syscall_instruction, long number,
                            std::array<uint64_t, 6> args) {
  Registers registers = PD_TRY(tracee->registers());
  registers.rip = syscall_instruction.value;
  registers.rax = static_cast<uint64_t>(number);
  registers.orig_rax = ~0ull;
  registers.rdi = args[0];
  registers.rsi = args[1];
  registers.rdx = args[2];
  registers.r10 = args[3];
  registers.r8 = args[4];
  registers.r9 = args[5];
  PD_TRY(tracee->set_registers(registers));
  PD_TRY(tracee->step_call());
  registers = PD_TRY(tracee->registers());
  return static_cast<int64_t>(registers.rax);
}

Result<RemoteAddr> find_syscall_instruction(pid_t pid, RemoteAddr start, uint64_t size) {
  constexpr uint8_t kInstruction[2] = {0x0f, 0x05};
  std::vector<uint8_t> code(std::min<uint64_t>(size, 1u << 20));
  // The mapping may be shorter than what the caller allows for, with nothing behind it.
  size_t have = 0;
  while (have < code.size()) {
    const size_t step = std::min<size_t>(4096, code.size() - have);
    Status read = read_memory(pid, start + have, MutableBytes(code).subspan(have, step));
    if (!read.ok() && have == 0) return std::move(read).error();
    if (!read.ok()) break;
    have += step;
  }
  code.resize(have);
  auto found =
      std::search(code.begin(), code.end(), std::begin(kInstruction), std::end(kInstruction));
  if (found == code.end()) {
    return Error(Code::kUnsupported,
                 "pid " + std::to_string(pid) + " has no system call instruction in its vdso");
  }
  return start + static_cast<uint64_t>(found - code.begin());
}

namespace {

Result<Fd> open_memory(pid_t pid) {
  std::string path = "/proc/" + std::to_string(pid) + "/mem";
  Fd memory = Fd::adopt(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!memory.valid()) return Error::system(errno, "open", path);
  return memory;
}

}  // namespace

Status write_memory(pid_t pid, RemoteAddr to, Bytes bytes) {
  iovec local{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  iovec remote{reinterpret_cast<void*>(to.value), bytes.size()};
  if (process_vm_writev(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size()))
    return {};
  Fd memory = PD_TRY(open_memory(pid));
  if (pwrite(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(to.value)) !=
      static_cast<ssize_t>(bytes.size())) {
    return trace_error("write memory of", pid);
  }
  return {};
}

Status read_memory(pid_t pid, RemoteAddr from, MutableBytes bytes) {
  iovec local{bytes.data(), bytes.size()};
  iovec remote{reinterpret_cast<void*>(from.value), bytes.size()};
  if (process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size()))
    return {};
  Fd memory = PD_TRY(open_memory(pid));
  if (pread(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(from.value)) !=
      static_cast<ssize_t>(bytes.size())) {
    return trace_error("read memory of", pid);
  }
  return {};
}

}  // namespace perdure::kernel
