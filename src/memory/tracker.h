// Tracker: which pages of one address space changed since the last scan. One tracker belongs to one
// address space; after an execve, or in a child of fork, a new one is made and its first scan
// yields everything.
//
// Invariants that every implementation keeps:
//  - A scan with Mode::kCut of a stopped process yields in `data` every page whose content may
//  differ from what earlier
//    scans of this tracker yielded, unless it is hot, and in `absent` every page that earlier scans
//    yielded and that now has no content of its own. Applying `absent` (erase), then `data` (copy),
//    to the pages of the last epoch gives the pages of this one.
//  - A page is forgotten only after it was yielded. What was yielded but could not be stored goes
//  back by give_back().
//  - Pages that read as the file's (file mappings) or as zeros because nobody wrote them are in
//  neither set.
// A failed scan changes nothing that a later scan would miss. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/fd.h"
#include "base/result.h"
#include "memory/copy.h"
#include "memory/page_set.h"

namespace perdure::kernel {
class LazyTaskImages;
}

namespace perdure::memory {

enum class AreaKind : uint8_t {
  kAnonymous,    // private, no file behind it
  kFilePrivate,  // private mapping of a file: only pages that were written are its own
};

// A private mapping whose pages are to be tracked; bytes, page aligned, end exclusive.
struct Area {
  uint64_t start = 0;
  uint64_t end = 0;
  AreaKind kind = AreaKind::kAnonymous;
  bool writable = true;  // PROT_WRITE
  bool operator==(const Area&) const = default;
};

enum class Mode : uint8_t {
  // The process may run: the result is a hint to copy early, and re-arms the tracking of what it
  // yields. Exception: while
  // another process writes the memory of this one with process_vm_writev(2), what it writes during
  // the scan can be lost;
  // a caller who expects that stops both, scans, lets them run and then copies.
  kPrecopy,
  // The same, but what is found is not to be copied yet: the next cut yields it, and has less to
  // look for. `data` is all that passes of this mode have found since the last cut.
  kAhead,
  kCut,  // every thread is stopped: the result is exact
};

struct Scan {
  PageSet data;    // to copy
  PageSet absent;  // to erase
  PageSet guard;   // kCut only: guard pages (MADV_GUARD_INSTALL), all of them every time
  // Areas that were seen for the first time were protected now; how many pages they hold (for
  // statistics).
  uint64_t newly_tracked_pages = 0;
  uint64_t looked_pages = 0;  // kCut: of the page tables, holes included (for statistics)
  // Pages whose protection has cost the program a page fault since the scan before.
  uint64_t faulted_pages = 0;
  bool put_off = false;  // not kCut: cannot be done now, what was written was not looked for
};

enum class TrackerKind : uint8_t {
  kPagemapScan,  // PAGEMAP_SCAN over userfaultfd's asynchronous write protection, Linux 6.7
  kSoftDirty,    // soft-dirty bits of /proc/PID/pagemap
  kFull,         // every page every time
};
const char* tracker_kind_name(TrackerKind kind);

// What this kernel and these privileges allow; probed once. `disabled` is the value of
// PERDURE_DISABLE: names of features parted by commas ("pagemap_scan,soft_dirty") that are to be
// treated as missing.
struct TrackerFeatures {
  bool pagemap_scan = false;  // the ioctl exists
  bool wp_async = false;      // and userfaultfd has asynchronous write protection
  bool guard = false;         // and it reports guard pages (Linux 6.15)
  bool soft_dirty = false;
  bool write_guide = false;  // may be tried; whether it works shows when it is made
  // Smaller address spaces are scanned whole, which takes less than 0.1 ms. 64 MiB.
  uint64_t guided_pages_min = 16384;
  // Fewer pages are copied as fast as they are held.
  uint64_t held_pages_min = 16;
  // Pages that are written all the time are copied in each stop, up to so many of a group, where a
  // write fault costs so much (docs/design/hot_pages.md).
  uint64_t hot_pages_max = 1024;
  uint64_t hot_fault_ns_min = 5000;
};
TrackerFeatures probe_tracker_features(std::string_view disabled);
TrackerKind best_tracker(const TrackerFeatures& features);

class LazyGuide;

class Tracker {
 public:
  // pid: in the engine's pid namespace. uffd: for kPagemapScan a userfaultfd that was made by a
  // thread of the target (userfaultfd(UFFD_USER_MODE_ONLY | O_CLOEXEC | O_NONBLOCK) is enough) on
  // which no ioctl was done yet; else invalid. guide, images: for kPagemapScan, may be null;
  // outlive the tracker.
  static Result<std::unique_ptr<Tracker>> create(TrackerKind kind, pid_t pid, Fd uffd,
                                                 const TrackerFeatures& features,
                                                 LazyGuide* guide = nullptr,
                                                 kernel::LazyTaskImages* images = nullptr);
  virtual ~Tracker() = default;
  virtual TrackerKind kind() const = 0;

  // areas: sorted, disjoint; with kCut all private areas of the process, exact; with kPrecopy as
  // they were a moment ago. kGone if the process died or the address space is no longer the one
  // that the tracker was made for.
  virtual Result<Scan> scan(std::span<const Area> areas, Mode mode) = 0;

  // Every thread is stopped: begins to track areas that were not seen before, so that the next scan
  // may be a pre-copy pass for them too. Only a stopped process's areas are exact: write protection
  // that began inside of a mapping would cut it in two, and an mremap(2) of the whole would fail.
  virtual Status arm(std::span<const Area> areas) {
    (void)areas;
    return {};
  }

  // Whether hold() holds anything.
  virtual bool may_hold() const { return false; }
  // Pages of the last scan's `data` can be copied after the process runs again, as they were: the
  // process is stopped, and may run on once this has told which. They are copied by copy_held(),
  // once, whatever happens. None where that is not possible.
  virtual PageSet hold(const PageSet& data) {
    (void)data;
    return {};
  }
  // Copies what is held, as Copier::copy() does. Returns pages whose content is lost: somebody
  // changed them in a way that cannot be followed.
  virtual Result<PageSet> copy_held(Copier& copier, const PageSink& sink, Access access,
                                    const PageRoom& room) {
    (void)copier, (void)sink, (void)access, (void)room;
    return PageSet();
  }
  // While nothing is held: how many pages it will be good to have room for. Takes milliseconds.
  virtual void make_room_to_hold(uint64_t pages) { (void)pages; }

  // Pages that are written all the time: each kCut copies them itself, no scan yields them, and
  // they are passed on when the process runs again.
  virtual const PageSet& hot() const;
  // Pages that may have changed since the last kCut although no pass has yielded them: hot ones,
  // those that were until a moment ago, and what is only noted.
  virtual PageSet unyielded() const = 0;
  // How the next kCut is to copy them.
  virtual void read_hot_by(Access access) { (void)access; }
  // After a kCut: passes on those that differ from what was passed on last. What the sink gets must
  // reach the store, or this tracker has to be replaced.
  virtual Status pass_on_hot(const PageSink& sink) {
    (void)sink;
    return {};
  }
  // After an epoch has all that: decides from what scans have yielded since the last call which
  // pages are hot. So many more may be than are now.
  virtual void learn(uint64_t more_max) { (void)more_max; }

  // What earlier scans yielded as data and not as absent since, or was inherited.
  virtual const PageSet& known() const = 0;

  // Of an address space that a pager serves (pager.h), which places pages protected: before the
  // first scan. These pages count as yielded, with the content that the pager brings. False where
  // the tracker cannot do with pages that are not there yet. When the pager lets go of the address
  // space, this tracker has to be replaced: the protection ends with that.
  virtual bool inherit(const PageSet& pages) {
    (void)pages;
    return false;
  }
  // Before each kCut of such a process, of known pages: those that are not there yet.
  virtual void set_missing(const PageSet& pages) { PD_ASSERT(pages.empty()); }

  // Pages that a scan yielded but that did not reach the store (a failed epoch, an unreadable
  // page): the next scan yields those of them that still have content, as data, and the others as
  // absent.
  virtual void give_back(const PageSet& pages) = 0;
};

}  // namespace perdure::memory
