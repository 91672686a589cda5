// Trip: a group of processes that sets descriptors up, is stopped and captured, goes on (which
// shows that the capture changed nothing), ends, and is followed by processes that get the same
// descriptors from the records. The same check runs in both.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/files.h"
#include "object/graph.h"
#include "object/id_table.h"
#include "restore/files.h"

namespace perdure::trip {

// In a process of the group: ends it with a message unless the condition holds.
void require(bool condition, const char* text, int line);
#define REQUIRE(condition) ::perdure::trip::require((condition), #condition, __LINE__)

struct Plan {
  std::function<void()> set_up;  // in the first process, before the others are forked from it
  std::function<void(int)> set_up_each;  // in each process, by its index; may be absent
  std::function<void(int)>
      check;  // in each process, one after the other, before and after the restore
  int processes = 1;
};

class Group {
 public:
  explicit Group(Plan plan);
  ~Group();
  Group(const Group&) = delete;

  // Captures; the processes stay stopped.
  Status capture(const capture::FileOptions& options = {});
  // Captures the first processes only: the others are outside.
  Status capture_some(size_t count);
  // Lets the processes check, and waits for their end.
  void go_on();
  // Kills them.
  void lose();
  // Opens everything in new processes, which check. Empty if all is well, else what went wrong.
  // terminal: kept open for the builder, which finds it at number 3.
  std::string restore(restore::FileBuildOptions options = {}, int terminal = -1);
  // Another check for the restored processes.
  void set_check(std::function<void(int)> check) { plan_.check = std::move(check); }

  object::Graph& graph() { return graph_; }
  pid_t pid(size_t index = 0) const { return pids_[index]; }
  // The record behind a descriptor of the first process.
  const object::OpenFile& file(int fd) const;

 private:
  Status expect_same_by_images(const std::vector<capture::Member>& members,
                               const capture::FileOptions& options);
  Status capture_pids(const std::vector<pid_t>& pids, const capture::FileOptions& options);
  Plan plan_;
  std::vector<pid_t> pids_;
  object::IdTable ids_;
  object::Graph graph_;
  std::map<ObjectId, std::string> contents_;  // of memory objects
};

// set up, capture twice, check, lose, restore, check.
void expect_round_trip(Plan plan, const restore::FileBuildOptions& options = {});
// The error of a capture, as a user sees it.
std::string refusal_of(std::function<void()> set_up);

// What changed 50 ms ago is known, not only after a second; the clock of files ticks every 10 ms or
// more often.
capture::FileMemo memo_that_believes_soon();
// Null where the kernel or our privileges do not allow them.
kernel::FileImages* file_images();

// A folder that is removed with everything in it.
class Folder {
 public:
  Folder();
  ~Folder();
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// For checks: what a read gives now, "EAGAIN" or "EOF" marked as such.
std::string read_text(int fd, size_t size = 65536);
void write_text(int fd, const std::string& text);
void place(int from, int to);  // dup2 and close
void make_nonblocking(int fd);
std::string content_of(const std::string& path);
void put_content(const std::string& path, const std::string& text);

}  // namespace perdure::trip
