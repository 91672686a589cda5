#include "kernel/proc/limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <optional>
#include <string>

#include "kernel/proc/read.h"

namespace perdure::kernel::proc {
namespace {

struct Name {
  uint32_t resource;
  const char* text;  // between "Max " and the numbers
};

constexpr Name kNames[] = {
    {RLIMIT_CPU, "cpu time"},
    {RLIMIT_FSIZE, "file size"},
    {RLIMIT_DATA, "data size"},
    {RLIMIT_STACK, "stack size"},
    {RLIMIT_CORE, "core file size"},
    {RLIMIT_RSS, "resident set"},
    {RLIMIT_NPROC, "processes"},
    {RLIMIT_NOFILE, "open files"},
    {RLIMIT_MEMLOCK, "locked memory"},
    {RLIMIT_AS, "address space"},
    {RLIMIT_LOCKS, "file locks"},
    {RLIMIT_SIGPENDING, "pending signals"},
    {RLIMIT_MSGQUEUE, "msgqueue size"},
    {RLIMIT_NICE, "nice priority"},
    {RLIMIT_RTPRIO, "realtime priority"},
    {RLIMIT_RTTIME, "realtime timeout"},
};

std::optional<uint64_t> parse_value(std::string_view text) {
  if (text == "unlimited") return kLimitInfinity;
  return parse_unsigned(text);
}

std::optional<Limit> parse_line(std::string_view line) {
  constexpr std::string_view kMax = "Max ";
  if (!line.starts_with(kMax)) return std::nullopt;
  line.remove_prefix(kMax.size());
  for (const Name& name : kNames) {
    if (!line.starts_with(name.text)) continue;
    const auto values = split(line.substr(std::string_view(name.text).size()), ' ');
    if (values.size() < 2) return std::nullopt;
    const auto soft = parse_value(values[0]);
    const auto hard = parse_value(values[1]);
    if (!soft || !hard) return std::nullopt;
    return Limit{name.resource, *soft, *hard};
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<Limit>> parse_limits(std::string_view text) {
  std::vector<Limit> limits;
  for (std::string_view line : lines_of(text)) {
    if (line.starts_with("Limit ")) continue;  // the heading
    const auto limit = parse_line(line);
    if (!limit) {
      return Error(Code::kUnavailable, "/proc/PID/limits: cannot read " + std::string(line));
    }
    limits.push_back(*limit);
  }
  if (limits.size() != std::size(kNames)) {
    return Error(Code::kUnavailable,
                 "/proc/PID/limits does not hold the 16 limits of getrlimit(2)");
  }
  std::sort(limits.begin(), limits.end(),
            [](const Limit& a, const Limit& b) { return a.resource < b.resource; });
  return limits;
}

Result<std::vector<Limit>> read_limits(pid_t pid) {
  return parse_limits(PD_TRY(read_text(path_of(pid, "limits"))));
}

const char* limit_name(uint32_t resource) {
  for (const Name& name : kNames) {
    if (name.resource == resource) return name.text;
  }
  return "unknown limit";
}

}  // namespace perdure::kernel::proc
