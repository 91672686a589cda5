#include "memory/pager.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "kernel/control_socket.h"

namespace perdure::memory {
namespace {

using Kind = kernel::UffdMessage::Kind;
using kernel::Placed;
using kernel::Placement;

// What one fault brings: a page alone costs a message for each, 15 to 50 us. Faults that come one
// behind the other double the unit.
constexpr uint64_t kFaultUnitPagesMin = 16;
constexpr uint64_t kFaultUnitPagesMax = 256;
// Placed in the background between two looks at faults: about 50 us.
constexpr uint64_t kPartPages = 64;
// Without a touch for so long, a program has come through its start; waited for no longer than so
// many times the delay.
constexpr uint64_t kQuietNs = 1'000'000;
constexpr uint64_t kDelaysMax = 4;
// While a change is under way its message is not there yet: a fork copies page tables first.
constexpr int kChangingWaitMs = 1;

uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Two seconds: a page that is neither mapped nor reported as unmapped means that this code is
// wrong.
constexpr uint64_t kStrayLooksMax = 2000;

RemoteAddr address_of(uint64_t page) { return RemoteAddr(page << kPageShift); }

Error stray(uint64_t page) {
  return Error(Code::kInternal, "page " + std::to_string(page) + " has no mapping to be put into");
}

}  // namespace

Pager::Pager(Options options, std::unique_ptr<ReadAhead> ahead, std::atomic<uint64_t>* left)
    : options_(std::move(options)),
      ahead_(std::move(ahead)),
      pages_left_(left),
      fault_buffer_(std::make_unique_for_overwrite<uint8_t[]>(kFaultUnitPagesMax * kPageSize)) {}

Pager::~Pager() = default;

Result<std::unique_ptr<Pager>> Pager::create(std::vector<Space> spaces,
                                             std::unique_ptr<ReadAhead> ahead, Options options,
                                             std::atomic<uint64_t>* pages_left) {
  std::unique_ptr<Pager> pager(new Pager(std::move(options), std::move(ahead), pages_left));
  if (pager->options_.keeper.valid()) PD_TRY(kernel::set_nonblocking(pager->options_.keeper));
  pager->plan(spaces);
  for (Space& space : spaces) {
    PD_ASSERT(space.uffd.valid() && space.source != nullptr);
    Served served;
    served.uffd = std::move(space.uffd);
    served.source = std::move(space.source);
    served.pending = PendingPages(space.pages);
    served.book = std::move(space.book);
    if (served.book != nullptr) served.book->fill();
    pager->add(std::move(served));
  }
  pager->settle();
  return pager;
}

// The order of the background reader: what is hot, then the rest as it lies in memory.
void Pager::plan(const std::vector<Space>& spaces) {
  for (const Space& space : spaces) {
    for (const PageRun& run : space.hot.runs()) plan_run(space, run);
  }
  hot_units_ = units_.size();
  for (const Space& space : spaces) {
    for (const PageRun& run : space.pages.without(space.asked).without(space.hot).runs())
      plan_run(space, run);
  }
}

void Pager::plan_run(const Space& space, const PageRun& run) {
  auto start = std::upper_bound(space.starts.begin(), space.starts.end(), run.first);
  for (uint64_t at = run.first; at < run.end();) {
    uint64_t end = std::min(at + ReadAhead::kBlockPages, run.end());
    if (start != space.starts.end() && *start <= end) end = *start++;
    units_.push_back({space.source, {at, end - at}});
    at = end;
  }
}

void Pager::add(Served served) {
  // If the socket is full, this descriptor has no copy.
  const uint8_t mark = 0;
  if (options_.keeper.valid())
    (void)kernel::send_bytes(options_.keeper, {&mark, 1}, served.uffd.get()).ok();
  spaces_.push_back(std::move(served));
}

Status Pager::run() {
  for (;;) {
    Progress progress = Progress::kNone;
    int time_ms = -1;
    {
      const std::lock_guard lock(mutex_);
      progress = PD_TRY(step());
      if (complete() && !options_.keeper.valid()) {
        let_go();
        return {};
      }
      time_ms = wait_ms(progress);
    }
    PD_TRY(wait(progress, time_ms));
  }
}

void Pager::begin_fill() {
  const std::lock_guard lock(mutex_);
  begun_ns_ = monotonic_ns();
  if (ahead_ != nullptr) ahead_->wake_owner();
}

// Whoever owns the pager may live long.
void Pager::let_go() {
  spaces_.clear();
  units_.clear();
  block_.reset();
  ahead_.reset();
  fault_buffer_.reset();
}

Result<Pager::Progress> Pager::step() {
  changing_ = false;
  PD_TRY(take_messages());
  for (Served& served : spaces_) PD_TRY(serve_faults(&served));
  Progress progress = Progress::kNone;
  if (!changing_) progress = PD_TRY(fill());
  settle();
  return changing_ ? Progress::kChanging : progress;
}

void Pager::with_descriptors(const std::function<void(std::vector<int>)>& work) {
  const std::lock_guard lock(mutex_);
  std::vector<int> numbers;
  if (ahead_ != nullptr) numbers.push_back(ahead_->ready_fd());
  if (options_.keeper.valid()) numbers.push_back(options_.keeper.get());
  for (const Served& served : spaces_) numbers.push_back(served.uffd.get());
  work(std::move(numbers));
}

// A turn of the books: who reads a message lets the program go on.
class Pager::Turn {
 public:
  explicit Turn(PendingState* state) : state_(state) { step(); }
  ~Turn() { step(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  void step() {
    if (state_ != nullptr) state_->turns.fetch_add(1);
  }
  PendingState* state_;
};

Status Pager::take_messages() {
  const Turn turn(options_.state);
  for (auto served = spaces_.begin(); served != spaces_.end(); ++served) {
    std::vector<kernel::UffdMessage> messages;
    PD_TRY(kernel::read_uffd_messages(served->uffd, &messages));
    for (kernel::UffdMessage& message : messages) {
      if (message.kind == Kind::kFault) {
        served->faults.push_back(message.start >> kPageShift);
      } else {
        take_change(&*served, std::move(message));
      }
    }
  }
  return {};
}

void Pager::take_change(Served* served, kernel::UffdMessage message) {
  const uint64_t page = message.start >> kPageShift, count = message.size >> kPageShift;
  switch (message.kind) {
    case Kind::kFork: {
      note_stray();
      Served child;
      child.uffd = std::move(message.child);
      child.source = served->source;
      child.pending = served->pending;
      add(std::move(child));
      return;
    }
    case Kind::kRemap:
      note_stray();
      return served->pending.move(page, message.to >> kPageShift, count);
    case Kind::kRemove:
    case Kind::kUnmap:
      return forget(served, page, count);
    case Kind::kFault:
      break;
  }
}

void Pager::note_stray() {
  if (options_.state != nullptr) options_.state->strayed.store(true);
}

void Pager::forget(Served* served, uint64_t page, uint64_t count) {
  served->pending.remove(page, count);
  if (served->book != nullptr) served->book->clear(page, count);
}

Status Pager::serve_faults(Served* served) {
  std::vector<uint64_t> again;
  if (!served->faults.empty()) last_fault_ns_ = monotonic_ns();
  for (uint64_t page : std::exchange(served->faults, {})) {
    bool later = false;
    PD_TRY(serve_fault(served, page, &later));
    if (later) again.push_back(page);
  }
  served->faults = std::move(again);
  return {};
}

Status Pager::serve_fault(Served* served, uint64_t page, bool* again) {
  const std::optional<PendingPages::Piece> piece = served->pending.find(page);
  return piece ? place_unit(served, *piece, page, again) : place_empty(served, page, again);
}

PageRun Pager::unit_around(Served* served, const PendingPages::Piece& piece, uint64_t page) const {
  const bool in_order = page == served->last_served_end;
  served->unit_pages =
      in_order ? std::min(served->unit_pages * 2, kFaultUnitPagesMax) : kFaultUnitPagesMin;
  const uint64_t first = in_order ? page : std::max(piece.page, page - page % kFaultUnitPagesMin);
  const uint64_t end = std::min(piece.page + piece.count, first + served->unit_pages);
  served->last_served_end = end;
  return {first, end - first};
}

Status Pager::place_unit(Served* served, const PendingPages::Piece& piece, uint64_t page,
                         bool* again) {
  const PageRun unit = unit_around(served, piece, page);
  PD_ASSERT(page >= unit.first && page < unit.end());
  const MutableBytes bytes(fault_buffer_.get(), unit.count << kPageShift);
  const uint64_t origin = piece.origin + (unit.first - piece.page);
  served->source->announce(origin, unit.count);
  PD_TRY(served->source->read(origin, bytes));
  PD_TRY(place(served, unit.first, bytes, again));
  // The mapping may have been cut in two behind the page that was asked for.
  if (!*again && !served->gone) kernel::wake_waiters(served->uffd, address_of(page), kPageSize);
  return {};
}

// A page that was never written: those behind it are as likely to be touched.
Status Pager::place_empty(Served* served, uint64_t page, bool* again) {
  const uint64_t window = page - page % kFaultUnitPagesMin + kFaultUnitPagesMin;
  const uint64_t end = std::min(window, served->pending.next(page).value_or(window));
  for (uint64_t count : {end - page, uint64_t{1}}) {
    const Placement placement =
        PD_TRY(kernel::place_zeros(served->uffd, address_of(page), count << kPageShift));
    switch (placement.end) {
      case Placed::kChanging:
        *again = changing_ = true;
        return {};
      case Placed::kGone:
        served->gone = true;
        return {};
      case Placed::kNoMapping:
        if (placement.bytes == 0) continue;
        [[fallthrough]];
      case Placed::kThere:
      case Placed::kDone:
        kernel::wake_waiters(served->uffd, address_of(page), kPageSize);
        return {};
    }
  }
  // Unmapped since: the thread looks again, and finds that out itself.
  kernel::wake_waiters(served->uffd, address_of(page), kPageSize);
  return {};
}

// Puts pages in place and forgets them as pending. `again`: a message has to be read first.
Status Pager::place(Served* served, uint64_t page, Bytes bytes, bool* again) {
  uint64_t most = bytes.size();
  while (!bytes.empty()) {
    const Placement placement = PD_TRY(
        kernel::place_pages(served->uffd, address_of(page),
                            bytes.first(std::min<uint64_t>(most, bytes.size())), options_.placing));
    uint64_t passed = placement.bytes;
    switch (placement.end) {
      case Placed::kDone:
        break;
      case Placed::kThere:
        kernel::wake_waiters(served->uffd, address_of(page) + passed, kPageSize);
        passed += kPageSize;
        break;
      case Placed::kChanging:
        *again = changing_ = true;
        break;
      case Placed::kGone:
        served->gone = true;
        return {};
      case Placed::kNoMapping:
        if (passed > 0) break;
        // Not within one mapping: page by page. A single page that has no mapping is about to be
        // reported as unmapped.
        if (most == kPageSize) {
          if (++stray_looks_ > kStrayLooksMax) return stray(page);
          *again = changing_ = true;
        }
        most = kPageSize;
        break;
    }
    if (passed > 0) stray_looks_ = 0;
    forget(served, page, passed >> kPageShift);
    page += passed >> kPageShift;
    bytes = bytes.subspan(passed);
    if (*again) return {};
  }
  return {};
}

Result<Pager::Progress> Pager::fill() {
  if (monotonic_ns() >= may_fill_at()) filling_ = true;
  ask_for_more();
  if (!block_) {
    block_ = ahead_->take();
    block_done_ = 0;
  }
  if (!block_) return Progress::kNone;
  Status read = std::exchange(block_->status, Status());
  if (!read.ok()) {
    // It matters to nobody any more if the program has dropped these pages.
    if (is_wanted({block_->source, {block_->first_page, block_->pages}})) return read.error();
    end_block();
    return Progress::kSome;
  }
  return place_block_part();
}

// A program that is just starting touches one page after the other.
uint64_t Pager::may_fill_at() const {
  if (begun_ns_ == UINT64_MAX) return UINT64_MAX;
  const uint64_t delay_ns = options_.fill_delay_ms * 1'000'000;
  return std::min(std::max(begun_ns_ + delay_ns, last_fault_ns_ + kQuietNs),
                  begun_ns_ + delay_ns * kDelaysMax);
}

void Pager::ask_for_more() {
  while (!ahead_->full() && (hot_units_ > 0 || (filling_ && !units_.empty()))) {
    Unit unit = std::move(units_.front());
    units_.pop_front();
    if (hot_units_ > 0) --hot_units_;
    if (is_wanted(unit)) ahead_->ask(std::move(unit.source), unit.run.first, unit.run.count);
  }
}

bool Pager::is_wanted(const Unit& unit) const {
  return std::any_of(spaces_.begin(), spaces_.end(), [&](const Served& served) {
    return served.source == unit.source &&
           !served.pending.of_origin(unit.run.first, unit.run.count).empty();
  });
}

Result<Pager::Progress> Pager::place_block_part() {
  const uint64_t first = block_->first_page + block_done_;
  const uint64_t count = std::min(kPartPages, block_->pages - block_done_);
  for (Served& served : spaces_) {
    if (served.source != block_->source) continue;
    for (const PendingPages::Piece& piece : served.pending.of_origin(first, count)) {
      const uint64_t offset = (piece.origin - block_->first_page) << kPageShift;
      bool again = false;
      PD_TRY(place(&served, piece.page, block_->bytes.subspan(offset, piece.count << kPageShift),
                   &again));
      if (again) return Progress::kChanging;
      if (served.gone) break;
    }
  }
  block_done_ += count;
  if (block_done_ == block_->pages) end_block();
  return Progress::kSome;
}

void Pager::end_block() {
  block_.reset();
  ahead_->done();
}

bool Pager::complete() const {
  return std::all_of(spaces_.begin(), spaces_.end(),
                     [](const Served& served) { return served.pending.empty(); });
}

// Lets go of what is gone, or complete without a copy elsewhere: closing the last descriptor ends
// the registration.
void Pager::settle() {
  const bool kept = options_.keeper.valid();
  std::erase_if(spaces_, [&](const Served& served) {
    return served.gone || (!kept && served.pending.empty());
  });
  uint64_t left = 0;
  for (const Served& served : spaces_) left += served.pending.pages();
  pages_left_->store(left, std::memory_order_relaxed);
}

int Pager::wait_ms(Progress progress) const {
  if (progress == Progress::kSome) return 0;
  if (progress == Progress::kChanging) return kChangingWaitMs;
  const uint64_t now = monotonic_ns(), begin = may_fill_at();
  if (filling_ || begin == UINT64_MAX) return -1;
  return begin <= now ? 0 : static_cast<int>((begin - now) / 1'000'000 + 1);
}

Status Pager::wait(Progress progress, int time_ms) {
  // Of the keeper only its end is waited for.
  std::vector<pollfd> entries = {{options_.keeper.valid() ? options_.keeper.get() : -1, 0, 0}};
  if (progress != Progress::kChanging) entries.push_back({ahead_->ready_fd(), POLLIN, 0});
  for (const Served& served : spaces_) entries.push_back({served.uffd.get(), POLLIN, 0});
  if (poll(entries.data(), entries.size(), time_ms) < 0 && errno != EINTR)
    return Error::system(errno, "wait for page faults");
  if (entries.front().revents != 0) {
    const std::lock_guard lock(mutex_);
    options_.keeper.reset();
  }
  return {};
}

}  // namespace perdure::memory
