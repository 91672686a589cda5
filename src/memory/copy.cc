#include "memory/copy.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/fd.h"
#include "base/limits.h"
#include "kernel/memory.h"

namespace perdure::memory {

struct Copier::Buffer {
  static constexpr size_t kPages = kBatchBytes / kPageSize;
  alignas(kPageSize) uint8_t bytes[kBatchBytes];
  // One element for each piece: a run, or the part of one that fits.
  std::vector<PageRun> pieces;
  std::vector<iovec> remote;
};

namespace {

// Reads pages through /proc/PID/mem, which process_vm_readv refused; opened on first need.
class ForcedReader {
 public:
  explicit ForcedReader(pid_t pid) : pid_(pid) {}
  // Fills `into` from page `first` on; adds to `unreadable` what cannot be read.
  Status read(uint64_t first, MutableBytes into, PageSet& unreadable) {
    if (!mem_.valid()) mem_ = PD_TRY(kernel::open_proc_file(pid_, "mem", O_RDONLY));
    size_t done = 0;
    while (done < into.size()) {
      RemoteAddr address((first << kPageShift) + done);
      Result<size_t> got = kernel::read_process_mem(mem_, address, into.subspan(done));
      if (!got.ok() && got.error().code() != Code::kIo) return std::move(got).error();
      if (got.ok() && *got == 0)
        return Error(Code::kGone, "pid " + std::to_string(pid_) + " has ended");
      size_t pages = got.ok() ? *got >> kPageShift : 0;
      if (pages == 0) {
        unreadable.add(PageRun{address.value >> kPageShift, 1});
        pages = 1;
      }
      done += pages << kPageShift;
    }
    return {};
  }

 private:
  pid_t pid_;
  Fd mem_;
};

// Calls the sink for the parts of a piece that were read.
Status deliver(PageRun piece, const uint8_t* bytes, const PageSet& unreadable,
               const PageSink& sink) {
  if (unreadable.empty()) return sink(piece.first, Bytes(bytes, piece.count << kPageShift));
  PageSet whole;
  whole.add(piece);
  PageSet readable = whole.without(unreadable);
  for (PageRun run : readable.runs()) {
    PD_TRY(sink(run.first,
                Bytes(bytes + ((run.first - piece.first) << kPageShift), run.count << kPageShift)));
  }
  return {};
}

}  // namespace

Copier::Copier(std::unique_ptr<Buffer> buffer) : buffer_(std::move(buffer)) {}
Copier::Copier(Copier&&) noexcept = default;
Copier& Copier::operator=(Copier&&) noexcept = default;
Copier::~Copier() = default;

Result<Copier> Copier::create(Populate populate) {
  auto buffer = std::make_unique_for_overwrite<Buffer>();
  if (populate == Populate::kNow) std::memset(buffer->bytes, 0, sizeof(buffer->bytes));
  buffer->pieces.reserve(Buffer::kPages);
  buffer->remote.reserve(Buffer::kPages);
  return Copier(std::move(buffer));
}

Result<PageSet> Copier::copy(pid_t pid, const PageSet& pages, const PageSink& sink, Access access,
                             const PageRoom& room, const PageCheck& check) {
  PageSet unreadable;
  ForcedReader forced(pid);
  Buffer& buffer = *buffer_;
  MutableBytes into;
  size_t used = 0;  // bytes of it
  auto begin = [&]() -> Status {
    into = MutableBytes(buffer.bytes, kBatchBytes);
    if (room) into = PD_TRY(room());
    PD_ASSERT(into.size() >= kPageSize);
    into = into.first(std::min(into.size(), kBatchBytes));
    return {};
  };
  auto flush = [&]() -> Status {
    Result<size_t> got = size_t{0};
    if (access == Access::kFast) {
      got = kernel::read_process(pid, buffer.remote, into.first(used));
    }
    if (!got.ok() && got.error().code() != Code::kIo) return std::move(got).error();
    size_t valid = got.ok() ? *got & ~(kPageSize - 1) : 0;
    size_t at = 0;
    for (PageRun piece : buffer.pieces) {
      size_t size = piece.count << kPageShift;
      size_t have = std::min(size, valid - std::min(valid, at));
      if (have < size) {
        PD_TRY(forced.read(piece.first + (have >> kPageShift), into.subspan(at + have, size - have),
                           unreadable));
      }
      at += size;
    }
    if (check) unreadable = unreadable.united(PD_TRY(check(buffer.pieces)));
    at = 0;
    for (PageRun piece : buffer.pieces) {
      PD_TRY(deliver(piece, into.data() + at, unreadable, sink));
      at += piece.count << kPageShift;
    }
    PD_ASSERT(at == used);
    buffer.pieces.clear();
    buffer.remote.clear();
    used = 0;
    return {};
  };
  buffer.pieces.clear();
  buffer.remote.clear();
  for (const PageRun& run : pages.runs()) {
    for (uint64_t page = run.first; page < run.end();) {
      if (used == 0) PD_TRY(begin());
      uint64_t count = std::min<uint64_t>(run.end() - page, (into.size() - used) >> kPageShift);
      buffer.pieces.push_back(PageRun{page, count});
      buffer.remote.push_back(
          iovec{reinterpret_cast<void*>(page << kPageShift), count << kPageShift});
      used += count << kPageShift;
      page += count;
      if (used == into.size()) PD_TRY(flush());
    }
  }
  if (used > 0) PD_TRY(flush());
  return unreadable;
}

}  // namespace perdure::memory
