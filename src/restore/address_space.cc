#include "restore/address_space.h"

#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/limits.h"
#include "kernel/proc/maps.h"
#include "restore/aio_ring.h"
#include "restore/lazy_loader.h"
#include "restore/page_loader.h"
#include "restore/vma_calls.h"

namespace perdure::restore {
namespace {

using object::AddressSpace;
using object::Vma;

constexpr uint64_t kUserEnd = 0x7ffffffff000;  // TASK_SIZE_MAX with four-level page tables
constexpr uint64_t kLowestAddress = 0x100000000;

struct Range {
  uint64_t start = 0;
  uint64_t end = 0;
};

bool is_special(const Vma& vma) { return vma.kind() == Vma::VDSO || vma.kind() == Vma::VVAR; }

bool is_special(const kernel::proc::MapsEntry& entry) {
  return entry.path == "[vdso]" || entry.path == "[vvar]" || entry.path == "[vvar_vclock]";
}

// The vdso and its data, as they lie in the skeleton now.
Result<std::vector<Range>> special_ranges(pid_t pid) {
  std::vector<Range> ranges;
  for (const kernel::proc::MapsEntry& entry : PD_TRY(kernel::proc::read_maps(pid))) {
    if (is_special(entry)) ranges.push_back({entry.start, entry.end});
  }
  return ranges;
}

Status unmap_all_but(std::vector<Range> keep, CallStream* stream) {
  std::sort(keep.begin(), keep.end(),
            [](const Range& a, const Range& b) { return a.start < b.start; });
  uint64_t at = 0;
  keep.push_back({kUserEnd, kUserEnd});
  for (const Range& range : keep) {
    if (range.start > at) PD_TRY(stream->add("unmap", SYS_munmap, {at, range.start - at}));
    at = std::max(at, range.end);
  }
  return {};
}

Status move_ranges(const std::vector<Range>& from, const std::vector<Range>& to,
                   CallStream* stream) {
  for (size_t i = 0; i < from.size(); ++i) {
    const uint64_t size = from[i].end - from[i].start;
    PD_TRY(stream->add("move the vdso", SYS_mremap,
                       {from[i].start, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to[i].start}));
  }
  return {};
}

std::vector<Range> laid_out_from(uint64_t start, const std::vector<Range>& like) {
  std::vector<Range> ranges;
  for (const Range& range : like) {
    const uint64_t size = range.end - range.start;
    ranges.push_back({start, start + size});
    start += size;
  }
  return ranges;
}

class Builder {
 public:
  Builder(Skeleton* skeleton, Site* site)
      : skeleton_(*skeleton),
        site_(*site),
        space_(site->graph.address_spaces.at(ObjectId(skeleton->process().address_space()))),
        stream_(*site, &skeleton->leader, skeleton->name()) {
    if (skeleton->memory_of.value != 0)
      inherited_ = &site->graph.address_spaces.at(skeleton->memory_of);
  }

  Status run() {
    choose_kept();
    PD_TRY(clear_the_ground());
    PD_TRY(map_all());
    PD_TRY(place_special());
    PD_TRY(stream_.flush());
    PD_TRY(load_pages());
    PD_TRY(finish_mappings());
    PD_TRY(stream_.flush());
    skeleton_.memory_of = ObjectId(skeleton_.process().address_space());
    return {};
  }

 private:
  // Mappings that are the same in both records and survived the fork.
  void choose_kept() {
    kept_.assign(static_cast<size_t>(space_.vmas_size()), false);
    if (inherited_ == nullptr) return;
    int other = 0;
    for (int i = 0; i < space_.vmas_size(); ++i) {
      const Vma& vma = space_.vmas(i);
      while (other < inherited_->vmas_size() && inherited_->vmas(other).start() < vma.start())
        ++other;
      if (other == inherited_->vmas_size()) break;
      kept_[static_cast<size_t>(i)] =
          !is_special(vma) && survives_fork_unchanged(inherited_->vmas(other), vma);
    }
  }

  bool kept(int i) const { return kept_[static_cast<size_t>(i)]; }

  Status clear_the_ground() {
    special_now_ = PD_TRY(special_ranges(skeleton_.pid));
    for (const Vma& vma : space_.vmas()) {
      if (is_special(vma)) special_wanted_.push_back({vma.start(), vma.end()});
    }
    PD_TRY(check_special());
    std::vector<Range> keep = special_now_;
    const uint64_t area = site_.area.base().value;
    keep.push_back({area, area + kernel::BatchArea::kBytes});
    for (int i = 0; i < space_.vmas_size(); ++i) {
      if (kept(i)) keep.push_back({space_.vmas(i).start(), space_.vmas(i).end()});
    }
    PD_TRY(unmap_all_but(std::move(keep), &stream_));
    special_in_place_ = std::equal(
        special_now_.begin(), special_now_.end(), special_wanted_.begin(), special_wanted_.end(),
        [](const Range& a, const Range& b) { return a.start == b.start; });
    if (special_in_place_) return {};
    std::vector<Range> aside = laid_out_from(site_.scratch.value, special_now_);
    PD_TRY(move_ranges(special_now_, aside, &stream_));
    special_now_ = std::move(aside);
    return {};
  }

  Status check_special() const {
    bool same = special_now_.size() == special_wanted_.size() &&
                std::equal(special_now_.begin(), special_now_.end(), special_wanted_.begin(),
                           [](const Range& a, const Range& b) {
                             return a.end - a.start == b.end - b.start;
                           });
    if (same || special_wanted_.empty()) return {};
    return Error(Code::kUnsupported, "the epoch was saved under another kernel (" +
                                         site_.graph.group.kernel_release() +
                                         "), whose vdso has another layout")
        .with_remedy("boot that kernel to restore it");
  }

  Status place_special() {
    if (special_in_place_ || special_wanted_.empty()) return {};
    return move_ranges(special_now_, special_wanted_, &stream_);
  }

  Status map_all() {
    for (int i = 0; i < space_.vmas_size(); ++i) {
      const Vma& vma = space_.vmas(i);
      if (kept(i)) {
        // Pages may have to be written into it; finish_mappings() gives it its protection again.
        if ((vma.protection() & PROT_WRITE) == 0 && holds_pages(vma)) {
          PD_TRY(stream_.add("open a mapping", SYS_mprotect,
                             {vma.start(), vma.end() - vma.start(), PROT_READ | PROT_WRITE}));
        }
        continue;
      }
      if (vma.kind() == Vma::AIO_RING) {
        PD_TRY(stream_.flush());
        PD_TRY(make_aio_ring(vma, &skeleton_, site_));
      } else {
        PD_TRY(add_mapping(vma, site_, &stream_));
      }
    }
    return {};
  }

  Status load_pages() {
    LazyLoader lazy(&skeleton_, &site_);
    PD_TRY(lazy.choose());
    BulkLoader bulk(&skeleton_, &site_);
    const bool can_bulk = PD_TRY(bulk.open());
    for (int i = 0; i < space_.vmas_size(); ++i) {
      const Vma& vma = space_.vmas(i);
      if (!holds_pages(vma) || lazy.takes(vma)) continue;
      const ObjectId inherited = kept(i) ? skeleton_.memory_of : ObjectId();
      PD_TRY(restore::load_pages(vma, inherited, &skeleton_, &site_, can_bulk ? &bulk : nullptr,
                                 &stream_));
    }
    PD_TRY(stream_.flush());
    site_.pages_loaded += bulk.pages();
    PD_TRY(bulk.load());
    return lazy.hand_over();
  }

  Status finish_mappings() {
    for (int i = 0; i < space_.vmas_size(); ++i) {
      PD_TRY(
          add_mapping_end(space_.vmas(i), kept(i) ? Origin::kInherited : Origin::kNew, &stream_));
    }
    return {};
  }

  Skeleton& skeleton_;
  Site& site_;
  const AddressSpace& space_;
  const AddressSpace* inherited_ = nullptr;
  CallStream stream_;
  std::vector<bool> kept_;
  std::vector<Range> special_now_;
  std::vector<Range> special_wanted_;
  bool special_in_place_ = false;
};

}  // namespace

Status strip(Skeleton* skeleton, RemoteAddr syscall_instruction, Site* site) {
  PD_TRY(kernel::BatchArea::map(&skeleton->leader, syscall_instruction, site->area.base()));
  std::vector<Range> keep = PD_TRY(special_ranges(skeleton->pid));
  const uint64_t area = site->area.base().value;
  keep.push_back({area, area + kernel::BatchArea::kBytes});
  CallStream stream(*site, &skeleton->leader, skeleton->name());
  PD_TRY(unmap_all_but(std::move(keep), &stream));
  skeleton->memory_of = ObjectId();
  return stream.flush();
}

Status build_address_space(Skeleton* skeleton, Site* site) { return Builder(skeleton, site).run(); }

Status set_memory_layout(Skeleton* skeleton, Site* site) {
  const object::Process& process = skeleton->process();
  const AddressSpace& space = site->graph.address_spaces.at(ObjectId(process.address_space()));
  auto executable = site->opened.files.find(ObjectId(process.executable_file()));
  return run_calls(*site, &skeleton->leader, skeleton->name(), [&](RemoteCalls* calls) {
    prctl_mm_map map{};
    map.start_code = space.start_code();
    map.end_code = space.end_code();
    map.start_data = space.start_data();
    map.end_data = space.end_data();
    map.start_brk = space.start_brk();
    map.brk = space.brk();
    map.start_stack = space.start_stack();
    map.arg_start = space.arg_start();
    map.arg_end = space.arg_end();
    map.env_start = space.env_start();
    map.env_end = space.env_end();
    const std::string& auxv = space.auxv();
    RemoteAddr vector =
        calls->batch().in(Bytes(reinterpret_cast<const uint8_t*>(auxv.data()), auxv.size()));
    map.auxv = reinterpret_cast<decltype(map.auxv)>(vector.value);
    map.auxv_size = static_cast<uint32_t>(auxv.size());
    map.exe_fd =
        executable == site->opened.files.end() ? ~0u : static_cast<uint32_t>(executable->second);
    calls->add("set its memory layout", SYS_prctl,
               {PR_SET_MM, PR_SET_MM_MAP, calls->batch().in_value(map), sizeof(map), 0});
    calls->remedy("CAP_CHECKPOINT_RESTORE is needed; `perdure check` tells what is missing");
  });
}

Result<RemoteAddr> find_common_gap(const object::Graph& graph, uint64_t size) {
  std::vector<Range> taken;
  for (const auto& [id, space] : graph.address_spaces) {
    for (const Vma& vma : space.vmas()) taken.push_back({vma.start(), vma.end()});
  }
  for (const kernel::proc::MapsEntry& entry : PD_TRY(kernel::proc::read_maps(getpid()))) {
    taken.push_back({entry.start, entry.end});
  }
  std::sort(taken.begin(), taken.end(),
            [](const Range& a, const Range& b) { return a.start < b.start; });
  // A guard on both sides: stacks grow down, and neighbours must not merge.
  const uint64_t wanted = size + 2 * (1u << 21);
  uint64_t at = kLowestAddress;
  for (const Range& range : taken) {
    if (range.start > at && range.start - at >= wanted) break;
    at = std::max(at, range.end);
  }
  if (at + wanted > kUserEnd)
    return Error(Code::kLimit, "the epoch's address spaces leave no common gap");
  return RemoteAddr((at + (1u << 21) + kPageSize - 1) & ~(kPageSize - 1));
}

}  // namespace perdure::restore
