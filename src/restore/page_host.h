// PageHost: the pager in the group's init. There it lives exactly as long as it has to: no process
// of the group outlives PID 1 of its namespace (pid_namespaces(7)), and the engine may die at any
// moment. If the init is killed, its descriptors close a moment before the others end; so the
// engine keeps copies (memory::Pager::Options::keeper), and a thread that waits for a page goes on
// waiting until it is killed.
//
// Its threads are numbers in the group's PID namespace; they get ones that no task of the group
// needs.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "memory/pager.h"
#include "restore/outlook.h"
#include "store/epoch_reader.h"

namespace perdure::restore {

// In memory that the engine and the init share.
struct PageProgress {
  memory::PendingState pending;
  std::atomic<uint64_t> pages_left;
  std::atomic<bool> failed;  // `failure` says why; the group ends
  char failure[2048];
};

// Of the address spaces whose pages are placed protected.
using PendingBooks = std::map<ObjectId, std::shared_ptr<memory::PendingBook>>;

class PageHost {
 public:
  // In the builder. taken: numbers that tasks, groups and sessions of the group have. Fails where
  // thread numbers cannot be chosen.
  static Result<std::unique_ptr<PageHost>> create(std::set<pid_t> taken,
                                                  const store::EpochReader& reader,
                                                  memory::Pager::Options options,
                                                  PageProgress* progress, PendingBooks books);
  // Lives until the process ends.
  PageHost(std::set<pid_t> taken, const store::EpochReader& reader, memory::Pager::Options options,
           PageProgress* progress, PendingBooks books);
  ~PageHost();

  // Reads what is likely to be touched first, while the engine makes the address spaces. After the
  // last fork(2) of the builder: while a process with threads is being copied, every page costs an
  // interrupt of the processor where the threads ran. start() tells what went wrong.
  void begin_reading(const std::vector<HotRun>& hot) { begun_ = try_reading(hot); }
  // A message of encode_lazy_space().
  Status take(const std::string& message, Fd uffd);
  // Once all were taken: pages that were read are placed, and touches served.
  Status start();
  // The group is about to run. Calls `work` with all descriptors that the pager needs, while it
  // opens and closes none.
  void leave_builder(const std::function<void(std::vector<int>)>& work);

 private:
  Status try_reading(const std::vector<HotRun>& hot);
  std::shared_ptr<memory::PageSource> source_of(ObjectId space);
  // Has threads made with numbers that nobody needs.
  Status make_threads(pid_t count, const std::function<Status()>& make);
  Status open_directly(uint32_t segment);
  void close_segments();
  [[noreturn]] void end_group(const Error& error);

  std::set<pid_t> taken_;
  const store::EpochReader& reader_;
  memory::Pager::Options options_;
  PageProgress& progress_;
  PendingBooks books_;
  pid_t next_number_;  // of a thread
  std::map<ObjectId, std::shared_ptr<memory::PageSource>> sources_;
  Status begun_;
  std::unique_ptr<memory::ReadAhead> ahead_;
  std::map<ObjectId, memory::PageSet> asked_, hot_;  // of the latter, more than is asked at first
  std::vector<memory::Pager::Space> spaces_;
  std::mutex mutex_;           // guards segments_ once started
  std::vector<int> segments_;  // their descriptors
  std::set<uint32_t> direct_;  // segments that are opened for direct reads, too
  std::unique_ptr<memory::Pager> pager_;
  std::thread thread_;
};

}  // namespace perdure::restore
