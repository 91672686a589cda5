// Reading /proc: whole files, links and numbered folders, with one way to say that a process is
// gone. A /proc file is read in as few reads as possible, because the kernel makes its text anew
// for each open.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perdure::kernel::proc {

// "/proc/PID/LEAF" and "/proc/PID/task/TID/LEAF".
std::string path_of(pid_t pid, std::string_view leaf);
std::string path_of(pid_t pid, pid_t tid, std::string_view leaf);

// A whole file. kGone if it lies under a process or thread that no longer exists; kUnavailable if
// the process is there but this kernel does not have the file.
Result<std::string> read_text(const std::string& path);
// What a link points to, for example /proc/PID/ns/net.
Result<std::string> read_link(const std::string& path);
// The numbers among the names of a folder, ascending: /proc/PID/task, /proc/PID/fd.
Result<std::vector<pid_t>> list_numbers(const std::string& path);
// Writes a value into a /proc or /sys file in one write.
Status write_text(const std::string& path, std::string_view text);

// The threads of a process, in the reader's PID namespace, the leader first.
Result<std::vector<pid_t>> threads_of(pid_t pid);

// Splits text at a character, without empty parts.
std::vector<std::string_view> split(std::string_view text, char separator);
// The lines of a text, without their newlines.
std::vector<std::string_view> lines_of(std::string_view text);
std::string_view trimmed(std::string_view text);

// A whole text as a number; nothing if any part of it is not one.
std::optional<int64_t> parse_signed(std::string_view text);
std::optional<uint64_t> parse_unsigned(std::string_view text, int base = 10);

}  // namespace perdure::kernel::proc
