#include "kernel/proc/status.h"

#include <algorithm>

#include "kernel/proc/read.h"

namespace perdure::kernel::proc {
namespace {

constexpr uint64_t kKibibyte = 1024;

// One line: "Key:<tab>value". A setter says whether it understood the value.
struct Row {
  std::string_view key;
  bool (*set)(std::string_view value, TaskStatus* status);
};

template <auto Member>
bool set_number(std::string_view value, TaskStatus* status) {
  const auto number = parse_unsigned(value);
  if (number) status->*Member = static_cast<std::decay_t<decltype(status->*Member)>>(*number);
  return number.has_value();
}

template <auto Member, int Base>
bool set_based(std::string_view value, TaskStatus* status) {
  const auto number = parse_unsigned(value, Base);
  if (number) status->*Member = static_cast<std::decay_t<decltype(status->*Member)>>(*number);
  return number.has_value();
}

template <auto Member>
bool set_list(std::string_view value, TaskStatus* status) {
  for (std::string_view part :
       split(value, value.find('\t') != std::string_view::npos ? '\t' : ' ')) {
    const auto number = parse_unsigned(part);
    if (!number) return false;
    (status->*Member).push_back(static_cast<uint32_t>(*number));
  }
  return true;
}

template <auto Member>
bool set_four(std::string_view value, TaskStatus* status) {
  const auto parts = split(value, '\t');
  if (parts.size() != 4) return false;
  for (size_t i = 0; i < 4; ++i) {
    const auto number = parse_unsigned(parts[i]);
    if (!number) return false;
    (status->*Member)[i] = static_cast<uint32_t>(*number);
  }
  return true;
}

// The kernel escapes newlines and backslashes; blanks at the ends belong to the name.
std::string unescaped_name(std::string_view text) {
  std::string name;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    if (escape) ++i;
    name.push_back(escape && text[i] == 'n' ? '\n' : text[i]);
  }
  return name;
}

bool set_state(std::string_view value, TaskStatus* status) {
  if (value.empty()) return false;
  status->state = value.front();
  return true;
}

template <uint64_t TaskStatus::*kMember>
bool set_size(std::string_view value, TaskStatus* status) {
  const auto kib = parse_unsigned(value.substr(0, value.find(' ')));
  if (kib) status->*kMember = *kib * kKibibyte;
  return kib.has_value();
}

bool set_features(std::string_view value, TaskStatus* status) {
  status->shadow_stack = value.find("shstk") != std::string_view::npos;
  return true;
}

// "ff,ffffffff": 32-bit words in hexadecimal, the highest CPUs first.
bool set_cpus(std::string_view value, TaskStatus* status) {
  auto words = split(value, ',');
  std::reverse(words.begin(), words.end());
  for (std::string_view word : words) {
    const auto bits = parse_unsigned(word, 16);
    if (!bits) return false;
    for (int byte = 0; byte < 4; ++byte) {
      status->cpus_allowed.push_back(static_cast<uint8_t>(*bits >> (8 * byte)));
    }
  }
  while (!status->cpus_allowed.empty() && status->cpus_allowed.back() == 0) {
    status->cpus_allowed.pop_back();
  }
  return true;
}

constexpr Row kRows[] = {
    {"Umask", set_based<&TaskStatus::umask, 8>},
    {"State", set_state},
    {"Tgid", set_number<&TaskStatus::tgid>},
    {"Pid", set_number<&TaskStatus::pid>},
    {"PPid", set_number<&TaskStatus::ppid>},
    {"TracerPid", set_number<&TaskStatus::tracer_pid>},
    {"Uid", set_four<&TaskStatus::uids>},
    {"Gid", set_four<&TaskStatus::gids>},
    {"Groups", set_list<&TaskStatus::groups>},
    {"NStgid", set_list<&TaskStatus::ns_tgid>},
    {"NSpid", set_list<&TaskStatus::ns_pid>},
    {"NSpgid", set_list<&TaskStatus::ns_process_group>},
    {"NSsid", set_list<&TaskStatus::ns_session>},
    {"VmRSS", set_size<&TaskStatus::rss_bytes>},
    {"RssAnon", set_size<&TaskStatus::anonymous_bytes>},
    {"CoreDumping", set_number<&TaskStatus::core_dumping>},
    {"Threads", set_number<&TaskStatus::threads>},
    {"SigPnd", set_based<&TaskStatus::pending_thread, 16>},
    {"ShdPnd", set_based<&TaskStatus::pending_process, 16>},
    {"SigBlk", set_based<&TaskStatus::blocked, 16>},
    {"SigIgn", set_based<&TaskStatus::ignored, 16>},
    {"SigCgt", set_based<&TaskStatus::caught, 16>},
    {"CapInh", set_based<&TaskStatus::cap_inheritable, 16>},
    {"CapPrm", set_based<&TaskStatus::cap_permitted, 16>},
    {"CapEff", set_based<&TaskStatus::cap_effective, 16>},
    {"CapBnd", set_based<&TaskStatus::cap_bounding, 16>},
    {"CapAmb", set_based<&TaskStatus::cap_ambient, 16>},
    {"NoNewPrivs", set_number<&TaskStatus::no_new_privs>},
    {"Seccomp", set_number<&TaskStatus::seccomp_mode>},
    {"Cpus_allowed", set_cpus},
    {"x86_Thread_features", set_features},
};

}  // namespace

Result<TaskStatus> parse_status(std::string_view text) {
  TaskStatus status;
  for (std::string_view line : lines_of(text)) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, colon);
    if (key == "Name") status.name = unescaped_name(line.substr(std::min(colon + 2, line.size())));
    const auto row = std::find_if(std::begin(kRows), std::end(kRows),
                                  [&](const Row& candidate) { return candidate.key == key; });
    if (row == std::end(kRows)) continue;
    if (!row->set(trimmed(line.substr(colon + 1)), &status)) {
      return Error(Code::kUnavailable, "/proc/PID/status: cannot read " + std::string(line));
    }
  }
  if (status.pid == 0 || status.ns_pid.empty()) {
    return Error(Code::kUnavailable, "/proc/PID/status lacks Pid or NSpid (Linux 4.1)");
  }
  return status;
}

Result<TaskStatus> read_status(pid_t pid) {
  return parse_status(PD_TRY(read_text(path_of(pid, "status"))));
}

Result<TaskStatus> read_status(pid_t pid, pid_t tid) {
  return parse_status(PD_TRY(read_text(path_of(pid, tid, "status"))));
}

}  // namespace perdure::kernel::proc
