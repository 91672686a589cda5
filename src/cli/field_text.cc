#include "cli/field_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/user.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/checksum.h"
#include "daemon/message.h"

namespace perdure::cli {
namespace {

constexpr std::string_view kPackage = "perdure.object.";

std::string hex_text(uint64_t value) { return fmt::format("{:#x}", value); }
std::string octal_text(uint64_t value) { return fmt::format("{:04o}", value & 07777); }
std::string signal_text(uint64_t value) { return signal_name(static_cast<int>(value)); }
std::string wait_text(uint64_t value) {
  return daemon::describe_wait_status(static_cast<int>(value));
}

std::string resource_text(uint64_t value) {
  static constexpr const char* kNames[] = {
      "cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
      "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
  return value < std::size(kNames) ? kNames[value] : std::to_string(value);
}

std::string limit_text(uint64_t value) {
  return value == ~uint64_t{0} ? "unlimited" : std::to_string(value);
}

struct IntegerRule {
  std::string_view field;
  std::string (*text)(uint64_t);
};

constexpr IntegerRule kIntegerRules[] = {
    {"Vma.start", hex_text},
    {"Vma.end", hex_text},
    {"Vma.protection", protection_text},
    {"AddressSpace.start_code", hex_text},
    {"AddressSpace.end_code", hex_text},
    {"AddressSpace.start_data", hex_text},
    {"AddressSpace.end_data", hex_text},
    {"AddressSpace.start_brk", hex_text},
    {"AddressSpace.brk", hex_text},
    {"AddressSpace.start_stack", hex_text},
    {"AddressSpace.arg_start", hex_text},
    {"AddressSpace.arg_end", hex_text},
    {"AddressSpace.env_start", hex_text},
    {"AddressSpace.env_end", hex_text},
    {"MemoryObject.mode", octal_text},
    {"MemoryObject.seals", hex_text},
    {"SysvSegment.mode", octal_text},
    {"Group.vdso_checksum", hex_text},
    {"FileIdentity.mode", octal_text},
    {"FileIdentity.checksum", hex_text},
    {"UnixSocket.mode", octal_text},
    {"Pty.mode", octal_text},
    {"OpenFile.flags", open_flags_text},
    {"OpenFile.owner_signal", signal_text},
    {"SignalFd.mask", signal_set_text},
    {"EpollWatch.events", hex_text},
    {"EpollWatch.data", hex_text},
    {"SignalAction.signal", signal_text},
    {"SignalAction.handler", hex_text},
    {"SignalAction.flags", hex_text},
    {"SignalAction.restorer", hex_text},
    {"SignalAction.mask", signal_set_text},
    {"PosixTimer.signal", signal_text},
    {"PosixTimer.sigev_value", hex_text},
    {"Limit.resource", resource_text},
    {"Limit.soft", limit_text},
    {"Limit.hard", limit_text},
    {"Process.exit_code", wait_text},
    {"Process.exit_signal", signal_text},
    {"Process.stop_signal", signal_text},
    {"Process.parent_death_signal", signal_text},
    {"Process.umask", octal_text},
    {"Process.personality", hex_text},
    {"Thread.signal_mask", signal_set_text},
    {"Thread.altstack_base", hex_text},
    {"Thread.robust_list", hex_text},
    {"Thread.clear_child_tid", hex_text},
    {"Thread.rseq_pointer", hex_text},
    {"Thread.rseq_signature", hex_text},
    {"BlockedCall.instruction", hex_text},
    {"Credentials.cap_inheritable", hex_text},
    {"Credentials.cap_permitted", hex_text},
    {"Credentials.cap_effective", hex_text},
    {"Credentials.cap_bounding", hex_text},
    {"Credentials.cap_ambient", hex_text},
    {"Credentials.securebits", hex_text},
};

std::string_view short_field(std::string_view field) {
  return field.starts_with(kPackage) ? field.substr(kPackage.size()) : field;
}

struct FlagName {
  uint64_t bit;
  const char* name;
};

Bytes as_bytes(std::string_view text) {
  return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

bool is_text(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t'; });
}

std::string quoted(std::string_view bytes) {
  std::string out = "\"";
  for (char c : bytes) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else
      out += c;
  }
  return out + "\"";
}

std::string size_and_checksum(std::string_view bytes) {
  return fmt::format("{} bytes, XXH3 {:016x}", bytes.size(), checksum(as_bytes(bytes)));
}

std::string plain_bytes_text(std::string_view bytes) {
  constexpr size_t kTextMax = 200, kHexMax = 16;
  if (is_text(bytes) && bytes.size() <= kTextMax) return quoted(bytes);
  std::string out;
  for (char c : bytes.substr(0, kHexMax)) out += fmt::format("{:02x}", static_cast<uint8_t>(c));
  if (bytes.size() > kHexMax) out += "... (" + size_and_checksum(bytes) + ")";
  return out;
}

// CPU numbers as taskset -c prints them: "0-3,6".
std::string cpu_list_text(std::string_view bits) {
  std::string out;
  auto is_set = [&](size_t cpu) {
    return cpu / 8 < bits.size() && (static_cast<uint8_t>(bits[cpu / 8]) >> (cpu % 8) & 1) != 0;
  };
  for (size_t cpu = 0; cpu < bits.size() * 8; ++cpu) {
    if (!is_set(cpu)) continue;
    size_t last = cpu;
    while (is_set(last + 1)) ++last;
    out += fmt::format("{}{}", out.empty() ? "" : ",", cpu);
    if (last > cpu) out += fmt::format("-{}", last);
    cpu = last;
  }
  return out;
}

// The first fields of a siginfo_t (sigaction(2)): signo, errno, code, then for most codes pid and
// uid.
std::string siginfo_text(std::string_view bytes) {
  if (bytes.size() < 24) return plain_bytes_text(bytes);
  const uint8_t* at = as_bytes(bytes).data();
  int code = load_le<int32_t>(at + 8);
  std::string text = fmt::format("{} code {}", signal_name(load_le<int32_t>(at)), code);
  if (code == SI_USER || code == SI_QUEUE || code == SI_TKILL) {
    text +=
        fmt::format(" from pid {} uid {}", load_le<int32_t>(at + 16), load_le<uint32_t>(at + 20));
  }
  return text;
}

std::string socket_address_text(std::string_view bytes) {
  if (!bytes.empty() && bytes.front() == '\0') return "@" + std::string(bytes.substr(1));
  return is_text(bytes) ? std::string(bytes) : plain_bytes_text(bytes);
}

}  // namespace

std::string signal_name(int signal) {
  if (signal == 0) return "none";
  // The C library keeps the first two for itself (signal(7)); programs call them by number.
  if (signal >= SIGRTMIN && signal <= SIGRTMAX)
    return fmt::format("SIGRTMIN+{}", signal - SIGRTMIN);
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("{}", signal);
}

std::string signal_set_text(uint64_t mask) {
  if (mask == ~uint64_t{0}) return "all";
  std::string out;
  for (int signal = 1; signal <= 64; ++signal) {
    if ((mask >> (signal - 1) & 1) != 0) out += (out.empty() ? "" : " ") + signal_name(signal);
  }
  return out.empty() ? "none" : out;
}

std::string open_flags_text(uint64_t flags) {
  // O_SYNC and O_TMPFILE contain O_DSYNC and O_DIRECTORY. The kernel's O_LARGEFILE, always set,
  // says nothing.
  constexpr uint64_t kKernelLargeFile = 0100000;
  static constexpr FlagName kNames[] = {
      {O_APPEND, "append"},       {O_NONBLOCK, "nonblock"}, {O_SYNC, "sync"},
      {O_DSYNC, "dsync"},         {O_DIRECT, "direct"},     {O_NOATIME, "noatime"},
      {O_PATH, "path"},           {O_TMPFILE, "tmpfile"},   {O_ASYNC, "async"},
      {O_DIRECTORY, "directory"}, {O_NOFOLLOW, "nofollow"}, {O_CREAT, "create"},
      {O_EXCL, "exclusive"},      {O_TRUNC, "truncate"},    {O_NOCTTY, "noctty"},
      {O_CLOEXEC, "cloexec"},
  };
  uint64_t access = flags & O_ACCMODE;
  std::string out = access == O_RDONLY ? "read" : access == O_WRONLY ? "write" : "read-write";
  flags &= ~(static_cast<uint64_t>(O_ACCMODE) | kKernelLargeFile);
  for (const FlagName& flag : kNames) {
    if ((flags & flag.bit) != flag.bit) continue;
    out += fmt::format(" {}", flag.name);
    flags &= ~flag.bit;
  }
  if (flags != 0) out += fmt::format(" {:#o}", flags);
  return out;
}

std::string protection_text(uint64_t protection) {
  return fmt::format("{}{}{}", (protection & PROT_READ) != 0 ? 'r' : '-',
                     (protection & PROT_WRITE) != 0 ? 'w' : '-',
                     (protection & PROT_EXEC) != 0 ? 'x' : '-');
}

std::optional<std::string> integer_text(std::string_view field, uint64_t value) {
  std::string_view name = short_field(field);
  for (const IntegerRule& rule : kIntegerRules) {
    if (rule.field == name) return rule.text(value);
  }
  return std::nullopt;
}

std::vector<NamedText> bytes_parts(std::string_view field, std::string_view bytes) {
  // The order of user_regs_struct.
  static constexpr const char* kRegisters[] = {
      "r15",    "r14", "r13", "r12",     "rbp",     "rbx", "r11",      "r10", "r9",
      "r8",     "rax", "rcx", "rdx",     "rsi",     "rdi", "orig_rax", "rip", "cs",
      "eflags", "rsp", "ss",  "fs_base", "gs_base", "ds",  "es",       "fs",  "gs"};
  static_assert(std::size(kRegisters) * 8 == sizeof(user_regs_struct));
  std::vector<NamedText> parts;
  if (short_field(field) != "Thread.registers" || bytes.size() != sizeof(user_regs_struct))
    return parts;
  for (size_t at = 0; at < std::size(kRegisters); ++at) {
    parts.push_back({kRegisters[at], hex_text(load_le<uint64_t>(as_bytes(bytes).data() + at * 8))});
  }
  return parts;
}

std::string bytes_text_of(std::string_view field, std::string_view bytes) {
  std::string_view name = short_field(field);
  if (name == "Thread.affinity") return cpu_list_text(bytes);
  if (name == "Thread.xstate" || name == "AddressSpace.auxv") return size_and_checksum(bytes);
  if (name == "PendingSignal.siginfo") return siginfo_text(bytes);
  if (name == "UnixSocket.address" || name == "UnixMessage.sender")
    return socket_address_text(bytes);
  return plain_bytes_text(bytes);
}

}  // namespace perdure::cli
