// Tracee: one seized thread (ptrace). All calls come from the one thread that seized it
// (ptrace(2)). Batch: system calls executed inside a stopped process, in one stop, by an
// interpreter of a few hundred bytes.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace perdure::kernel {

using Registers = user_regs_struct;

// An argument of a remote call: a number, or the result of an earlier call of the same batch.
struct Arg {
  uint64_t value = 0;
  bool is_result = false;
  Arg() = default;
  template <typename T>
  requires std::is_integral_v<T> || std::is_enum_v<T> Arg(T v)
      : value(static_cast<uint64_t>(static_cast<int64_t>(v))) {}  // NOLINT
  Arg(RemoteAddr address) : value(address.value) {}               // NOLINT
  static Arg result_of(size_t call) {
    Arg arg;
    arg.value = call;
    arg.is_result = true;
    return arg;
  }
};

enum class OnError : uint8_t { kStop, kContinue };

// A list of system calls with their data. Data is copied into the target's batch area before the
// run and, for buffers made with out(), back after it.
class Batch {
 public:
  // Normally made by BatchArea::batch(), which knows where the data area lies in the target.
  explicit Batch(RemoteAddr data_base) : data_base_(data_base) {}

  // The data area of one batch, bytes; larger transfers go in several batches.
  static constexpr size_t kDataBytesMax = 192 * 1024;

  // Adds a call; returns its index, for result_of() and result().
  size_t call(long number, std::array<Arg, 6> args = {}, OnError on_error = OnError::kStop);
  // Adds bytes to the data area; the address at which the target finds them, aligned to 16.
  RemoteAddr in(Bytes bytes);
  RemoteAddr in(const std::string& text);  // with its NUL
  template <typename T>
  RemoteAddr in_value(const T& value) {
    return in(bytes_of(value));
  }
  // Reserves zeroed bytes that are read back after the run.
  RemoteAddr out(size_t size);

  size_t size() const { return calls_.size(); }
  bool empty() const { return calls_.empty(); }
  // After a run: the result of a call, negative errno on failure; kNotRun if an earlier call
  // stopped the batch.
  static constexpr int64_t kNotRun = INT64_MIN;
  int64_t result(size_t call) const;
  // After a run: the bytes at an address given by out() or in().
  Bytes bytes(RemoteAddr address, size_t size) const;
  template <typename T>
  T value(RemoteAddr address) const {
    return load_le<T>(bytes(address, sizeof(T)).data());
  }

 private:
  friend class BatchArea;
  struct Call {
    long number;
    std::array<Arg, 6> args;
    OnError on_error;
    int64_t result = kNotRun;
  };
  RemoteAddr data_base_;
  std::vector<Call> calls_;
  std::vector<uint8_t> data_;
};

// The signal by which a batch ends (batch_code.S) must do nothing if nobody traces the thread: one
// that the program neither catches nor blocks and that is ignored by default. caught:
// /proc/PID/status SigCgt; blocked: the thread's mask.
int quiet_signal(uint64_t caught, uint64_t blocked);

// How a thread came to rest.
enum class StopKind : uint8_t {
  kTrap,       // stopped by us; otherwise it would run
  kGroupStop,  // stopped by a job-control signal; it rests in that stop again when it is let go
};

// What becomes of a seized thread, and of what it makes, if the tracer dies.
enum class TracerDeath : uint8_t { kDetach, kKill };

// One seized thread. Destroying it detaches: the thread runs on with the registers and signal mask
// it has then.
class Tracee {
 public:
  // Seizes without stopping. Children and threads that it makes from now on are seized with it
  // (PTRACE_O_TRACE*).
  static Result<Tracee> seize(pid_t tid, TracerDeath death = TracerDeath::kDetach);
  // Takes over a thread that the kernel attached because its maker was seized; it stops by itself
  // before it runs.
  static Tracee adopt(pid_t tid) { return Tracee(tid); }
  Tracee(Tracee&& other) noexcept;
  Tracee& operator=(Tracee&& other) noexcept;
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;
  ~Tracee();

  // Threads that ended while they were this thread's: their processes' parents hear of the end only
  // when we have waited. True if some are left. What in_tracer_thread() traces needs no such care.
  static bool wait_for_leftovers();

  pid_t tid() const { return tid_; }
  bool stopped() const { return stopped_; }
  StopKind stop_kind() const { return stop_kind_; }
  int stop_signal() const { return stop_signal_; }

  Status interrupt();
  enum class Took : uint8_t {
    kRest,     // it rests
    kBirth,    // it made `other`, a thread or a process, and goes on
    kVfork,    // it made `other` and waits in vfork(2) until that executes a program
    kExecute,  // it executed a program. As thread `other` it did; its number is that of the main
               // thread now, and all other threads of its process have ended. It goes on
    kPassing,  // nothing of interest; it goes on
  };
  struct Taken {
    Took what;
    pid_t other = 0;
  };
  // Takes a stop, as waitpid(2) told it, of a thread that was interrupted. If it goes on it does so
  // towards its rest. Its signals are delivered.
  Result<Taken> take_stop(int status);
  // Waits until the thread rests after interrupt() (or, adopted, at its birth). Signals that arrive
  // meanwhile are delivered to it first. Tids of children and threads that it made meanwhile are
  // appended to `born`. kGone if it died; kTimeout if it does neither.
  Status wait_rest(std::vector<pid_t>* born);

  // All below: stopped.
  Result<Registers> registers() const;
  Status set_registers(const Registers& registers);
  // The xsave area, whatever size this processor has (ptrace(2), NT_X86_XSTATE).
  Result<std::vector<uint8_t>> xstate() const;
  // The same in place of an earlier one: whether it is another.
  Result<bool> read_xstate(std::string* xstate) const;
  Status set_xstate(Bytes xstate);
  Result<uint64_t> signal_mask() const;
  Status set_signal_mask(uint64_t mask);
  enum class Queue : uint8_t { kThread, kProcess };
  // Pending signals, oldest first, each a siginfo_t of 128 bytes.
  Result<std::vector<std::array<uint8_t, 128>>> pending(Queue queue) const;
  // Which signals the program has handlers for; none unless told. For quiet_signal().
  void set_caught_signals(uint64_t caught) { caught_signals_ = caught; }
  uint64_t caught_signals() const { return caught_signals_; }
  // What the thread resumes with if we die while a batch runs in it. Set by RegisterGuard.
  struct Rescue {
    Registers registers;
    uint64_t mask = 0;
    int signal = 23;  // SIGURG: by which batches end
  };
  void set_rescue(const Rescue& rescue) { rescue_ = rescue; }
  const Rescue& rescue() const { return rescue_; }
  // Runs until the thread gets its quiet signal at this address; all others are blocked. Tids of
  // what it makes go to `born`, unless null. For BatchArea.
  Status run_to_trap(RemoteAddr trap, std::vector<pid_t>* born);
  // As run_to_trap(), for a thread that was resumed already.
  Status wait_trap(RemoteAddr trap, std::vector<pid_t>* born);
  // For a thread that runs towards the trap: if it came to another stop, for example one that a
  // signal asked for earlier, it goes on. stopped() if it has reached the trap. Does not wait.
  Status pass_stop(RemoteAddr trap);
  // Executes one system call, before whose instruction the thread stands.
  Status step_call();
  // Lets the thread, whose registers stand before a system call, enter it with an interrupt
  // pending: a blocking call then takes its arguments, begins to wait, and is interrupted at once.
  // Ends at rest.
  Status enter_call_interrupted();
  // Lets it run into a signal that ends it, which is pending and not blocked; waits as its tracer,
  // so that its parent can.
  Status die_of_signal(int signal);
  // Starts running and does not wait; the thread stays seized and counts as not stopped.
  Status resume();
  Status detach();
  // After the thread died or was given up: forget it without touching it.
  void abandon() { tid_ = 0; }

 private:
  explicit Tracee(pid_t tid) : tid_(tid) {}
  enum class Patience : uint8_t { kBounded, kEndless };
  Result<int> wait_status(std::string_view what, Patience patience = Patience::kEndless);
  bool is_dead() const;
  static void bury(pid_t tid);
  pid_t tid_ = 0;
  bool stopped_ = false;
  StopKind stop_kind_ = StopKind::kTrap;
  int stop_signal_ = 0;
  bool stop_requested_ = false;  // a SIGSTOP came while a batch ran
  uint64_t caught_signals_ = 0;
  Rescue rescue_ = {};
};

// Puts a stopped thread's registers and signal mask back when it goes out of scope; between, every
// signal is blocked.
class RegisterGuard {
 public:
  static Result<RegisterGuard> hold(Tracee* tracee);
  RegisterGuard(RegisterGuard&& other) noexcept
      : tracee_(std::exchange(other.tracee_, nullptr)), saved_(other.saved_), mask_(other.mask_) {}
  RegisterGuard& operator=(RegisterGuard&&) = delete;
  ~RegisterGuard();
  const Registers& saved() const { return saved_; }
  uint64_t saved_mask() const { return mask_; }
  // What is put back instead of what was found.
 private:
  RegisterGuard(Tracee* tracee, const Registers& saved, uint64_t mask)
      : tracee_(tracee), saved_(saved), mask_(mask) {}
  Tracee* tracee_;
  Registers saved_;
  uint64_t mask_;
};

// The interpreter's mapping in one process: code page, call table, data. Anonymous memory of the
// name
// "/memfd:perdure-batch", so that an engine that takes over finds it. Not owned: unmap() removes
// it.
class BatchArea {
 public:
  static constexpr const char* kName = "perdure-batch";
  static constexpr size_t kCallsMax = 400;
  static constexpr size_t kHeaderBytes = 256;
  static constexpr size_t kBytes = 4096 + 32768 + Batch::kDataBytesMax;

  // Maps the area. `tracee` is stopped, its registers held by a RegisterGuard;
  // `syscall_instruction` is the address of two bytes 0f 05 in executable memory of the target (see
  // find_syscall_instruction).
  // wanted: where; 0: anywhere. Nothing may be mapped there.
  static Result<BatchArea> map(Tracee* tracee, RemoteAddr syscall_instruction,
                               RemoteAddr wanted = {});
  // The area at a known address: found in an inherited or taken-over process.
  static BatchArea at(RemoteAddr base) { return BatchArea(base); }

  // True if the interpreter is at this area's address in the process: it was mapped there and not
  // replaced since.
  bool present(pid_t pid) const;

  RemoteAddr base() const { return base_; }
  // An instruction pair 0f 05 inside the area.
  RemoteAddr syscall_instruction() const;
  Batch batch() const { return Batch(base_ + 4096 + 32768); }
  // Runs the calls in the stopped thread. An error here means that the thread died or could not be
  // driven; failures of calls are in their results.
  Status run(Tracee* tracee, Batch* batch) const;
  // As run(), for a batch whose calls make processes or threads: their tids (in our PID namespace)
  // go to `born`.
  Status run(Tracee* tracee, Batch* batch, std::vector<pid_t>* born) const;
  // As run(), but `visit` is called with the result of the last call so far while the thread waits
  // in the next one, which add_visit() adds, so that what the first calls made in the process is
  // undone by the last ones even if the engine dies meanwhile.
  struct Visit {
    size_t call = 0;  // whose result is visited
  };
  static Visit add_visit(Batch* batch);
  Status run_visited(Tracee* tracee, Batch* batch, const Visit& visit,
                     const std::function<void(int64_t)>& visitor) const;
  Status unmap(Tracee* tracee, RemoteAddr syscall_instruction) const;

 private:
  Status prepare(Tracee* tracee, const Batch& batch) const;
  Result<int64_t> await_result(Tracee* tracee, size_t call) const;
  Status end_visit(Tracee* tracee) const;
  RemoteAddr trap() const;
  explicit BatchArea(RemoteAddr base) : base_(base) {}
  Status send(const Tracee& tracee, const Batch& batch) const;
  Status fetch(pid_t tid, Batch* batch) const;
  RemoteAddr base_;
};

// One system call through a bare syscall instruction: for mapping and unmapping the area itself.
Result<int64_t> remote_call(Tracee* tracee, RemoteAddr syscall_instruction, long number,
                            std::array<uint64_t, 6> args);
// The first syscall instruction within [start, end) of the target's memory, normally its vdso.
Result<RemoteAddr> find_syscall_instruction(pid_t pid, RemoteAddr start, uint64_t size);

// Target memory, through /proc/PID/mem: works on any mapping, whatever its protection.
Status write_memory(pid_t pid, RemoteAddr to, Bytes bytes);
Status read_memory(pid_t pid, RemoteAddr from, MutableBytes bytes);

}  // namespace perdure::kernel
