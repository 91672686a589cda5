// Pager: gives address spaces their saved pages while their processes run already. A thread that
// touches a page that is not there waits, and gets it first; the others come in the background,
// hot ones first.
//
// One thread owns a pager and calls run(); reading ahead has a thread of its own. Why no wrong byte
// can be seen:
//  - A page is placed only while no message waits: the kernel refuses pages from the moment of a
//    change (unmapping, moving, dropping, fork) until its message has been read, and a batch of
//    messages is read to its end, changes before faults, before anything is placed again.
//  - What is not pending reads as zeros: it had no content when it was saved, or the program
//    dropped it since.
//  - Pages are checked before they are placed. A failure ends run(); whoever owns the pager must
//    then end the processes before the descriptors close, for without them missing pages would
//    read as zeros.
//  - A second process keeps a copy of every descriptor: it holds the other end of a socket into
//    which they are sent, and which it does not read. It closes that end when no page is left, and
//    only then run() ends; until then touches and changes are served.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/uffd_serve.h"
#include "memory/page_set.h"
#include "memory/pending_book.h"
#include "memory/pending_pages.h"
#include "memory/read_ahead.h"

namespace perdure::memory {

class Pager {
 public:
  // One address space: a userfaultfd (enable_uffd_serving()) with ranges registered for missing
  // pages, and what is to come. asked: what `ahead` was asked for already; hot: what is fetched
  // after that, before everything else. starts: pages at which what lies together in the store
  // begins, ascending: no block goes beyond one.
  struct Space {
    Fd uffd;
    std::shared_ptr<PageSource> source;
    PageSet pages;
    PageSet asked, hot;
    std::vector<uint64_t> starts;
    std::shared_ptr<PendingBook> book;  // kept up to date; null: nobody looks
  };
  struct Options {
    // From begin_fill() until the background reader goes beyond what is hot: it would take the
    // processor and the disk from the program just when its first touches come.
    uint64_t fill_delay_ms = 5;
    Fd keeper;  // the socket; invalid: nobody keeps copies
    kernel::Placing placing = kernel::Placing::kWritable;
    PendingState* state = nullptr;  // of the books; outlives the pager
  };

  // pages_left: kept up to date for others to look at; outlives the pager.
  static Result<std::unique_ptr<Pager>> create(std::vector<Space> spaces,
                                               std::unique_ptr<ReadAhead> ahead, Options options,
                                               std::atomic<uint64_t>* pages_left);
  ~Pager();

  // Returns when no page is missing any more, and the descriptors are closed: the processes are on
  // their own.
  Status run();
  // From another thread: until then only what is hot is brought, and faults are served.
  void begin_fill();
  // From another thread: calls `work` with the descriptors that are open, none of which is closed,
  // and no other opened, meanwhile.
  void with_descriptors(const std::function<void(std::vector<int>)>& work);

 private:
  // A space, or the copy of one that fork(2) made.
  struct Served {
    Fd uffd;
    std::shared_ptr<PageSource> source;
    PendingPages pending;
    std::shared_ptr<PendingBook> book;
    std::vector<uint64_t> faults;  // pages that somebody waits for
    uint64_t last_served_end = 0;  // page behind the last unit that a fault brought
    uint64_t unit_pages = 0;       // of the next unit, while faults come in order
    bool gone = false;
  };
  struct Unit {
    std::shared_ptr<PageSource> source;
    PageRun run;  // as saved
  };
  enum class Progress : uint8_t { kSome, kNone, kChanging };
  class Turn;

  Pager(Options options, std::unique_ptr<ReadAhead> ahead, std::atomic<uint64_t>* left);
  void plan(const std::vector<Space>& spaces);
  void plan_run(const Space& space, const PageRun& run);
  Result<Progress> step();
  void add(Served served);
  Status take_messages();
  void take_change(Served* served, kernel::UffdMessage message);
  void note_stray();
  static void forget(Served* served, uint64_t page, uint64_t count);
  Status serve_faults(Served* served);
  Status serve_fault(Served* served, uint64_t page, bool* again);
  Status place_unit(Served* served, const PendingPages::Piece& piece, uint64_t page, bool* again);
  Status place_empty(Served* served, uint64_t page, bool* again);
  PageRun unit_around(Served* served, const PendingPages::Piece& piece, uint64_t page) const;
  Status place(Served* served, uint64_t page, Bytes bytes, bool* again);
  Result<Progress> fill();
  Result<Progress> place_block_part();
  void end_block();
  void ask_for_more();
  bool is_wanted(const Unit& unit) const;
  uint64_t may_fill_at() const;
  bool complete() const;
  void let_go();
  void settle();
  int wait_ms(Progress progress) const;
  Status wait(Progress progress, int time_ms);

  std::mutex mutex_;  // guards everything while run() is not waiting
  Options options_;
  std::unique_ptr<ReadAhead> ahead_;
  std::atomic<uint64_t>* pages_left_;
  std::list<Served> spaces_;
  std::deque<Unit> units_;  // that the background reader has still to ask for
  size_t hot_units_ = 0;    // so many of the first of them are hot
  std::optional<ReadAhead::Block> block_;
  uint64_t block_done_ = 0;  // pages of it that were placed
  std::unique_ptr<uint8_t[]> fault_buffer_;
  uint64_t begun_ns_ = UINT64_MAX;  // begin_fill()
  uint64_t last_fault_ns_ = 0;
  bool filling_ = false;
  bool changing_ = false;     // the kernel refused a page: a message comes
  uint64_t stray_looks_ = 0;  // at a page that has no mapping, one after the other
};

}  // namespace perdure::memory
