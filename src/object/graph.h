// Graph: all records of one epoch, decoded. Capture fills one, restore reads one; the store sees
// only their bytes.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "object/file.pb.h"
#include "object/kind.h"
#include "object/memory.pb.h"
#include "object/process.pb.h"

namespace perdure::object {

struct Graph {
  Group group;
  std::map<ObjectId, Process> processes;
  std::map<ObjectId, Thread> threads;
  std::map<ObjectId, AddressSpace> address_spaces;
  std::map<ObjectId, MemoryObject> memory_objects;
  std::map<ObjectId, OpenFile> open_files;
  std::map<ObjectId, PipeBuffer> pipes;
  std::map<ObjectId, Pty> ptys;
  // Of records that are made from what was known before: as long as the number of an object is the
  // same, so is its record.
  std::map<ObjectId, uint64_t> versions;

  // Decodes one record into its map. kCorrupt if the bytes are not such a record, kNewer for an
  // unknown kind.
  Status add(ObjectId id, uint32_t kind, Bytes bytes);
  // Calls `visit` with every record, encoded, but for those that `skip` wants left out; the bytes
  // are valid during the call only. Stops at the first error.
  using Visitor = std::function<Status(ObjectId, Kind, Bytes)>;
  using Skip = std::function<bool(ObjectId)>;
  Status for_each_encoded(const Visitor& visit, const Skip& skip) const;
  // The largest id in use.
  uint64_t last_id() const;
  // Every reference leads to a record of the right kind, and threads and processes are there. Run
  // on what a store returned before anything acts on it.
  Status check() const;

  const Process* find_process(int32_t pid) const;
};

}  // namespace perdure::object
