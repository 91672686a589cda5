// Calls about files that only the restored process itself can make. Pure: records in, calls out;
// the engine runs them as batches in the process.
//
//   std::vector<LateCall> calls = final_file_calls(process, graph);
//   for (LateCalls late(std::move(calls)); !late.done();) {
//     kernel::Batch batch = area.batch();
//     late.fill(&batch);  PD_TRY(area.run(&tracee, &batch));  PD_TRY(late.check(batch));
//   }
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/tracee.h"
#include "object/graph.h"
#include "restore/files.h"

namespace perdure::restore {

struct LateCall {
  long number = 0;
  std::array<kernel::Arg, 6> args = {};
  int data_argument = -1;  // which argument is the address of `data`; -1: none
  std::vector<uint8_t> data;
  std::string what;  // for the error: "lock /var/x.db"
};

// Controlling terminals and their foreground process groups. For session leaders, once every
// session and process group exists, while the builder's descriptors are still open; empty for other
// processes.
std::vector<LateCall> terminal_calls(const object::Process& process, const object::Graph& graph,
                                     const OpenedFiles& opened);

// Seals that must follow the mapping of memory (F_SEAL_FUTURE_WRITE). For any one process, once
// every process has its mappings, while the builder's descriptors are still open.
std::vector<LateCall> seal_calls(const object::Graph& graph, const OpenedFiles& opened);

// POSIX locks and signal owners. When the process has its descriptors, the builder's are closed
// (closing any descriptor of a file drops the process's POSIX locks on it), its credentials are
// set, and all processes exist.
std::vector<LateCall> final_file_calls(const object::Process& process, const object::Graph& graph);

class LateCalls {
 public:
  explicit LateCalls(std::vector<LateCall> calls) : calls_(std::move(calls)) {}
  bool done() const { return next_ == calls_.size(); }
  // Adds as many calls as the batch has room for.
  void fill(kernel::Batch* batch);
  // After the run of the batch that fill() filled: the first call that failed, as an error.
  Status check(const kernel::Batch& batch);

 private:
  std::vector<LateCall> calls_;
  size_t next_ = 0;    // first call not yet run
  size_t filled_ = 0;  // calls in the current batch
  size_t first_in_batch_ = 0;
};

}  // namespace perdure::restore
