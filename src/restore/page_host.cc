#include "restore/page_host.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "kernel/file.h"
#include "kernel/proc/read.h"
#include "restore/lazy_space.h"

namespace perdure::restore {
namespace {

constexpr const char* kLastPid = "/proc/sys/kernel/ns_last_pid";
// Below this a PID namespace never starts over (RESERVED_PIDS in the kernel).
constexpr pid_t kFirstPid = 300;
// Epochs in more segments are read through the page cache: their descriptors are many already.
constexpr size_t kDirectMax = 256;
// Of many address spaces and segments.
constexpr uint64_t kDescriptors = 1024;
// Those that read, and the one that places.
constexpr pid_t kThreads = memory::ReadAhead::kThreads + 1;

class StoredPages final : public memory::PageSource {
 public:
  StoredPages(const store::EpochReader& reader, ObjectId space) : reader_(reader), space_(space) {}
  Status read(uint64_t first_page, MutableBytes out) override {
    return reader_.read_range(space_, first_page, out);
  }
  Status stream(uint64_t first_page, MutableBytes out) override {
    return reader_.stream_range(space_, first_page, out);
  }
  void announce(uint64_t first_page, uint64_t pages) override {
    std::vector<store::PageExtent> extents = reader_.extents(space_, first_page, pages);
    std::erase_if(extents, store::EpochReader::is_streamed);
    if (!extents.empty()) reader_.read_ahead(std::move(extents));
  }

 private:
  const store::EpochReader& reader_;
  ObjectId space_;
};

Result<std::string> last_pid() {
  const std::string text = PD_TRY(kernel::proc::read_text(kLastPid));
  return std::string(kernel::proc::trimmed(text));
}

Status set_last_pid(const std::string& number) {
  return kernel::proc::write_text(kLastPid, number);
}

// The first of kThreads numbers in a row that nobody needs.
pid_t free_numbers(const std::set<pid_t>& taken) {
  pid_t first = kFirstPid;
  for (auto at = taken.lower_bound(first); at != taken.end() && *at < first + kThreads;
       at = taken.lower_bound(first)) {
    first = *at + 1;
  }
  return first;
}

memory::PageSet set_of(const std::vector<store::PageExtent>& extents) {
  memory::PageSet pages;
  for (const store::PageExtent& extent : extents) pages.add({extent.first_page, extent.count});
  return pages;
}

}  // namespace

PageHost::PageHost(std::set<pid_t> taken, const store::EpochReader& reader,
                   memory::Pager::Options options, PageProgress* progress, PendingBooks books)
    : taken_(std::move(taken)),
      reader_(reader),
      options_(std::move(options)),
      progress_(*progress),
      books_(std::move(books)),
      next_number_(free_numbers(taken_)) {}

PageHost::~PageHost() {
  // Its threads end with the process.
  if (thread_.joinable()) thread_.detach();
}

Result<std::unique_ptr<PageHost>> PageHost::create(std::set<pid_t> taken,
                                                   const store::EpochReader& reader,
                                                   memory::Pager::Options options,
                                                   PageProgress* progress, PendingBooks books) {
  const std::string number = PD_TRY(last_pid());
  PD_TRY(set_last_pid(number));
  return std::make_unique<PageHost>(std::move(taken), reader, std::move(options), progress,
                                    std::move(books));
}

std::shared_ptr<memory::PageSource> PageHost::source_of(ObjectId space) {
  std::shared_ptr<memory::PageSource>& source = sources_[space];
  if (source == nullptr) source = std::make_shared<StoredPages>(reader_, space);
  return source;
}

Status PageHost::make_threads(pid_t count, const std::function<Status()>& make) {
  const std::string before = PD_TRY(last_pid());
  PD_TRY(set_last_pid(std::to_string(next_number_ - 1)));
  PD_TRY(make());
  next_number_ += count;
  PD_TRY(set_last_pid(before));
  for (pid_t number : PD_TRY(kernel::proc::list_numbers("/proc/self/task"))) {
    if (taken_.contains(number))
      return Error(Code::kExists, "the pager has a number that the group needs");
  }
  return {};
}

Status PageHost::try_reading(const std::vector<HotRun>& hot) {
  // While there is one thread it costs nothing to grow the table; later 10 to 20 ms.
  kernel::reserve_descriptors(kDescriptors);
  for (const HotRun& each : hot) {
    for (const store::PageExtent& extent :
         reader_.extents(each.space, each.run.first, each.run.count)) {
      PD_TRY(open_directly(extent.location.segment));
    }
  }
  const auto make_readers = [this]() -> Status {
    ahead_ = PD_TRY(memory::ReadAhead::create());
    return {};
  };
  PD_TRY(make_threads(memory::ReadAhead::kThreads, make_readers));
  for (const HotRun& each : hot) {
    if (ahead_->full()) {
      hot_[each.space].add(each.run);
      continue;
    }
    ahead_->ask(source_of(each.space), each.run.first, each.run.count);
    asked_[each.space].add(each.run);
  }
  return {};
}

Status PageHost::open_directly(uint32_t segment) {
  if (direct_.contains(segment) || direct_.size() >= kDirectMax) return {};
  direct_.insert(segment);
  segments_.push_back(PD_TRY(reader_.direct_fd(segment)));
  return {};
}

Status PageHost::take(const std::string& message, Fd uffd) {
  const LazySpace lazy = PD_TRY(decode_lazy_space(message));
  memory::Pager::Space space;
  space.uffd = std::move(uffd);
  space.source = source_of(lazy.space);
  std::vector<store::PageExtent> all;
  std::set<uint32_t> used;
  for (const memory::PageRun& run : lazy.ranges) {
    for (const store::PageExtent& extent : reader_.extents(lazy.space, run.first, run.count)) {
      used.insert(extent.location.segment);
      if (extent.location.slot == 0 && store::EpochReader::is_streamed(extent))
        space.starts.push_back(extent.first_page);
      all.push_back(extent);
    }
  }
  for (uint32_t segment : used) {
    segments_.push_back(PD_TRY(reader_.segment_fd(segment)));
    PD_TRY(open_directly(segment));
  }
  space.pages = set_of(all);
  if (const auto book = books_.find(lazy.space); book != books_.end()) {
    space.book = book->second;
    PD_ASSERT(space.book->saved() == space.pages);
  }
  space.asked = asked_[lazy.space];
  space.hot = hot_[lazy.space];
  spaces_.push_back(std::move(space));
  return {};
}

Status PageHost::start() {
  PD_TRY(std::move(begun_));
  pager_ = PD_TRY(memory::Pager::create(std::move(spaces_), std::move(ahead_), std::move(options_),
                                        &progress_.pages_left));
  return make_threads(1, [this]() -> Status {
    thread_ = std::thread([this] {
      Status done = pager_->run();
      if (!done.ok()) end_group(done.error());
      close_segments();
    });
    return {};
  });
}

// Nothing reads the epoch any more, and a file that the store has deleted takes space until then.
void PageHost::close_segments() {
  const std::lock_guard lock(mutex_);
  std::sort(segments_.begin(), segments_.end());
  segments_.erase(std::unique(segments_.begin(), segments_.end()), segments_.end());
  for (int segment : segments_) Fd::adopt(segment).reset();
}

void PageHost::end_group(const Error& error) {
  const std::string text = "memory could not be loaded, so the group was ended: " + error.message();
  std::strncpy(progress_.failure, text.c_str(), sizeof(progress_.failure) - 1);
  progress_.failed.store(true);
  // Everybody but us (kill(2)), while the descriptors are open still.
  (void)kill(-1, SIGKILL);
  _exit(1);
}

void PageHost::leave_builder(const std::function<void(std::vector<int>)>& work) {
  if (pager_ == nullptr) {
    ahead_.reset();
    return work({});
  }
  const std::lock_guard lock(mutex_);
  pager_->begin_fill();
  pager_->with_descriptors([&](std::vector<int> numbers) {
    numbers.insert(numbers.end(), segments_.begin(), segments_.end());
    work(std::move(numbers));
  });
}

}  // namespace perdure::restore
