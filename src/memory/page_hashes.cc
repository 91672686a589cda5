#include "memory/page_hashes.h"

#include <utility>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/limits.h"

namespace perdure::memory {

Result<PageSet> PageHashes::changed(pid_t pid, const PageSet& pages) {
  if (!copier_) copier_ = PD_TRY(Copier::create(Copier::Populate::kOnUse));
  std::vector<Entry> now;
  now.reserve(pages.pages());
  PageSet changed;
  auto before = entries_.begin();
  PageSet unreadable = PD_TRY(copier_->copy(
      pid, pages,
      [&](uint64_t first, Bytes bytes) -> Status {
        for (size_t at = 0; at < bytes.size(); at += kPageSize) {
          Entry entry{first + at / kPageSize, checksum(bytes.subspan(at, kPageSize))};
          PD_ASSERT(now.empty() || now.back().page < entry.page);
          now.push_back(entry);
          while (before != entries_.end() && before->page < entry.page) ++before;
          bool same =
              before != entries_.end() && before->page == entry.page && before->hash == entry.hash;
          if (!same) changed.add(PageRun{entry.page, 1});
        }
        return {};
      },
      Access::kGentle));
  entries_ = std::move(now);
  return changed.united(unreadable);
}

}  // namespace perdure::memory
