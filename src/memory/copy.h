// Copies pages of another process. Content is read as the process would read it; nothing is
// invented: a page that cannot be read is reported, never replaced by zeros.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/result.h"
#include "memory/page_set.h"

namespace perdure::memory {

// Called for each run of pages, in ascending order of page numbers. bytes.size() is a multiple of
// the page size and at most Copier::kBatchBytes; the bytes are page aligned and valid only during
// the call. An error stops the copy.
using PageSink = std::function<Status(uint64_t first_page, Bytes bytes)>;

// Where the next pages may be read to: at least a page, valid until the sink was called for what
// was read there.
using PageRoom = std::function<Result<MutableBytes>()>;

// Called once the pieces of a batch were read: of them, the pages of which these bytes do not
// count.
using PageCheck = std::function<Result<PageSet>(std::span<const PageRun> pieces)>;

// How pages are read. kGentle leaves pages that processes share copy-on-write shared:
// process_vm_readv(2) pins what it reads, and a pinned page that is not exclusive to its process is
// copied for it (gup_must_unshare, Linux 5.19), which /proc/PID/mem does not. kFast is for
// processes that share with nobody.
enum class Access : uint8_t { kFast, kGentle };

class Copier {
 public:
  static constexpr size_t kBatchBytes = 1u << 20;
  // kNow: a stop window allocates nothing. kOnUse: for few pages, of which there may be many
  // copiers.
  enum class Populate : uint8_t { kNow, kOnUse };
  static Result<Copier> create(Populate populate = Populate::kNow);
  Copier(Copier&&) noexcept;
  Copier& operator=(Copier&&) noexcept;
  ~Copier();

  // Pages that could not be read: no memory is mapped there any more, a file was cut short, or the
  // memory is broken. With a stopped process and a PageSet from Mode::kCut this is empty unless the
  // hardware failed. PROT_NONE and write-only areas are read (by way of /proc/PID/mem). kGone if
  // the process died.
  // room: pages go straight there, instead of into a buffer of the copier. check: pages that it
  // tells are not passed on, and returned too.
  Result<PageSet> copy(pid_t pid, const PageSet& pages, const PageSink& sink,
                       Access access = Access::kFast, const PageRoom& room = {},
                       const PageCheck& check = {});

 private:
  struct Buffer;
  explicit Copier(std::unique_ptr<Buffer> buffer);
  std::unique_ptr<Buffer> buffer_;
};

}  // namespace perdure::memory
