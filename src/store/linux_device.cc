#include <atomic>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "base/fd.h"
#include "kernel/device_file.h"
#include "store/device.h"
#include "store/format.h"

namespace perdure::store {
namespace {

constexpr const char* kLockName = "lock";

class LinuxFile final : public File {
 public:
  // cached: a second, buffered descriptor of the same file; may be invalid.
  LinuxFile(Fd fd, Fd cached, std::string path)
      : fd_(std::move(fd)), cached_(std::move(cached)), path_(std::move(path)) {}

  Result<size_t> read_at(uint64_t offset, MutableBytes out) const override {
    return PD_TRY_WITHIN(path_, kernel::read_file_at(fd_, offset, out));
  }
  Status write_at(uint64_t offset, Bytes data, Through through) override {
    PD_ASSERT(offset % kBlockSize == 0 && data.size() % kBlockSize == 0);
    const bool cached = cached_.valid() && through == Through::kCache;
    PD_TRY_WITHIN(path_, kernel::write_file_at(cached ? cached_ : fd_, offset, data));
    if (cached) kernel::start_writing(cached_, offset, data.size());
    return Ok{};
  }
  Status sync() override {
    PD_TRY_WITHIN(path_, kernel::sync_file_data(fd_));
    return Ok{};
  }
  Status allocate(uint64_t size) override {
    PD_TRY_WITHIN(path_, kernel::allocate_file(fd_, size));
    return Ok{};
  }
  Result<uint64_t> size() const override { return PD_TRY_WITHIN(path_, kernel::file_size(fd_)); }
  bool read_directly(uint64_t offset, MutableBytes head, MutableBytes rest) const override {
    const auto is_aligned = [](MutableBytes part) {
      return reinterpret_cast<uintptr_t>(part.data()) % kBlockSize == 0 &&
             part.size() % kBlockSize == 0;
    };
    return offset % kBlockSize == 0 && is_aligned(head) && is_aligned(rest) &&
           direct_number_ >= 0 &&
           !kernel::is_mostly_cached(fd_, offset, head.size() + rest.size()) &&
           kernel::read_file_directly(direct_, offset, head, rest);
  }
  int direct_descriptor() const override {
    std::call_once(reopened_, [this] {
      direct_ = kernel::reopen_directly(fd_);
      if (direct_.valid()) direct_number_ = direct_.get();
    });
    return direct_number_;
  }
  int descriptor() const override { return fd_.get(); }
  const std::string& name() const override { return path_; }

 private:
  Fd fd_;
  Fd cached_;
  mutable std::once_flag reopened_;
  mutable Fd direct_;
  mutable std::atomic<int> direct_number_ = -1;
  std::string path_;
};

class LinuxLock final : public DeviceLock {
 public:
  explicit LinuxLock(Fd fd) : fd_(std::move(fd)) {}

 private:
  Fd fd_;
};

// The pid that the lock file names, as text; empty if it names none.
std::string holder_of(const Fd& lock_file) {
  uint8_t text[16] = {};
  auto size = kernel::read_file_at(lock_file, 0, MutableBytes(text, sizeof(text) - 1));
  if (!size.ok()) return {};
  std::string pid(reinterpret_cast<const char*>(text), *size);
  return pid.substr(0, pid.find_first_not_of("0123456789"));
}

class LinuxDevice final : public Device {
 public:
  explicit LinuxDevice(std::string directory) : directory_(std::move(directory)) {}

  Status create() override {
    if (PD_TRY_WITHIN(directory_, kernel::make_directory(directory_))) {
      const size_t slash = directory_.find_last_of('/', directory_.find_last_not_of('/'));
      const std::string parent = slash == std::string::npos ? "." : directory_.substr(0, slash + 1);
      PD_TRY_WITHIN(parent, kernel::sync_directory(parent));
    }
    return Ok{};
  }

  Result<std::vector<std::string>> list() override {
    return PD_TRY_WITHIN(directory_, kernel::list_directory(directory_));
  }

  Result<std::shared_ptr<File>> open(const std::string& file_name, FileMode mode) override {
    const std::string path = path_of(file_name);
    const auto open_for = mode == FileMode::kRead    ? kernel::OpenFor::kRead
                          : mode == FileMode::kWrite ? kernel::OpenFor::kWrite
                                                     : kernel::OpenFor::kCreate;
    const auto caching =
        mode == FileMode::kRead ? kernel::Caching::kBuffered : kernel::Caching::kDirectIfPossible;
    Fd fd = PD_TRY_WITHIN(path, kernel::open_disk_file(path, open_for, caching));
    Fd cached;
    if (mode != FileMode::kRead) {
      cached = PD_TRY_WITHIN(
          path, kernel::open_disk_file(path, kernel::OpenFor::kWrite, kernel::Caching::kBuffered));
    }
    return std::make_shared<LinuxFile>(std::move(fd), std::move(cached), path);
  }

  Status remove(const std::string& file_name) override {
    PD_TRY_WITHIN(path_of(file_name), kernel::remove_file(path_of(file_name)));
    return Ok{};
  }

  Status sync_names() override {
    PD_TRY_WITHIN(directory_, kernel::sync_directory(directory_));
    return Ok{};
  }

  static constexpr size_t kLockBytes = 12;
  Result<std::unique_ptr<DeviceLock>> lock() override {
    const std::string path = path_of(kLockName);
    Fd fd = PD_TRY_WITHIN(path, kernel::open_lock_file(path));
    if (!PD_TRY_WITHIN(path, kernel::try_lock_exclusive(fd))) {
      const std::string pid = holder_of(fd);
      return Error(Code::kBusy, "store " + directory_ + " is being written by pid " +
                                    (pid.empty() ? "(unknown)" : pid))
          .with_remedy("let that engine finish, or end it first");
    }
    // Of one width, so that nothing is to be cut off: ext4's truncate waits for the journal, up to
    // 6 ms.
    std::string pid = std::to_string(kernel::own_pid());
    pid.resize(kLockBytes - 1, ' ');
    pid += '\n';
    PD_TRY_WITHIN(path,
                  kernel::write_file_at(
                      fd, 0, Bytes(reinterpret_cast<const uint8_t*>(pid.data()), pid.size())));
    return std::unique_ptr<DeviceLock>(std::make_unique<LinuxLock>(std::move(fd)));
  }

  Result<uint64_t> free_bytes() override {
    return PD_TRY_WITHIN(directory_, kernel::free_space(directory_));
  }
  const std::string& name() const override { return directory_; }

 private:
  std::string path_of(const std::string& file_name) const { return directory_ + "/" + file_name; }

  std::string directory_;
};

}  // namespace

std::unique_ptr<Device> linux_device(std::string directory) {
  return std::make_unique<LinuxDevice>(std::move(directory));
}

}  // namespace perdure::store
