#include "object/graph.h"

#include <algorithm>
#include <set>

#include "base/limits.h"

namespace perdure::object {
namespace {

template <typename Message>
Status parse_into(Message* message, ObjectId id, Kind kind, Bytes bytes) {
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Code::kCorrupt, std::string("record ") + std::to_string(id.value) +
                                     " is not a valid " + kind_name(kind) + " record")
        .with_remedy("run `perdure scrub`, or restore an older epoch");
  }
  return {};
}

template <typename Message>
Status visit_one(const Graph::Visitor& visit, ObjectId id, Kind kind, const Message& message,
                 std::string* buffer) {
  buffer->clear();
  PD_ASSERT(message.AppendToString(buffer));
  return visit(id, kind, Bytes(reinterpret_cast<const uint8_t*>(buffer->data()), buffer->size()));
}

template <typename Map>
Status visit_map(const Graph::Visitor& visit, const Graph::Skip& skip, Kind kind, const Map& map,
                 std::string* buffer) {
  for (const auto& [id, message] : map) {
    if (!skip(id)) PD_TRY(visit_one(visit, id, kind, message, buffer));
  }
  return {};
}

template <typename Map>
uint64_t last_of(const Map& map) {
  return map.empty() ? 0 : map.rbegin()->first.value;
}

Error dangling(const char* from, uint64_t id) {
  return Error(Code::kCorrupt, std::string(from) + " refers to record " + std::to_string(id) +
                                   ", which is not there")
      .with_remedy("run `perdure scrub`, or restore an older epoch");
}

Status check_process(const Graph& graph, const Process& process) {
  if (process.state() == Process::ZOMBIE) return {};
  if (process.threads().empty()) return Error(Code::kCorrupt, "a process record has no thread");
  for (uint64_t id : process.threads()) {
    if (!graph.threads.contains(ObjectId(id))) return dangling("a process", id);
  }
  if (!graph.address_spaces.contains(ObjectId(process.address_space()))) {
    return dangling("a process", process.address_space());
  }
  for (const FdEntry& entry : process.fds()) {
    if (!graph.open_files.contains(ObjectId(entry.file())))
      return dangling("a descriptor", entry.file());
  }
  return {};
}

Status check_vmas(const Graph& graph, const AddressSpace& space) {
  uint64_t last_end = 0;
  for (const Vma& vma : space.vmas()) {
    if (vma.start() < last_end || vma.end() <= vma.start() || vma.start() % kPageSize != 0 ||
        vma.end() % kPageSize != 0) {
      return Error(Code::kCorrupt, "an address space record holds overlapping or unaligned vmas");
    }
    last_end = vma.end();
    bool of_file = vma.kind() == Vma::FILE_PRIVATE || vma.kind() == Vma::FILE_SHARED;
    if (of_file && !graph.open_files.contains(ObjectId(vma.file())))
      return dangling("a vma", vma.file());
    if (vma.kind() == Vma::MEMORY_SHARED && !graph.memory_objects.contains(ObjectId(vma.file()))) {
      return dangling("a vma", vma.file());
    }
  }
  return {};
}

}  // namespace

Status Graph::add(ObjectId id, uint32_t kind, Bytes bytes) {
  if (bytes.size() > kRecordBytesMax)
    return Error(Code::kCorrupt, "a record is larger than 64 MiB");
  Kind known = static_cast<Kind>(kind);
  switch (known) {
    case Kind::kGroup:
      return parse_into(&group, id, known, bytes);
    case Kind::kProcess:
      return parse_into(&processes[id], id, known, bytes);
    case Kind::kThread:
      return parse_into(&threads[id], id, known, bytes);
    case Kind::kAddressSpace:
      return parse_into(&address_spaces[id], id, known, bytes);
    case Kind::kMemoryObject:
      return parse_into(&memory_objects[id], id, known, bytes);
    case Kind::kOpenFile:
      return parse_into(&open_files[id], id, known, bytes);
    case Kind::kPipeBuffer:
      return parse_into(&pipes[id], id, known, bytes);
    case Kind::kPty:
      return parse_into(&ptys[id], id, known, bytes);
  }
  return Error(Code::kNewer, "record " + std::to_string(id.value) + " is of kind " +
                                 std::to_string(kind) + ", which this version does not know")
      .with_remedy("restore with the version of perdure that saved it, or a later one");
}

Status Graph::for_each_encoded(const Visitor& visit, const Skip& skip) const {
  std::string buffer;
  PD_TRY(visit_one(visit, ObjectId(kGroupObjectId), Kind::kGroup, group, &buffer));
  PD_TRY(visit_map(visit, skip, Kind::kProcess, processes, &buffer));
  PD_TRY(visit_map(visit, skip, Kind::kThread, threads, &buffer));
  PD_TRY(visit_map(visit, skip, Kind::kAddressSpace, address_spaces, &buffer));
  PD_TRY(visit_map(visit, skip, Kind::kMemoryObject, memory_objects, &buffer));
  PD_TRY(visit_map(visit, skip, Kind::kOpenFile, open_files, &buffer));
  PD_TRY(visit_map(visit, skip, Kind::kPipeBuffer, pipes, &buffer));
  return visit_map(visit, skip, Kind::kPty, ptys, &buffer);
}

uint64_t Graph::last_id() const {
  return std::max({kGroupObjectId, last_of(processes), last_of(threads), last_of(address_spaces),
                   last_of(memory_objects), last_of(open_files), last_of(pipes), last_of(ptys)});
}

Status Graph::check() const {
  if (group.processes().empty()) return Error(Code::kCorrupt, "the epoch holds no process");
  for (uint64_t id : group.processes()) {
    if (!processes.contains(ObjectId(id))) return dangling("the group", id);
  }
  for (const auto& [id, process] : processes) PD_TRY(check_process(*this, process));
  for (const auto& [id, space] : address_spaces) PD_TRY(check_vmas(*this, space));
  return {};
}

const Process* Graph::find_process(int32_t pid) const {
  for (const auto& [id, process] : processes) {
    if (process.pid() == pid) return &process;
  }
  return nullptr;
}

}  // namespace perdure::object
