#include "kernel/proc/fdinfo.h"

#include <string>

#include "kernel/proc/read.h"

namespace perdure::kernel::proc {
namespace {

Error malformed(std::string_view line) {
  return Error(Code::kInternal, "unexpected line in fdinfo: " + std::string(line));
}

Result<uint64_t> number(std::string_view text, int base, std::string_view line) {
  const std::optional<uint64_t> value = parse_unsigned(trimmed(text), base);
  if (!value) return malformed(line);
  return *value;
}

// "(SECONDS, NANOSECONDS)"
Result<uint64_t> time_ns(std::string_view text, std::string_view line) {
  const size_t comma = text.find(',');
  const size_t close = text.find(')');
  if (text.empty() || text[0] != '(' || comma == text.npos || close == text.npos || close < comma) {
    return malformed(line);
  }
  const uint64_t seconds = PD_TRY(number(text.substr(1, comma - 1), 10, line));
  const uint64_t nanoseconds = PD_TRY(number(text.substr(comma + 1, close - comma - 1), 10, line));
  return seconds * 1'000'000'000 + nanoseconds;
}

FdinfoLock::Kind lock_kind(std::string_view word) {
  if (word == "POSIX") return FdinfoLock::Kind::kPosix;
  if (word == "FLOCK") return FdinfoLock::Kind::kFlock;
  if (word == "OFDLCK") return FdinfoLock::Kind::kOfd;
  return FdinfoLock::Kind::kOther;
}

// "1: POSIX  ADVISORY  WRITE 8387 fe:00:10952849 0 EOF"; the last byte is inclusive.
Result<FdinfoLock> parse_lock(std::string_view text, std::string_view line) {
  const std::vector<std::string_view> words = split(text, ' ');
  if (words.size() < 8) return malformed(line);
  FdinfoLock lock;
  lock.kind = lock_kind(words[1]);
  lock.write = words[3] == "WRITE";
  lock.device_inode = PD_TRY(number(words[5].substr(words[5].rfind(':') + 1), 10, line));
  lock.start = PD_TRY(number(words[6], 10, line));
  if (words[7] != "EOF") lock.length = PD_TRY(number(words[7], 10, line)) - lock.start + 1;
  return lock;
}

// The number after "KEY:" with its blanks, up to the next blank.
Result<uint64_t> keyed(std::string_view line, std::string_view key, int base) {
  size_t at = line.find(key);
  if (at == line.npos) return malformed(line);
  at = line.find_first_not_of(" \t", at + key.size());
  if (at == line.npos) return malformed(line);
  const size_t end = line.find_first_of(" \t", at);
  return number(line.substr(at, end == line.npos ? end : end - at), base, line);
}

// "tfd:        3 events: 80000019 data:                3  pos:0 ino:40e sdev:10"
Result<FdinfoWatch> parse_watch(std::string_view line) {
  FdinfoWatch watch;
  watch.fd = static_cast<int>(PD_TRY(keyed(line, "tfd:", 10)));
  watch.events = static_cast<uint32_t>(PD_TRY(keyed(line, "events:", 16)));
  watch.data = PD_TRY(keyed(line, "data:", 16));
  watch.inode = PD_TRY(keyed(line, "ino:", 16));
  watch.device = static_cast<uint32_t>(PD_TRY(keyed(line, "sdev:", 16)));
  return watch;
}

// The keys of a timerfd. False: it is none of them.
Result<bool> parse_timer_line(std::string_view key, std::string_view value, std::string_view line,
                              std::optional<FdinfoTimer>* timer) {
  if (key == "clockid") {
    timer->emplace().clock = static_cast<int>(PD_TRY(number(value, 10, line)));
    return true;
  }
  if (!*timer) return false;
  if (key == "ticks") {
    (*timer)->ticks = PD_TRY(number(value, 10, line));
  } else if (key == "settime flags") {
    (*timer)->settime_flags = static_cast<uint32_t>(PD_TRY(number(value, 8, line)));
  } else if (key == "it_value") {
    (*timer)->value_ns = PD_TRY(time_ns(value, line));
  } else if (key == "it_interval") {
    (*timer)->interval_ns = PD_TRY(time_ns(value, line));
  } else {
    return false;
  }
  return true;
}

Status parse_line(std::string_view line, Fdinfo* info) {
  const size_t colon = line.find(':');
  if (colon == line.npos) return {};  // a kind that we do not know may print anything
  const std::string_view key = line.substr(0, colon);
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (key == "pos") {
    info->position = PD_TRY(number(value, 10, line));
  } else if (key == "flags") {
    info->flags = static_cast<uint32_t>(PD_TRY(number(value, 8, line)));
  } else if (key == "lock") {
    info->locks.push_back(PD_TRY(parse_lock(value, line)));
  } else if (key == "eventfd-count") {
    info->eventfd_count = PD_TRY(number(value, 16, line));
  } else if (key == "eventfd-semaphore") {
    info->eventfd_semaphore = value != "0";
  } else if (key == "sigmask") {
    info->signal_mask = PD_TRY(number(value, 16, line));
  } else if (key == "tfd") {
    info->watches.push_back(PD_TRY(parse_watch(line)));
  } else {
    PD_TRY(parse_timer_line(key, value, line, &info->timer));
  }
  return {};
}

}  // namespace

Result<Fdinfo> parse_fdinfo(std::string_view text) {
  Fdinfo info;
  for (std::string_view line : lines_of(text)) PD_TRY(parse_line(line, &info));
  return info;
}

Result<Fdinfo> read_fdinfo(pid_t pid, int fd) {
  return parse_fdinfo(PD_TRY(read_text(path_of(pid, "fdinfo/" + std::to_string(fd)))));
}

Result<Fdinfo> read_own_fdinfo(int fd) {
  return parse_fdinfo(PD_TRY(read_text("/proc/self/fdinfo/" + std::to_string(fd))));
}

}  // namespace perdure::kernel::proc
