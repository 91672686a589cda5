// FileBuilder: makes every open file description of an epoch anew, in an ordinary process that
// stands in the group's namespaces as root. Each is one descriptor at a number above all that the
// program uses, close-on-exec, so that processes cloned from the builder inherit it and dup3(2) it
// into place.
//
// Complete when open_all() returns: offset, flags, contents of pipes, sockets and ptys, listening
// and connected state, timers, epoll watches, flock and OFD locks, contents of memory objects. What
// belongs to a process (POSIX locks, signal owners, controlling terminals) are the calls of
// restore/file_late.h.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "object/graph.h"

namespace perdure::restore {

enum class FilePolicy : uint8_t {
  kUnchanged,  // files open for writing, mapped or executed must be those of the epoch
  kVolatile,   // files are opened as they are found
};

// Writes the saved content of a memory object into a file that has its size and is full of zeros.
using FillMemory = std::function<Status(ObjectId memory_object, int fd)>;

struct FileBuildOptions {
  FilePolicy policy = FilePolicy::kUnchanged;
  std::array<int, 3> streams = {0, 1, 2};  // borrowed: what standard streams become
  int terminal = -1;  // borrowed: either end's slave of the group's terminal, if it has one
  // The group has mounts of its own: terminals may get a /dev/pts of their own, and unused files on
  // tmpfs be replaced.
  bool fresh_namespaces = true;
  FillMemory fill_memory;
};

// Descriptor numbers, owned by the FileBuilder. Inherited numbers are the same in every process
// cloned from it.
struct OpenedFiles {
  int first = 0;  // all of them are at or above; every descriptor of the program is below
  std::map<ObjectId, int> files;   // OpenFile records
  std::map<ObjectId, int> memory;  // MemoryObject records, all but SysV: O_RDWR
  std::map<ObjectId, int> ptys;    // Pty records with a session: a slave end for TIOCSCTTY
  int terminal = -1;               // the group's terminal
};

class FileBuilder {
 public:
  // Verifies identities only; opens nothing that stays open. For a refusal before anything is
  // built.
  static Status check(const object::Graph& graph, const FileBuildOptions& options);
  // check(), then makes all. On failure everything made is closed again.
  static Result<FileBuilder> open_all(const object::Graph& graph, const FileBuildOptions& options);

  const OpenedFiles& opened() const { return opened_; }

 private:
  FileBuilder() = default;
  friend class FileMaker;
  OpenedFiles opened_;
  std::vector<Fd> owned_;
};

}  // namespace perdure::restore
