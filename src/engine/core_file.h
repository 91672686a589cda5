// A process of an epoch as an ELF core file (core(5)), so that debuggers open any past moment. The
// layers below see one end each; here the program's records meet the store's pages.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "object/graph.h"
#include "store/epoch_reader.h"

namespace perdure::engine {

struct CoreReport {
  uint64_t file_bytes = 0;    // as ls shows it
  uint64_t stored_bytes = 0;  // without holes
  uint64_t threads = 0;
};

// All records of an epoch, checked.
Result<object::Graph> load_graph(const store::EpochReader& reader);

// Code::kInvalid for a process without memory (a zombie).
Status check_has_memory(const object::Process& process);

// Writes the file anew, mode 0600. What is at the path is replaced only when the core is whole.
Result<CoreReport> write_core(const object::Graph& graph, const object::Process& process,
                              const store::EpochReader& reader, const std::string& path);

}  // namespace perdure::engine
