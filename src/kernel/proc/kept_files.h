// Files below /proc/PID that stay open from one reading to the next. Opening one and closing it
// costs several times what reading it does, and a stop window reads thirty of them.
//
// An open file of /proc belongs to the process that it was opened for, whoever gets its number
// later, and files of memory (maps, auxv) to the address space of that moment. So the owner of a
// set says when its process has ended or executed another program; a process that is gone is also
// noticed here. One set of files for all threads of ours.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace perdure::kernel::proc {

// From now on read_text() and list_numbers() keep what they read of this process open. Nothing
// happens if there is no such process.
void keep_files(pid_t pid);
// Closes them; the next readings open anew, and keep nothing.
void forget_files(pid_t pid);
// Closes those of its address space: it may have another since they were opened, though the old one
// lives on, as that of a parent does after vfork(2) and execve(2).
void forget_memory_files(pid_t pid);

// For list_numbers(): a kept folder ("task", "fd"), likewise.
std::optional<std::vector<pid_t>> list_kept(const std::string& path);
// For read_link(): a link directly below /proc/PID, or nothing if the path is none of a kept
// process.
std::optional<std::string> read_kept_link(const std::string& path);
// For read_text(): the content by way of a kept file, or nothing if the path is none of a kept
// process.
std::optional<Result<std::string>> read_kept(const std::string& path);

}  // namespace perdure::kernel::proc
