#include "memory/write_guide.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "kernel/abi/userfaultfd.h"
#include "kernel/btf.h"
#include "kernel/memory.h"
#include "memory/guide_programs.h"

namespace perdure::memory {
namespace {

// madvise(2), since Linux 6.13: not in the headers yet.
constexpr int kGuardInstall = 102;

constexpr const char* kFaultEntry = "asm_exc_page_fault";
constexpr const char* kIteratorFunction = "bpf_iter_task";
constexpr uint64_t kPagesOfBlock = uint64_t{1} << (kBlockShift - kPageShift);

uint64_t load(uint64_t& word) {
  return std::atomic_ref<uint64_t>(word).load(std::memory_order_acquire);
}

// One block of our own memory that is registered for write protection, to try the guide on.
class ProbeBlock {
 public:
  static Result<ProbeBlock> create() {
    ProbeBlock block;
    block.uffd_ = PD_TRY(kernel::create_userfaultfd());
    PD_TRY(kernel::enable_uffd(block.uffd_, kernel::abi::kUffdFeatureWpAsync));
    void* map =
        ::mmap(nullptr, 2 * kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return Error::system(errno, "map memory");
    block.map_ = map;
    const uint64_t start = (reinterpret_cast<uint64_t>(map) + kBytes - 1) / kBytes * kBytes;
    block.area_ = Area{start, start + kBytes, AreaKind::kAnonymous};
    PD_TRY(kernel::register_uffd_wp(block.uffd_, start, kBytes));
    return block;
  }
  ProbeBlock(ProbeBlock&& other) noexcept
      : uffd_(std::move(other.uffd_)),
        map_(std::exchange(other.map_, nullptr)),
        area_(other.area_) {}
  ProbeBlock& operator=(ProbeBlock&&) = delete;
  ~ProbeBlock() {
    if (map_ != nullptr) ::munmap(map_, 2 * kBytes);
  }

  void write() const { *reinterpret_cast<volatile uint8_t*>(area_.start) = 1; }
  int advise(int advice) const {
    return ::madvise(reinterpret_cast<void*>(area_.start), kPageSize, advice);
  }
  // Whether the guide has seen that something happened here, but not everywhere.
  bool seen_by(WatchedSpace& space) const {
    space.collect();
    const bool seen = !space.everything() && !space.touched({&area_, 1}, {}).empty();
    space.settle();
    return seen;
  }

 private:
  static constexpr uint64_t kBytes = uint64_t{1} << kBlockShift;
  ProbeBlock() = default;
  Fd uffd_;
  void* map_ = nullptr;
  Area area_;
};

}  // namespace

WriteGuide::WriteGuide(kernel::BpfTable spaces, kernel::BpfArray states, kernel::BpfArray answer,
                       HeldPages held)
    : spaces_(std::move(spaces)),
      states_(std::move(states)),
      answer_(std::move(answer)),
      held_(std::move(held)),
      taken_(kWatchedSpacesMax) {}

WriteGuide::~WriteGuide() = default;

Result<std::unique_ptr<WriteGuide>> WriteGuide::create() {
  kernel::BpfTable spaces = PD_TRY(kernel::BpfTable::create(kWatchedSpacesMax));
  kernel::BpfArray states = PD_TRY(kernel::BpfArray::create(sizeof(SpaceState), kWatchedSpacesMax));
  kernel::BpfArray answer = PD_TRY(kernel::BpfArray::create(sizeof(uint64_t), 1));
  HeldPages held = PD_TRY(HeldPages::create());
  std::unique_ptr<WriteGuide> guide(new WriteGuide(  // NOLINT
      std::move(spaces), std::move(states), std::move(answer), std::move(held)));
  if (auto entry = kernel::find_kernel_code(kFaultEntry); entry.ok()) guide->fault_entry_ = *entry;
  PD_TRY(guide->attach());
  PD_TRY(guide->try_on_ourselves());
  return guide;
}

Status WriteGuide::attach() {
  const kernel::Btf btf = PD_TRY(kernel::Btf::read_kernel());
  const GuideMaps maps{spaces_.map(), states_.map(), held_.blocks(), held_.round(), held_.copies()};
  const GuidePrograms programs(PD_TRY(KernelLayout::read(btf)), maps, getpid());
  const std::pair<const char*, kernel::BpfCode> parts[] = {
      {"btf_trace_page_fault_user", programs.user_fault()},
      {"btf_trace_page_fault_kernel", programs.kernel_fault()},
      {"btf_trace_mmap_lock_acquire_returned", programs.lock_acquired()},
      {"btf_trace_mmap_lock_released", programs.lock_released()},
      {"btf_trace_io_uring_submit_req", programs.uring_submit()},
  };
  for (const auto& [tracepoint, code] : parts) {
    const uint32_t type = PD_TRY(btf.id_of(kernel::Btf::Kind::kTypedef, tracepoint));
    const Fd program = PD_TRY_WITHIN(tracepoint, kernel::load_tracepoint_program(type, code));
    links_.push_back(PD_TRY_WITHIN(tracepoint, kernel::attach_tracepoint_program(program)));
  }
  const uint32_t iterator = PD_TRY(btf.id_of(kernel::Btf::Kind::kFunction, kIteratorFunction));
  find_space_ = PD_TRY(kernel::load_task_program(iterator, programs.find_space(answer_.map())));
  return {};
}

// Whether this kernel does what the guide relies on: a fault is reported, and so is what drops
// pages without one, because memory that is registered is never advised about without the lock. A
// fault of another thread in between does no harm.
Status WriteGuide::try_on_ourselves() {
  const ProbeBlock block = PD_TRY(ProbeBlock::create());
  const std::unique_ptr<WatchedSpace> space = PD_TRY(watch(getpid()));
  space->collect();
  space->settle();
  if (block.seen_by(*space)) return Error(Code::kUnavailable, "the guide sees what is not there");
  block.write();
  if (!block.seen_by(*space)) return Error(Code::kUnavailable, "the guide misses page faults");
  if (block.advise(MADV_DONTNEED) != 0 || !block.seen_by(*space)) {
    return Error(Code::kUnavailable, "the guide misses dropped pages");
  }
  if (block.advise(kGuardInstall) == 0 && !block.seen_by(*space)) {
    return Error(Code::kUnavailable, "the guide misses guard pages");
  }
  return {};
}

bool WriteGuide::is_fault(const LockRecord& record) const {
  for (const uint64_t address : record.stack) {
    if (address == 0) return false;
    if (fault_entry_.contains(address)) return true;
  }
  return false;
}

Result<std::unique_ptr<WatchedSpace>> WriteGuide::watch(pid_t pid) {
  uint32_t key = 0;
  while (key < kWatchedSpacesMax && taken_[key]) ++key;
  if (key == kWatchedSpacesMax) return Error(Code::kLimit, "too many address spaces are watched");
  uint64_t& space = *static_cast<uint64_t*>(answer_.at(0));
  space = 0;
  PD_TRY(kernel::run_task_program(find_space_, pid));
  const uint64_t found = load(space);
  if (found == 0) return Error(Code::kGone, "the process has ended");
  // Programs of a former owner of the entry may still write to it: more than is true, never less.
  // So that they do not seem to be records of this one, the count of faults goes on.
  auto& state = *static_cast<SpaceState*>(states_.at(key));
  std::fill(std::begin(state.touched), std::end(state.touched), 0);
  std::fill(std::begin(state.log), std::end(state.log), LockRecord());
  state.distrusted = state.records = state.held_tag = 0;
  PD_TRY(spaces_.add(found, key));
  taken_[key] = true;
  return std::make_unique<WatchedSpace>(*this, found, key);
}

WriteGuide* LazyGuide::get() {
  if (wanted_ && guide_ == nullptr) {
    auto made = WriteGuide::create();
    if (made.ok()) guide_ = std::move(*made);
    wanted_ = made.ok();
  }
  return guide_.get();
}

WatchedSpace::WatchedSpace(WriteGuide& guide, uint64_t space, uint32_t key)
    : guide_(guide),
      space_(space),
      key_(key),
      state_(*static_cast<SpaceState*>(guide.states_.at(key))),
      blocks_(kBlockWords),
      faults_read_(load(state_.faults)) {
  faulted_.reserve(kFaultRecords);
}

WatchedSpace::~WatchedSpace() {
  guide_.spaces_.remove(space_);
  guide_.taken_[key_] = false;
}

void WatchedSpace::collect() {
  collect_faults();
  collect_blocks();
  collect_records();
  if (load(state_.distrusted) != 0) everything_ = remade_anywhere_ = true;
}

void WatchedSpace::collect_blocks() {
  for (uint64_t word = 0; word < kBlockWords; ++word) {
    if (load(state_.touched[word]) == 0) continue;
    blocks_[word] |= std::atomic_ref<uint64_t>(state_.touched[word]).exchange(0);
  }
}

// A record that is not complete ends it: the next call reads on there, and until then blocks count.
void WatchedSpace::collect_faults() {
  faults_begun_ = load(state_.faults);
  for (; faults_read_ != faults_begun_; ++faults_read_) {
    if (faults_begun_ - faults_read_ > kFaultRecords || faulted_.size() == kFaultRecords) break;
    const uint64_t entry = load(state_.fault_log[faults_read_ % kFaultRecords]);
    const uint64_t round = (faults_read_ / kFaultRecords + 1) & kFaultRoundMask;
    if (entry >> kFaultPageBits == ((round - 1) & kFaultRoundMask)) return;
    if (entry >> kFaultPageBits != round) break;  // overtaken
    faulted_.push_back(entry & kFaultPageMask);
  }
  if (faults_read_ == faults_begun_) return;
  faults_lost_ = true;
  faults_read_ = faults_begun_;
}

void WatchedSpace::collect_records() {
  const uint64_t end = load(state_.records);
  if (end - records_read_ > kLockRecords) everything_ = remade_anywhere_ = true;
  for (; records_read_ != end && !remade_anywhere_; ++records_read_) {
    LockRecord& place = state_.log[records_read_ % kLockRecords];
    // One that is being written belongs to another process, which will record that it has finished.
    bool good = load(place.number) == records_read_ + 1;
    const LockRecord record = place;
    std::atomic_thread_fence(std::memory_order_acquire);
    good = good && load(place.number) == records_read_ + 1;  // else overtaken
    if (good && record.own != 0 && guide_.is_fault(record)) continue;
    const LockEffect effect = good ? effect_of(record) : LockEffect();
    const bool everywhere = effect.reach == LockEffect::Reach::kEverything;
    everything_ = everything_ || everywhere;
    remade_anywhere_ = remade_anywhere_ || (everywhere && !effect.only_unprotects);
    unprotected_ = unprotected_ || effect.only_unprotects;
    shared_ = shared_ || effect.shares;
    if (everywhere || effect.reach == LockEffect::Reach::kNothing) continue;
    PageSet pages;
    pages.add_bytes(effect.start, effect.end);
    pages_ = pages_.united(pages);
    const bool direct = effect.reach == LockEffect::Reach::kDirectReads;
    if (!direct && !effect.only_unprotects) remade_ = remade_.united(pages);
    if (effect.reach == LockEffect::Reach::kMappings) mappings_ = mappings_.united(pages);
  }
  records_read_ = end;
}

PageSet WatchedSpace::faulted(std::span<const Area> areas, const PageSet& known) const {
  return pages_are_few() ? touched_pages(areas, known) : touched_blocks(areas);
}

PageSet WatchedSpace::faulted_for_reading(std::span<const Area> areas, const PageSet& among,
                                          const PageSet& written) const {
  if (!pages_are_known()) return touched_blocks(areas).intersected(among).without(written);
  std::vector<uint64_t> left;
  for (const uint64_t page : faulted_) {
    if (among.contains(page) && !written.contains(page)) left.push_back(page);
  }
  std::sort(left.begin(), left.end());
  PageSet pages;
  for (const uint64_t page : left) {
    if (pages.empty() || pages.runs().back().end() <= page) pages.add(PageRun{page, 1});
  }
  return pages;
}

PageSet WatchedSpace::touched_pages(std::span<const Area> areas, const PageSet& known) const {
  std::vector<uint64_t> faulted = faulted_;
  std::sort(faulted.begin(), faulted.end());
  PageSet pages;
  auto area = areas.begin();
  auto run = known.runs().begin();
  for (const uint64_t page : faulted) {
    const uint64_t address = page << kPageShift;
    while (area != areas.end() && area->end <= address) ++area;
    if (area == areas.end()) break;
    if (address < area->start) continue;
    const uint64_t block = page / kPagesOfBlock * kPagesOfBlock;
    run = std::partition_point(run, known.runs().end(),
                               [block](const PageRun& each) { return each.end() <= block; });
    const bool had_pages = run != known.runs().end() && run->first < block + kPagesOfBlock;
    const PageRun changed = had_pages ? PageRun{page, 1} : PageRun{block, kPagesOfBlock};
    const uint64_t end = pages.empty() ? 0 : pages.runs().back().end();
    if (changed.end() <= end) continue;
    const uint64_t first = std::max(changed.first, end);
    pages.add(PageRun{first, changed.end() - first});
  }
  return pages;
}

// A fault that is noted before a look may make its page writable behind it. But it does so once: if
// it is the only one that was noted for a page, nobody else can have written to it
// (process_vm_writev and the like are among the records), and the page was found written, then it
// has done what it does.
void WatchedSpace::settle_written(const PageSet& written) {
  if (everything_ || !pages_are_known()) return;
  std::sort(faulted_.begin(), faulted_.end());
  size_t kept = 0;
  for (size_t at = 0; at < faulted_.size();) {
    const uint64_t page = faulted_[at];
    size_t end = at + 1;
    while (end < faulted_.size() && faulted_[end] == page) ++end;
    const bool done = end - at == 1 && written.contains(page) && !pages_.contains(page);
    if (!done) {
      for (size_t each = at; each < end; ++each) faulted_[kept++] = page;
    }
    at = end;
  }
  faulted_.resize(kept);
}

PageSet WatchedSpace::touched_blocks(std::span<const Area> areas) const {
  PageSet blocks;
  uint64_t next = 0;  // the first block that was not looked at yet
  for (const Area& area : areas) {
    const uint64_t end = ((area.end - 1) >> kBlockShift) + 1;
    for (uint64_t block = std::max(area.start >> kBlockShift, next); block < end;) {
      const uint64_t left = blocks_[block % kBlockBits / 64] >> (block % 64);
      if (left == 0) {  // on to the next word
        block = (block / 64 + 1) * 64;
        continue;
      }
      block += static_cast<uint64_t>(std::countr_zero(left));
      if (block < end) blocks.add(PageRun{block * kPagesOfBlock, kPagesOfBlock});
      ++block;
    }
    next = std::max(next, end);
  }
  return blocks;
}

void WatchedSpace::settle() {
  std::fill(blocks_.begin(), blocks_.end(), 0);
  pages_.clear();
  remade_.clear();
  mappings_.clear();
  faulted_.clear();
  faults_lost_ = false;
  everything_ = remade_anywhere_ = unprotected_ = shared_ = false;
}

// In powers of two, so that it is seldom made anew. Without room nothing is held.
void WatchedSpace::make_room(uint64_t pages) {
  const uint64_t wanted = std::bit_ceil(std::min<uint64_t>(pages, kHeldPagesMax));
  (void)guide_.held_.make_room(static_cast<uint32_t>(wanted));
}

PageSet WatchedSpace::hold(const PageSet& pages) {
  PageSet held = guide_.held_.hold(held_tag(), pages);
  state_.held_tag = held.empty() ? 0 : held_tag();
  return held;
}

void WatchedSpace::release(const PageSet& pages) {
  std::atomic_ref<uint64_t>(state_.held_tag).store(0);
  guide_.held_.release(held_tag(), pages);
}

}  // namespace perdure::memory
