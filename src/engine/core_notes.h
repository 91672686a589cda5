// The notes of a core file: who the process was, and each thread with its registers, as Linux
// writes them (core(5), linux/elfcore.h, fs/binfmt_elf.c). Pure.
#pragma once

#include <cstdint>
#include <string>

#include "object/graph.h"

namespace perdure::engine {

// The content of the PT_NOTE segment. Threads in the order of the record, the leader first, so that
// a debugger begins with it. NT_FILE names the mappings whose files debuggers have to look into;
// memory that the epoch holds whole is not among them.
std::string core_notes(const object::Graph& graph, const object::Process& process);

}  // namespace perdure::engine
