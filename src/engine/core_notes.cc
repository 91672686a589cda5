#include "engine/core_notes.h"

#include <elf.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/limits.h"
#include "engine/core_xstate.h"

namespace perdure::engine {
namespace {

static_assert(sizeof(elf_prstatus) == 336 && sizeof(elf_prpsinfo) == 136);
static_assert(sizeof(elf_gregset_t) == sizeof(user_regs_struct));

constexpr size_t kFpBytes = sizeof(user_fpregs_struct);  // the front of the xsave area: FXSAVE's
constexpr size_t kSiginfoBytes = 128;
constexpr const char* kCoreName = "CORE";
constexpr const char* kLinuxName = "LINUX";

void append_aligned(std::string& out, const void* data, size_t size) {
  out.append(static_cast<const char*>(data), size);
  out.resize((out.size() + 3) & ~size_t{3});
}

void append_note(std::string& out, const char* name, uint32_t type, const void* data, size_t size) {
  const Elf64_Nhdr header{static_cast<Elf64_Word>(std::strlen(name) + 1),
                          static_cast<Elf64_Word>(size), type};
  append_aligned(out, &header, sizeof(header));
  append_aligned(out, name, header.n_namesz);
  append_aligned(out, data, size);
}

void append_note(std::string& out, const char* name, uint32_t type, const std::string& data) {
  append_note(out, name, type, data.data(), data.size());
}

int signal_of(const object::PendingSignal& pending) {
  if (pending.siginfo().size() < sizeof(int)) return 0;
  return load_le<int>(reinterpret_cast<const uint8_t*>(pending.siginfo().data()));
}

template <typename Queue>
uint64_t mask_of(const Queue& queue) {
  uint64_t mask = 0;
  for (const object::PendingSignal& pending : queue) {
    const int signal = signal_of(pending);
    if (signal >= 1 && signal <= 64) mask |= uint64_t{1} << (signal - 1);
  }
  return mask;
}

bool is_stopped(const object::Process& process) {
  return process.state() == object::Process::STOPPED;
}

void append_status(std::string& out, const object::Process& process, const object::Thread& thread) {
  elf_prstatus status = {};
  if (is_stopped(process)) status.pr_cursig = static_cast<short>(process.stop_signal());
  status.pr_info.si_signo = status.pr_cursig;
  status.pr_sigpend = mask_of(thread.pending());
  if (thread.tid() == process.pid()) status.pr_sigpend |= mask_of(process.pending());
  status.pr_sighold = thread.signal_mask();
  status.pr_pid = thread.tid();
  status.pr_ppid = process.parent_pid();
  status.pr_pgrp = process.process_group();
  status.pr_sid = process.session();
  std::memcpy(&status.pr_reg, thread.registers().data(),
              std::min(sizeof(status.pr_reg), thread.registers().size()));
  status.pr_fpvalid = thread.xstate().size() >= kFpBytes;
  append_note(out, kCoreName, NT_PRSTATUS, &status, sizeof(status));
}

void append_floating_point(std::string& out, const object::Thread& thread) {
  if (thread.xstate().size() < kFpBytes) return;
  append_note(out, kCoreName, NT_FPREGSET, thread.xstate().data(), kFpBytes);
  const XstateLayout layout = own_xstate_layout(thread.xstate().size());
  append_note(out, kLinuxName, NT_X86_XSTATE, xstate_for_debuggers(thread.xstate(), layout));
}

// What the thread was about to get: the oldest signal that waits for it, or the one that stopped
// it.
void append_siginfo(std::string& out, const object::Process& process,
                    const object::Thread& thread) {
  const bool leader = thread.tid() == process.pid();
  const object::PendingSignal* pending = nullptr;
  if (!thread.pending().empty()) {
    pending = &thread.pending(0);
  } else if (leader && !process.pending().empty()) {
    pending = &process.pending(0);
  }
  if (is_stopped(process)) {
    char siginfo[kSiginfoBytes] = {};
    const int32_t signal = process.stop_signal();
    std::memcpy(siginfo, &signal, sizeof(signal));
    append_note(out, kCoreName, NT_SIGINFO, siginfo, sizeof(siginfo));
  } else if (pending != nullptr && pending->siginfo().size() == kSiginfoBytes) {
    append_note(out, kCoreName, NT_SIGINFO, pending->siginfo());
  }
}

void append_process(std::string& out, const object::Process& process,
                    const object::Thread& leader) {
  elf_prpsinfo info = {};
  info.pr_sname = is_stopped(process) ? 'T' : 'R';
  info.pr_state = is_stopped(process) ? 3 : 0;  // as in fs/binfmt_elf.c: "RSDTZW"
  info.pr_nice = static_cast<char>(leader.scheduler().nice());
  info.pr_uid = leader.credentials().uid();
  info.pr_gid = leader.credentials().gid();
  info.pr_pid = process.pid();
  info.pr_ppid = process.parent_pid();
  info.pr_pgrp = process.process_group();
  info.pr_sid = process.session();
  process.comm().copy(info.pr_fname, sizeof(info.pr_fname) - 1);
  std::string line;
  for (const std::string& word : process.command_line()) line += (line.empty() ? "" : " ") + word;
  line.copy(info.pr_psargs, sizeof(info.pr_psargs) - 1);
  append_note(out, kCoreName, NT_PRPSINFO, &info, sizeof(info));
}

// The path behind a mapping of a file that exists under its name; else empty.
std::string path_of(const object::Graph& graph, const object::Vma& vma) {
  if (vma.kind() != object::Vma::FILE_PRIVATE && vma.kind() != object::Vma::FILE_SHARED) return "";
  auto file = graph.open_files.find(ObjectId(vma.file()));
  if (file == graph.open_files.end() || file->second.regular().content() != 0) return "";
  return file->second.regular().identity().path();
}

void append_files(std::string& out, const object::Graph& graph, const object::AddressSpace& space) {
  std::string ranges, names;
  uint64_t count = 0;
  auto append_word = [&ranges](uint64_t word) { ranges.append(reinterpret_cast<char*>(&word), 8); };
  for (const object::Vma& vma : space.vmas()) {
    const std::string path = path_of(graph, vma);
    if (path.empty()) continue;
    ++count;
    append_word(vma.start());
    append_word(vma.end());
    append_word(vma.offset() >> kPageShift);
    names.append(path.c_str(), path.size() + 1);
  }
  const uint64_t head[] = {count, kPageSize};
  append_note(out, kCoreName, NT_FILE,
              std::string(reinterpret_cast<const char*>(head), sizeof(head)) + ranges + names);
}

}  // namespace

std::string core_notes(const object::Graph& graph, const object::Process& process) {
  std::string out;
  for (int at = 0; at < process.threads_size(); ++at) {
    const object::Thread& thread = graph.threads.at(ObjectId(process.threads(at)));
    append_status(out, process, thread);
    if (at == 0) {
      const object::AddressSpace& space =
          graph.address_spaces.at(ObjectId(process.address_space()));
      append_process(out, process, thread);
      append_siginfo(out, process, thread);
      append_note(out, kCoreName, NT_AUXV, space.auxv());
      append_files(out, graph, space);
    } else {
      append_siginfo(out, process, thread);
    }
    append_floating_point(out, thread);
  }
  return out;
}

}  // namespace perdure::engine
