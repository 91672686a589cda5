#include "store/collector.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "kernel/device_file.h"
#include "kernel/sched.h"

namespace perdure::store {
namespace {

constexpr int kNice = 10;
constexpr uint32_t kBestEffortClass = 2, kLowestLevel = 7;

// Behind the program and the writer, for processor and disk; a hint, so it does not matter whether
// it is allowed.
void step_back() {
  auto attributes = kernel::sched_getattr(0);
  if (attributes.ok()) {
    attributes->nice = std::min(attributes->nice + kNice, 19);
    (void)kernel::sched_setattr(0, *attributes);
  }
  (void)kernel::ioprio_set(0, kBestEffortClass << kernel::kIoPriorityClassShift | kLowestLevel);
}

// Most of a commit with the index of a small epoch: all that are read while the disk is busy wait
// for it together.
constexpr uint64_t kCommitBytes = 32u << 10;

void start_reading(const SegmentSet& segments, FramePlace commit) {
  const auto file = segments.open(commit.segment);
  if (!file.ok() || (*file)->descriptor() < 0) return;  // reading will tell
  kernel::start_reading((*file)->descriptor(), uint64_t{commit.block} * kBlockSize, kCommitBytes);
}

// As large as what is to be copied, so that little of the last segment stays empty.
uint64_t segment_bytes_for(uint64_t copied) {
  uint64_t bytes = kSegmentBytesMin;
  while (bytes < kSegmentBytesMax && bytes < copied + copied / 8) bytes *= 2;
  return bytes;
}

}  // namespace

Collector::Collector(Setup setup) : setup_(std::move(setup)) {
  setup_.log.thread = IoQueue::Thread::kAtOnce;
}

Collector::~Collector() {
  interrupt();
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
  (void)discard_now();  // what stays is dead space
}

void Collector::begin(Step step) {
  PD_ASSERT(at_rest());
  interrupted_ = false;
  at_rest_ = false;
  {
    const std::scoped_lock lock(mutex_);
    step_ = step;
  }
  if (setup_.where == Where::kCaller) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { run_thread(); });
  work_.notify_all();
}

void Collector::run() {
  if (setup_.where == Where::kCaller) {
    if (!at_rest()) execute();
    return;
  }
  std::unique_lock lock(mutex_);
  rest_.wait(lock, [&] { return at_rest(); });
}

void Collector::interrupt() {
  interrupted_ = true;
  if (!at_rest()) run();
}

void Collector::run_thread() {
  step_back();
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return ending_ || step_ != Step::kNone; });
    if (step_ == Step::kNone) return;
    lock.unlock();
    execute();
    lock.lock();
  }
}

void Collector::execute() {
  const uint64_t begin_ns = setup_.clock->monotonic_ns();
  Step step = Step::kNone;
  {
    const std::scoped_lock lock(mutex_);
    step = step_;
  }
  status_ = step == Step::kFind     ? find_now()
            : step == Step::kCopy   ? copy_now()
            : step == Step::kRemove ? remove_now()
                                    : discard_now();
  totals_.busy_ns += setup_.clock->monotonic_ns() - begin_ns;
  {
    const std::scoped_lock lock(mutex_);
    step_ = Step::kNone;
    at_rest_.store(true, std::memory_order_release);
  }
  rest_.notify_all();
}

void Collector::find(Work work) {
  todo_ = std::move(work);
  begin(Step::kFind);
}

void Collector::copy(std::vector<EpochPlace> more) {
  PD_ASSERT(found_.compaction != nullptr);
  more_ = std::move(more);
  begin(Step::kCopy);
}

void Collector::remove(std::vector<SegmentUse> segments) {
  removing_ = std::move(segments);
  begin(Step::kRemove);
}

void Collector::discard() { begin(Step::kDiscard); }

Status Collector::find_now() {
  found_ = {};
  files_ = std::make_shared<SegmentSet>(setup_.device, setup_.files->store_id());
  Usage usage;
  StateWalker walker(files_);
  const auto add = [&](FramePlace commit) -> Status {
    if (interrupted_) return Error(Code::kBusy, "collecting was interrupted");
    const EpochState* const state = PD_TRY(walker.read(commit));
    usage.add(walker, *state);
    return Ok{};
  };
  for (const EpochPlace& epoch : todo_.epochs) start_reading(*files_, epoch.commit);
  for (const EpochPlace& epoch : todo_.epochs) PD_TRY(add(epoch.commit));
  for (const FramePlace& root : todo_.roots) PD_TRY(add(root));
  found_.live_bytes = usage.live_bytes();
  std::vector<SegmentUse> uses;
  for (const SegmentUse& use : PD_TRY(uses_of(*setup_.device, *files_, usage, todo_.end_segment))) {
    (use.live == 0 ? found_.dead : uses).push_back(use);
  }
  const bool delete_only = todo_.dead_first && !found_.dead.empty();
  std::vector<uint32_t> victims = choose_victims(uses, delete_only ? 0 : todo_.copy_bytes_max);
  found_.more = victims.size() < choose_victims(uses, UINT64_MAX).size();
  // On a full disk fewer segments at a time, or none: what is dead will be deleted all the same.
  while (!victims.empty()) {
    Status status = compact(victims, uses);
    if (status.ok() || status.error().code() != Code::kFull) return status;
    found_.short_of_space = true;
    victims.resize(victims.size() / 2);
  }
  return Ok{};
}

Status Collector::compact(std::vector<uint32_t> victims, const std::vector<SegmentUse>& uses) {
  uint64_t live = 0;
  for (const SegmentUse& use : uses) {
    if (std::find(victims.begin(), victims.end(), use.number) == victims.end()) continue;
    found_.victims.push_back(use);
    live += use.live;
  }
  LogWriter::Setup log = setup_.log;
  if (log.segment_bytes == 0) log.segment_bytes = segment_bytes_for(live);
  found_.compaction = std::make_unique<Compaction>(std::move(victims), files_, std::move(log));
  found_.compaction->log().set_catalog(todo_.catalog);
  more_ = todo_.epochs;
  Status status = copy_now();
  if (status.ok()) return status;
  PD_TRY(discard_now());
  return status;
}

Status Collector::copy_now() {
  Compaction& compaction = *found_.compaction;
  const uint64_t before = compaction.mover().bytes();
  PD_TRY(compaction.add(more_, interrupted_));
  totals_.bytes_copied += compaction.mover().bytes() - before;
  found_.end = compaction.log().place();
  return Ok{};
}

Status Collector::remove_now() {
  found_ = {};
  files_.reset();  // open files keep their space
  for (const SegmentUse& use : std::exchange(removing_, {})) {
    PD_TRY(setup_.device->remove(segment_name(use.number)));
    setup_.files->forget(use.number);
    setup_.log.space->allocated_bytes -= use.allocated;
    ++totals_.segments_deleted;
  }
  return Ok{};
}

Status Collector::discard_now() {
  found_.victims.clear();
  if (!found_.compaction) return Ok{};
  const auto compaction = std::move(found_.compaction);
  return compaction->log().rewind({});
}

}  // namespace perdure::store
