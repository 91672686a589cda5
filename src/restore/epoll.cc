// epoll instances and their watches. A watch is keyed by a description and a number, not by a
// process: the builder adds it with the description at that number for a moment.
#include <fcntl.h>
#include <sys/epoll.h>

#include "kernel/event_files.h"
#include "kernel/file.h"
#include "restore/file_kinds.h"

namespace perdure::restore {
namespace {

// A number of the builder's own table, lent to a watch, and given back as it was.
class LentNumber {
 public:
  static Result<LentNumber> lend(int number, int first, int file) {
    Fd before;
    if (kernel::is_open(number)) before = PD_TRY(kernel::duplicate_above(number, first));
    const int flags = before.valid() ? PD_TRY(kernel::descriptor_flags(number)) : 0;
    PD_TRY(kernel::duplicate_to(file, number));
    return LentNumber(number, std::move(before), flags);
  }
  LentNumber(LentNumber&& other) noexcept
      : number_(std::exchange(other.number_, -1)),
        before_(std::move(other.before_)),
        flags_(other.flags_) {}
  LentNumber& operator=(LentNumber&&) = delete;
  ~LentNumber() {
    if (number_ < 0) return;
    if (!before_.valid()) {
      Fd::adopt(number_).reset();
      return;
    }
    PD_ASSERT(kernel::duplicate_to(before_.get(), number_).ok());
    PD_ASSERT(kernel::set_descriptor_flags(number_, flags_).ok());
  }

 private:
  LentNumber(int number, Fd before, int flags)
      : number_(number), before_(std::move(before)), flags_(flags) {}
  int number_;
  Fd before_;
  int flags_;
};

// A one-shot watch that has fired has no events left (EP_PRIVATE_BITS of the kernel).
bool is_spent(const object::EpollWatch& watch) {
  constexpr uint32_t kAlways = EPOLLERR | EPOLLHUP;
  constexpr uint32_t kPrivate = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
  return (watch.events() & EPOLLONESHOT) != 0 && (watch.events() & ~(kPrivate | kAlways)) == 0;
}

Status add_watches(const FileMaker& maker, int epoll, const object::Epoll& record, bool spent) {
  for (const object::EpollWatch& watch : record.watches()) {
    if (is_spent(watch) != spent) continue;
    const int file = PD_TRY(maker.made(ObjectId(watch.file())));
    const LentNumber number = PD_TRY(LentNumber::lend(watch.fd(), maker.first(), file));
    PD_TRY(kernel::epoll_add(epoll, watch.fd(), {watch.events(), watch.data()}));
  }
  return {};
}

Status fill(const FileMaker& maker, int epoll, const object::Epoll& record) {
  // Adding a watch arms it for hangups and errors again. Those that were spent are added first, so
  // that one whose file is hung up already can be spent again before any other watch is there to
  // lose an edge.
  PD_TRY(add_watches(maker, epoll, record, true));
  PD_TRY(kernel::epoll_drain(epoll));
  return add_watches(maker, epoll, record, false);
}

}  // namespace

Result<Fd> open_epoll() { return kernel::make_epoll(); }

Status add_epoll_watches(const FileMaker& maker) {
  for (const auto& [id, record] : maker.graph().open_files) {
    if (!record.has_epoll()) continue;
    const int epoll = PD_TRY(maker.made(id));
    PD_TRY_WITHIN("restore an epoll instance", fill(maker, epoll, record.epoll()));
  }
  return {};
}

}  // namespace perdure::restore
