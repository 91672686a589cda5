#include "engine/core_segments.h"

#include "base/limits.h"
#include "memory/page_set.h"

namespace perdure::engine {
namespace {

using object::Vma;
using Source = CoreSegment::Source;

// A hole in a sparse file costs nothing, but reserved memory may be larger than a file system's
// largest file: holes above this are left out of the file.
constexpr uint64_t kHolePagesMax = 256;

// Where the pages of a mapping lie: page `first` of the object is the mapping's first.
struct Place {
  ObjectId object;
  uint64_t first = 0;
};

class Layout {
 public:
  Layout(const object::Graph& graph, const object::Process& process,
         const store::EpochReader& reader, uint64_t vdso_bytes)
      : graph_(graph), reader_(reader), space_(process.address_space()), vdso_bytes_(vdso_bytes) {}

  std::vector<CoreSegment> run() {
    for (const Vma& vma : graph_.address_spaces.at(space_).vmas()) add(vma);
    return std::move(segments_);
  }

 private:
  void add(const Vma& vma) {
    const Place own{space_, vma.start() >> kPageShift};
    switch (vma.kind()) {
      case Vma::ANONYMOUS:
      case Vma::DEVICE_ZERO:
        return add_zero_filled(vma, own);
      case Vma::MEMORY_SHARED:
        return add_zero_filled(vma, {ObjectId(vma.file()), vma.offset() >> kPageShift});
      case Vma::FILE_SHARED:
        return add_file(vma, {}, content_of(vma));
      case Vma::FILE_PRIVATE:
        return add_file(vma, own, content_of(vma));
      case Vma::VDSO:
        return add_vdso(vma);
      default:
        return;  // data that the kernel keeps (vvar), or a page that every process has (vsyscall)
    }
  }

  // A deleted file's content is in the epoch; object 0 if the file is to be found at its path.
  Place content_of(const Vma& vma) const {
    if (vma.dont_dump()) return {};
    auto file = graph_.open_files.find(ObjectId(vma.file()));
    if (file == graph_.open_files.end()) return {};
    return {ObjectId(file->second.regular().content()), vma.offset() >> kPageShift};
  }

  memory::PageSet stored(const Vma& vma, Place place) const {
    memory::PageSet pages;
    if (place.object.value == 0 || vma.dont_dump()) return pages;
    const uint64_t count = (vma.end() - vma.start()) >> kPageShift;
    for (const store::PageExtent& extent : reader_.extents(place.object, place.first, count))
      pages.add({extent.first_page, extent.count});
    return pages;
  }

  // Runs that are near each other are one segment; what is absent are zeros.
  void add_zero_filled(const Vma& vma, Place place) {
    uint64_t covered = place.first;  // up to here the file has it
    CoreSegment segment = begin(vma, place, place.first);
    for (const memory::PageRun& run : stored(vma, place).runs()) {
      if (run.first - covered > kHolePagesMax) {
        finish(segment, address_of(vma, place, run.first));
        segment = begin(vma, place, run.first);
      }
      covered = run.first + run.count;
      segment.source = Source::kEpoch;
      segment.file_bytes = address_of(vma, place, covered) - segment.start;
    }
    finish(segment, vma.end());
  }

  // Pages that the process wrote, over those of the content, if the epoch has it.
  void add_file(const Vma& vma, Place written, Place content) {
    uint64_t at = vma.start();
    for (const memory::PageRun& run : stored(vma, written).runs()) {
      add_unwritten(vma, content, at, address_of(vma, written, run.first));
      CoreSegment segment = begin(vma, written, run.first);
      segment.source = Source::kEpoch;
      segment.file_bytes = run.count << kPageShift;
      at = segment.start + segment.file_bytes;
      finish(segment, at);
    }
    add_unwritten(vma, content, at, vma.end());
  }

  void add_unwritten(const Vma& vma, Place content, uint64_t start, uint64_t end) {
    CoreSegment segment = begin(vma, content, content.first);
    segment.first_page += (start - vma.start()) >> kPageShift;
    segment.start = start;
    if (content.object.value != 0) {
      segment.source = Source::kEpoch;
      segment.file_bytes = end - start;
    }
    finish(segment, end);
  }

  void add_vdso(const Vma& vma) {
    CoreSegment segment = begin(vma, {}, 0);
    if (vma.end() - vma.start() == vdso_bytes_) {
      segment.source = Source::kVdso;
      segment.file_bytes = vdso_bytes_;
    }
    finish(segment, vma.end());
  }

  static uint64_t address_of(const Vma& vma, Place place, uint64_t page) {
    return vma.start() + ((page - place.first) << kPageShift);
  }
  static CoreSegment begin(const Vma& vma, Place place, uint64_t page) {
    CoreSegment segment;
    segment.start = address_of(vma, place, page);
    segment.protection = vma.protection();
    segment.object = place.object;
    segment.first_page = page;
    return segment;
  }
  void finish(CoreSegment& segment, uint64_t end) {
    segment.size = end - segment.start;
    if (segment.size > 0) segments_.push_back(segment);
  }

  const object::Graph& graph_;
  const store::EpochReader& reader_;
  const ObjectId space_;
  const uint64_t vdso_bytes_;
  std::vector<CoreSegment> segments_;
};

}  // namespace

std::vector<CoreSegment> core_segments(const object::Graph& graph, const object::Process& process,
                                       const store::EpochReader& reader, uint64_t vdso_bytes) {
  return Layout(graph, process, reader, vdso_bytes).run();
}

}  // namespace perdure::engine
