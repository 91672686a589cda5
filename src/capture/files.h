// Files: the open file descriptions of a group, each found once however many descriptors in however
// many processes lead to it, with what the kernel holds for them: pipe contents, socket queues, pty
// buffers, locks.
//
// Callers: the tracer thread, while every thread of the group is stopped. Nothing in the group is
// changed: queues are read by tee(2) and MSG_PEEK. Descriptors duplicated out of the group are
// closed before the return. Everything is classified, and what cannot be saved refused
// (kUnsupported: pid, comm, fd, kind, target), before any content is read.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "capture/file_identity.h"
#include "capture/known_files.h"
#include "capture/memory_objects.h"
#include "capture/socket_options.h"
#include "kernel/file_images.h"
#include "object/file.pb.h"
#include "object/id_table.h"
#include "object/process.pb.h"

namespace perdure::capture {

// One process of the group (no zombies).
struct Member {
  pid_t pid = 0;        // in the engine's PID namespace
  pid_t group_pid = 0;  // as the program sees it
  int pidfd = -1;       // borrowed
  std::string comm;
  bool one_table = false;  // all its threads are known to have one table of descriptors
};

// What need not be found out again in later captures.
struct FileMemo {
  std::map<int, DefaultOptions> unix_defaults;  // by type
  // Regular files and devices without state that were found.
  KnownFiles known;
  bool checksums = false;         // the records have them
  uint64_t descriptor_limit = 0;  // our own; 0: not asked for yet
  size_t unix_sockets = 0;        // in the group's network namespace, when they were counted last
};

struct FileOptions {
  // st_rdev of the slave end of the pty that `run` made for the group; its master is held outside.
  std::optional<dev_t> terminal;
  // Checksums of files that did not change since the last checkpoint; borrowed, may be absent.
  ChecksumCache* checksums = nullptr;
  // False: files are restored as they are found (--files volatile), so no checksums are needed.
  bool checksum_files = true;
  FileMemo* memo = nullptr;              // borrowed, may be absent
  kernel::FileImages* images = nullptr;  // likewise
};

struct Descriptor {
  int fd = -1;
  ObjectId file;
  bool close_on_exec = false;
};

struct ProcessFiles {
  std::vector<Descriptor> fds;  // by number
  std::vector<object::FileLock>
      locks;  // POSIX locks of the process; FLOCK and OFD locks stand with one process only
};

struct FileCapture {
  std::map<ObjectId, object::OpenFile> files;
  std::map<ObjectId, object::PipeBuffer> pipes;
  std::map<ObjectId, object::Pty> ptys;
  std::vector<ProcessFiles> processes;  // in the order of the members
  // Of files that FileMemo knows, for object::Graph::versions. Their records are lent, until they
  // are given back: KnownFiles::take_back().
  std::vector<std::pair<ObjectId, uint64_t>> versions;
};

Result<FileCapture> capture_files(std::span<const Member> members, object::IdTable& ids,
                                  MemoryObjects& memory, const FileOptions& options);
// Descriptors and locks in place of those that the record has. Whether it is another one then.
bool put_files(const ProcessFiles& files, object::Process* record);

}  // namespace perdure::capture
