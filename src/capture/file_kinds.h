// The kinds of open files, as the driver (files.cc) calls them. Each kind is a file of its name
// here and in restore/. capture_* is the first phase: it fills entry.record, or refuses. relate_*
// follow once every description is known, and read_* take contents once nothing is refused any
// more.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "capture/files.h"
#include "capture/memory_objects.h"
#include "capture/open_file.h"
#include "capture/path_look.h"
#include "capture/socket_options.h"
#include "kernel/sock_diag.h"
#include "object/id_table.h"

namespace perdure::capture {

// Something outside the group that an open file leads to.
struct Outside {
  OpenFileEntry* entry;
  std::string target;  // tells what it is: "pipe:[123]", "tty 136:4"; the same for every way to it
  Error refusal;       // unless the target is a standard stream of the group
};

struct PtyPair {
  ObjectId id;
  OpenFileEntry* master = nullptr;
  std::vector<OpenFileEntry*> slaves;
};

struct UnixState {
  OpenFileEntry* entry = nullptr;
  kernel::UnixSocketInfo info;
  std::string name;
};

// A description that was met; without an entry if its record is known and was not looked at.
struct SeenFile {
  ObjectId id;
  OpenFileEntry* entry = nullptr;
};

struct TakenFile {
  size_t member = 0;  // index
  const kernel::FileImage* image = nullptr;
};

struct FileContext {
  std::span<const Member> members;
  object::IdTable& ids;
  MemoryObjects& memory;
  const FileOptions& options;
  FileMemo& memo;
  OpenFileTable table = {};
  FileCapture out = {};
  std::vector<Outside> outside = {};
  std::vector<OpenFileEntry*> pipes = {};
  std::vector<OpenFileEntry*> epolls = {};
  std::map<uint32_t, PtyPair> ptys = {};                         // by index
  std::vector<std::pair<uint32_t, OpenFileEntry*>> slaves = {};  // slave ends, until relate_ptys
  std::map<uint64_t, UnixState> unix_sockets = {};               // by inode
  std::optional<kernel::SocketDiag> diag = {};
  kernel::UnixSockets known_unix_sockets = {};  // by images, or as all were asked for at once
  bool asked_all = false;
  bool all_seen = true;                        // there are images of all members' descriptors
  size_t sockets = 0;                          // to ask for
  std::set<std::string> listening_names = {};  // of Unix sockets
  PathLook paths = {};
  std::vector<std::vector<kernel::FileImage>> images = {};  // of each member; empty: none
  std::unordered_map<uint64_t, SeenFile> seen = {};         // by kernel::FileImage::file
  std::vector<TakenFile> taken = {};                        // those without an entry
  size_t in_flight = 0;                                     // descriptions found only in flight

  // A descriptor in flight over a Unix socket; ours now.
  Result<ObjectId> add_in_flight(Fd file, const OpenFileEntry& carrier);
  // What is known of the files of this inode is forgotten: they get entries.
  Status look_at_taken(const struct stat& file);
  bool is_member(pid_t pid) const;
  // Makes sure that there is a duplicate.
  Status hold(OpenFileEntry& entry) const;
};

Status capture_regular_file(FileContext& context, OpenFileEntry& entry);
Status capture_directory(FileContext& context, OpenFileEntry& entry);
Status capture_path_only(FileContext& context, OpenFileEntry& entry);
Status capture_memfd(FileContext& context, OpenFileEntry& entry, ObjectId memory_object);
Status capture_device(FileContext& context, OpenFileEntry& entry);
bool is_stateless_device(dev_t device);
Status capture_eventfd(FileContext& context, OpenFileEntry& entry);
Status capture_timerfd(FileContext& context, OpenFileEntry& entry);
Status capture_signalfd(FileContext& context, OpenFileEntry& entry);

Status capture_epoll(FileContext& context, OpenFileEntry& entry);
Status relate_epolls(FileContext& context);

Status capture_pipe(FileContext& context, OpenFileEntry& entry);
Status relate_pipes(FileContext& context);
Status read_pipes(FileContext& context);

Status capture_pty_master(FileContext& context, OpenFileEntry& entry);
// Any other terminal.
Status capture_terminal(FileContext& context, OpenFileEntry& entry);
Status relate_ptys(FileContext& context);
Status read_ptys(FileContext& context);

// Before the first one: asks for all at once where that is less work.
Status prepare_unix_sockets(FileContext& context);
Status capture_unix_socket(FileContext& context, OpenFileEntry& entry);
// Whether it is a connection of which an image, or the answer of sock_diag, tells all but what
// waits in it.
bool is_plain_connection(const FileContext& context, const kernel::FileImage& image);
Status relate_unix_sockets(FileContext& context);

Status capture_inet_socket(FileContext& context, OpenFileEntry& entry);

// Leads outside the group: a standard stream, or to be refused if no standard stream leads to the
// same target.
void capture_outside(FileContext& context, OpenFileEntry& entry, std::string target, Error refusal);
Status resolve_outside(FileContext& context);

bool is_same_lock(const object::FileLock& one, const object::FileLock& other);
// Locks that this descriptor of a member shows.
Status capture_locks(FileContext& context, size_t member, int fd, const OpenFileEntry& entry,
                     const kernel::proc::Fdinfo& info);

// Fills `identity` for a file reached by entry.link, after checking that the link still leads to
// it.
Status identify(FileContext& context, const OpenFileEntry& entry, object::FileIdentity* identity);

// The first process outside the group, "pid 12 (bash)", that has this inode open; empty if none
// is found. Reads all of /proc: for messages and rare cases.
std::string find_outside_holder(const FileContext& context, const struct stat& file);

}  // namespace perdure::capture
