// How the memory of one process of an epoch is laid out in a core file: which ranges become PT_LOAD
// segments, and where their bytes come from. Pure, but for asking the epoch which pages it holds.
//
// A range without stored bytes has a size in memory and none in the file. Of anonymous and shared
// memory that means zeros. Of a private mapping of a file it means "as in the file", which
// debuggers find by NT_FILE; so its written pages are segments of their own, and never beside bytes
// that are not stored. Of what the program excludes from its cores (MADV_DONTDUMP) nothing is in
// the file, as in the kernel's own cores (vma_dump_size, fs/coredump.c).
#pragma once

#include <cstdint>
#include <vector>

#include "object/graph.h"
#include "store/epoch_reader.h"

namespace perdure::engine {

struct CoreSegment {
  enum class Source : uint8_t { kNothing, kEpoch, kVdso };
  uint64_t start = 0;  // address
  uint64_t size = 0;   // in memory, bytes
  uint64_t file_bytes =
      0;  // in the file: the front part; pages of it that the epoch lacks are zeros
  uint32_t protection = 0;  // PROT_*
  Source source = Source::kNothing;
  ObjectId object;          // kEpoch: whose pages
  uint64_t first_page = 0;  // kEpoch: the object's page that lies at `start`
};

// vdso_bytes: the size of this kernel's vdso image if it is the one that the process had; else 0.
std::vector<CoreSegment> core_segments(const object::Graph& graph, const object::Process& process,
                                       const store::EpochReader& reader, uint64_t vdso_bytes);

}  // namespace perdure::engine
