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
#include "kernel/proc/read.h"

namespace perdure::engine {
namespace {

constexpr long kLookAgainNs = 500'000;
// Until all pages are there; then the program's forks and unmappings are the kernel's business
// alone again.
constexpr uint64_t kLookEveryNs = 5'000'000;

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

Result<std::unique_ptr<MissingPages>> MissingPages::create() {
  auto missing = std::make_unique<MissingPages>();
  void* memory = mmap(nullptr, sizeof(restore::PageProgress), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Error::system(errno, "map", "memory to share with the init");
  missing->progress_ = std::construct_at(static_cast<restore::PageProgress*>(memory));
  auto [ours, theirs] = PD_TRY(kernel::control_socket_pair());
  missing->ours_ = std::move(ours);
  missing->theirs_ = std::move(theirs);
  return missing;
}

std::unique_ptr<MissingPages> MissingPages::unknown() { return std::make_unique<MissingPages>(); }

MissingPages::~MissingPages() {
  if (progress_ != nullptr) (void)munmap(progress_, sizeof(restore::PageProgress));
}

Fd MissingPages::take_end() {
  ours_.reset();
  return std::move(theirs_);
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
