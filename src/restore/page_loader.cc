#include "restore/page_loader.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <vector>

#include "base/limits.h"
#include "restore/page_diff.h"

namespace perdure::restore {
namespace {

using store::PageExtent;

Status load_plain(const PageExtent& extent, Site* site, CallStream* stream) {
  const int fd = PD_TRY(site->reader.segment_fd(extent.location.segment));
  const uint64_t size = uint64_t{extent.count} * kPageSize;
  PD_TRY(stream->reserve(1, 0));
  stream->calls().add_expecting(
      static_cast<int64_t>(size), "load its pages", SYS_pread64,
      {fd, extent.first_page * kPageSize, size, extent.location.byte_offset()});
  site->unverified.push_back(extent);
  return {};
}

Status load_compressed(const PageExtent& extent, Skeleton* skeleton, Site* site) {
  std::vector<uint8_t> pages(uint64_t{extent.count} * kPageSize);
  PD_TRY(site->reader.read_pages(extent, pages));
  return kernel::write_memory(skeleton->pid, RemoteAddr(extent.first_page * kPageSize), pages);
}

}  // namespace

Status load_pages(const object::Vma& vma, ObjectId inherited, Skeleton* skeleton, Site* site,
                  BulkLoader* bulk, CallStream* stream) {
  const uint64_t first = vma.start() >> kPageShift;
  const uint64_t count = (vma.end() - vma.start()) >> kPageShift;
  const ObjectId own(skeleton->process().address_space());
  std::vector<PageExtent> wanted = site->reader.extents(own, first, count);
  std::vector<PageExtent> there;
  if (inherited.value == 0 && bulk != nullptr && bulk->take(vma, wanted)) return {};
  if (inherited.value != 0) there = site->reader.extents(inherited, first, count);
  PageDiff diff = diff_pages(wanted, there);
  for (const memory::PageRun& run : diff.drop.runs()) {
    PD_TRY(stream->add("drop pages", SYS_madvise,
                       {run.first * kPageSize, run.count * kPageSize, MADV_DONTNEED}));
  }
  for (const PageExtent& extent : diff.load) {
    site->pages_loaded += extent.count;
    if (!extent.location.compressed()) {
      PD_TRY(load_plain(extent, site, stream));
      continue;
    }
    PD_TRY(stream->flush());
    PD_TRY(load_compressed(extent, skeleton, site));
  }
  return {};
}

Status open_segments(const object::Graph& graph, const store::EpochReader& reader) {
  for (const auto& [id, space] : graph.address_spaces) {
    for (const PageExtent& extent : reader.extents(id))
      PD_TRY(reader.segment_fd(extent.location.segment));
  }
  return {};
}

}  // namespace perdure::restore
