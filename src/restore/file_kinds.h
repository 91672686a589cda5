// The kinds of open files, as the driver (files.cc) calls them, each in the file of its name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "object/graph.h"
#include "restore/files.h"

namespace perdure::restore {

// Makes the descriptions of one epoch; what it made so far can be asked for by id.
class FileMaker {
 public:
  FileMaker(const object::Graph& graph, const FileBuildOptions& options);

  const object::Graph& graph() const { return graph_; }
  const FileBuildOptions& options() const { return options_; }
  int first() const { return opened_.first; }

  // Moves a description to its place above all numbers of the program; sets its status flags.
  Status keep(ObjectId id, Fd file);
  Status keep_memory(ObjectId id, Fd file);
  Status keep_pty(ObjectId id, Fd slave);
  Status keep_terminal(Fd slave);
  // A description that was made; kCorrupt if the records do not hold it.
  Result<int> made(ObjectId id) const;
  Result<int> memory(ObjectId id) const;

  FileBuilder finish() &&;

 private:
  Result<int> place(Fd file);
  const object::Graph& graph_;
  const FileBuildOptions& options_;
  OpenedFiles opened_;
  std::vector<Fd> owned_;
};

// "regular file /x" and the like: what a record is, for errors.
std::string describe(const object::OpenFile& record);

// The flags of a record as open(2) takes them.
int open_flags(const object::OpenFile& record);
// The same for another open of a file that we hold, through /proc/self/fd.
int reopen_flags(const object::OpenFile& record);

// Opens a path and verifies that what is there has the type of the identity.
Result<Fd> open_identified(const object::FileIdentity& identity, int flags);
// Whether the file at the identity's path still is the one of the epoch.
Status verify_identity(const object::FileIdentity& identity, FilePolicy policy);

// Each makes one description.
Result<Fd> open_regular_file(const FileMaker& maker, const object::OpenFile& record);
Result<Fd> open_directory(const object::OpenFile& record);
Result<Fd> open_path_only(const object::OpenFile& record);
Result<Fd> open_device(const object::OpenFile& record);
Result<Fd> open_eventfd(const object::OpenFile& record);
Result<Fd> open_timerfd(const object::OpenFile& record);
Result<Fd> open_signalfd(const object::OpenFile& record);
Result<Fd> open_memfd(const FileMaker& maker, const object::OpenFile& record);
Result<Fd> open_standard_stream(const FileMaker& maker, const object::OpenFile& record);
Result<Fd> open_tcp_listener(const object::OpenFile& record);
Result<Fd> open_group_terminal(const FileMaker& maker, const object::OpenFile& record);
Result<Fd> open_epoll();

// Each makes all of its kind.
Status make_memory_objects(FileMaker* maker);
Status make_pipes(FileMaker* maker);
Status make_ptys(FileMaker* maker);

// Once every description exists.
Status place_file_locks(const FileMaker& maker);
Status add_epoll_watches(const FileMaker& maker);

}  // namespace perdure::restore
