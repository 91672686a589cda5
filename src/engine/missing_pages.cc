#include "engine/missing_pages.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/clock.h"
#include "kernel/control_socket.h"
#include "kernel/memory.h"
#include "kernel/proc/read.h"

namespace perdure::engine {
namespace {

constexpr long kLookAgainNs = 500'000;
// Until all pages are there; then the program's forks and unmappings are the kernel's business
// alone again.
constexpr uint64_t kLookEveryNs = 5'000'000;

// In a stop: a turn of the pager takes some microseconds, if it has a processor.
constexpr int kTurnLooksMax = 400;
constexpr long kTurnLookNs = 50'000;

Result<bool> has_userfaultfds(pid_t pid) {
  const std::string folder = kernel::proc::path_of(pid, "fd");
  for (int fd : PD_TRY(kernel::proc::list_numbers(folder))) {
    Result<std::string> target = kernel::proc::read_link(folder + "/" + std::to_string(fd));
    if (target.ok() && target->starts_with("anon_inode:[userfaultfd]")) return true;
  }
  return false;
}

}  // namespace

Result<LazySettings> LazySettings::from_environment() {
  LazySettings settings;
  const char* text = std::getenv("PERDURE_LAZY");
  if (text == nullptr) return settings;
  for (std::string_view part : kernel::proc::split(text, ',')) {
    const size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    const auto value = equals == std::string_view::npos
                           ? std::nullopt
                           : kernel::proc::parse_unsigned(part.substr(equals + 1));
    if (!value) return Error(Code::kInvalid, "PERDURE_LAZY: no number in " + std::string(part));
    if (name == "mapping_pages") {
      settings.mapping_pages = *value;
    } else if (name == "space_pages") {
      settings.space_pages = *value;
    } else if (name == "delay_ms") {
      settings.delay_ms = *value;
    } else {
      return Error(Code::kInvalid, "PERDURE_LAZY: there is no setting " + std::string(name));
    }
  }
  return settings;
}

Result<std::unique_ptr<MissingPages>> MissingPages::create(
    std::map<ObjectId, memory::PageSet>&& saved) {
  using memory::PendingBook;
  auto missing = std::make_unique<MissingPages>();
  uint64_t words = 0;
  for (const auto& [space, pages] : saved) words += PendingBook::words_for(pages);
  missing->shared_bytes_ = sizeof(restore::PageProgress) + words * sizeof(PendingBook::Word);
  void* memory = mmap(nullptr, missing->shared_bytes_, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Error::system(errno, "map", "memory to share with the init");
  missing->progress_ = std::construct_at(static_cast<restore::PageProgress*>(memory));
  auto* word = reinterpret_cast<PendingBook::Word*>(missing->progress_ + 1);
  for (auto& [space, pages] : saved) {
    PendingBook::Word* const first = word;
    word += PendingBook::words_for(pages);
    missing->books_[space] = std::make_shared<PendingBook>(std::move(pages), first);
  }
  auto [ours, theirs] = PD_TRY(kernel::control_socket_pair());
  missing->ours_ = std::move(ours);
  missing->theirs_ = std::move(theirs);
  return missing;
}

std::unique_ptr<MissingPages> MissingPages::unknown() { return std::make_unique<MissingPages>(); }

MissingPages::~MissingPages() {
  if (progress_ != nullptr) (void)munmap(progress_, shared_bytes_);
}

Fd MissingPages::take_end() {
  ours_.reset();
  return std::move(theirs_);
}

bool MissingPages::may_save() const {
  return !books_.empty() && ours_.valid() && !progress_->pending.strayed.load();
}

// What the group did before it was stopped is in the books once a turn that is under way is over.
Status MissingPages::await_turn() const {
  for (int look = 0; look < kTurnLooksMax; ++look) {
    if (progress_->pending.turns.load() % 2 == 0) return {};
    const timespec pause{0, kTurnLookNs};
    (void)nanosleep(&pause, nullptr);
  }
  return Error(Code::kBusy, "the pager does not answer");
}

Result<memory::PageSet> MissingPages::pending(ObjectId space) {
  PD_TRY(await_turn());
  if (!may_save()) return Error(Code::kBusy, "pages of the restore are still missing");
  const auto book = books_.find(space);
  if (book == books_.end()) return memory::PageSet();
  // A process that has executed another program since has other memory now.
  uint64_t entry = 0;
  const Result<size_t> read = kernel::read_pagemap(
      pagemaps_.at(space), book->second->saved().runs().front().first, {&entry, 1});
  if (!read.ok() || *read == 0) {
    forbid_saving();
    return Error(Code::kBusy, "a process whose pages are missing executed another program");
  }
  return book->second->pending();
}

uint64_t MissingPages::left() const {
  return progress_ == nullptr ? 0 : progress_->pages_left.load(std::memory_order_relaxed);
}

std::optional<std::string> MissingPages::failure() const {
  if (progress_ == nullptr || !progress_->failed.load()) return std::nullopt;
  return std::string(progress_->failure);
}

Result<bool> MissingPages::settle(pid_t init) {
  next_look_ns_ = SystemClock().monotonic_ns() + kLookEveryNs;
  if (left() > 0) return false;
  ours_.reset();
  return !PD_TRY(has_userfaultfds(init));
}

Status MissingPages::wait(pid_t init) {
  for (;;) {
    if (PD_TRY(settle(init))) return {};
    if (auto why = failure()) return Error(Code::kGone, *why);
    const timespec pause{0, kLookAgainNs};
    (void)nanosleep(&pause, nullptr);
  }
}

}  // namespace perdure::engine
