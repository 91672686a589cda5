#include "store/sim_device.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "store/format.h"

namespace perdure::store {
namespace {

constexpr size_t kSector = 512;

Error no_power() { return Error(Code::kIo, "the simulated disk has no power"); }

void write_into(std::vector<uint8_t>& content, uint64_t offset, Bytes bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  std::memcpy(content.data() + offset, bytes.data(), bytes.size());
}

}  // namespace

class SimFile final : public File {
 public:
  SimFile(std::shared_ptr<SimDisk> disk, std::shared_ptr<SimDisk::Inode> inode, std::string name,
          uint64_t generation)
      : disk_(std::move(disk)),
        inode_(std::move(inode)),
        name_(std::move(name)),
        generation_(generation) {}

  Result<size_t> read_at(uint64_t offset, MutableBytes out) const override {
    const std::scoped_lock lock(disk_->mutex_);
    PD_TRY(disk_->alive_locked(generation_));
    if (offset >= inode_->now.size()) return size_t{0};
    const size_t size = std::min<size_t>(out.size(), inode_->now.size() - offset);
    std::memcpy(out.data(), inode_->now.data() + offset, size);
    return size;
  }

  Status write_at(uint64_t offset, Bytes data, Through /*through*/) override {
    PD_ASSERT(offset % kBlockSize == 0 && data.size() % kBlockSize == 0 &&
              reinterpret_cast<uintptr_t>(data.data()) % kBlockSize == 0);
    const std::scoped_lock lock(disk_->mutex_);
    const Status status = disk_->change_locked(generation_);
    // A write that the power cuts off may yet have reached some sectors.
    if (status.ok() || disk_->crashed_) {
      inode_->unsynced.push_back({offset, std::vector<uint8_t>(data.begin(), data.end())});
    }
    PD_TRY(status);
    write_into(inode_->now, offset, data);
    return Ok{};
  }

  Status sync() override {
    const std::scoped_lock lock(disk_->mutex_);
    PD_TRY(disk_->change_locked(generation_));
    inode_->synced = inode_->now;
    inode_->unsynced.clear();
    return Ok{};
  }

  Status allocate(uint64_t size) override {
    const std::scoped_lock lock(disk_->mutex_);
    PD_TRY(disk_->change_locked(generation_));
    const uint64_t more = size - std::min<uint64_t>(size, inode_->now.size());
    if (disk_->allocated_locked() + more > disk_->capacity_) {
      return Error(Code::kFull, name_ + ": the simulated disk is full");
    }
    if (inode_->now.size() < size) inode_->now.resize(size);
    return Ok{};
  }

  Result<uint64_t> size() const override {
    const std::scoped_lock lock(disk_->mutex_);
    PD_TRY(disk_->alive_locked(generation_));
    return uint64_t{inode_->now.size()};
  }
  const std::string& name() const override { return name_; }

 private:
  std::shared_ptr<SimDisk> disk_;
  std::shared_ptr<SimDisk::Inode> inode_;
  std::string name_;
  uint64_t generation_;
};

class SimDevice final : public Device {
 public:
  SimDevice(std::shared_ptr<SimDisk> disk, uint64_t generation)
      : disk_(std::move(disk)), generation_(generation) {}

  Status create() override { return Ok{}; }

  Result<std::vector<std::string>> list() override {
    const std::scoped_lock lock(disk_->mutex_);
    PD_TRY(disk_->alive_locked(generation_));
    std::vector<std::string> names;
    for (const auto& [file_name, inode] : disk_->names_) names.push_back(file_name);
    return names;
  }

  Result<std::shared_ptr<File>> open(const std::string& file_name, FileMode mode) override {
    const std::scoped_lock lock(disk_->mutex_);
    PD_TRY(disk_->alive_locked(generation_));
    const auto at = disk_->names_.find(file_name);
    if (mode == FileMode::kCreate) {
      if (at != disk_->names_.end()) return Error(Code::kExists, file_name + " exists");
      PD_TRY(disk_->change_locked(generation_));
      auto inode = std::make_shared<SimDisk::Inode>();
      disk_->names_[file_name] = inode;
      disk_->unsynced_names_.push_back({file_name, inode});
      return file(file_name, std::move(inode));
    }
    if (at == disk_->names_.end()) return Error(Code::kNotFound, file_name + " does not exist");
    return file(file_name, at->second);
  }

  Status remove(const std::string& file_name) override {
    const std::scoped_lock lock(disk_->mutex_);
    PD_TRY(disk_->change_locked(generation_));
    if (disk_->names_.erase(file_name) == 0) {
      return Error(Code::kNotFound, file_name + " does not exist");
    }
    disk_->unsynced_names_.push_back({file_name, nullptr});
    return Ok{};
  }

  Status sync_names() override {
    const std::scoped_lock lock(disk_->mutex_);
    PD_TRY(disk_->change_locked(generation_));
    disk_->synced_names_ = disk_->names_;
    disk_->unsynced_names_.clear();
    return Ok{};
  }

  Result<std::unique_ptr<DeviceLock>> lock() override { return std::make_unique<DeviceLock>(); }
  Result<uint64_t> free_bytes() override {
    const std::scoped_lock lock(disk_->mutex_);
    return disk_->capacity_ - std::min(disk_->capacity_, disk_->allocated_locked());
  }
  const std::string& name() const override { return name_; }

 private:
  std::shared_ptr<File> file(const std::string& file_name, std::shared_ptr<SimDisk::Inode> inode) {
    return std::make_shared<SimFile>(disk_, std::move(inode), file_name, generation_);
  }

  std::shared_ptr<SimDisk> disk_;
  uint64_t generation_;
  std::string name_ = "simulated";
};

std::shared_ptr<SimDisk> SimDisk::create(uint64_t seed) {
  return std::shared_ptr<SimDisk>(new SimDisk(seed));  // NOLINT: private constructor
}

std::shared_ptr<Device> SimDisk::device() {
  const std::scoped_lock lock(mutex_);
  return std::make_shared<SimDevice>(shared_from_this(), power_generation_);
}

uint64_t SimDisk::operations() const {
  const std::scoped_lock lock(mutex_);
  return operations_;
}

void SimDisk::crash_at(uint64_t operation) {
  const std::scoped_lock lock(mutex_);
  crash_at_ = operation;
}

bool SimDisk::crashed() const {
  const std::scoped_lock lock(mutex_);
  return crashed_;
}

void SimDisk::fail_at(uint64_t operation, Code code) {
  const std::scoped_lock lock(mutex_);
  fail_at_ = {operation, code};
}

void SimDisk::set_capacity(uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  capacity_ = bytes;
}

Status SimDisk::alive_locked(uint64_t power_generation) const {
  if (crashed_ || power_generation != power_generation_) return no_power();
  return Ok{};
}

Status SimDisk::change_locked(uint64_t power_generation) {
  PD_TRY(alive_locked(power_generation));
  const uint64_t operation = operations_++;
  if (operation == crash_at_) {
    crashed_ = true;
    return no_power();
  }
  if (fail_at_ && fail_at_->first == operation) {
    return Error(fail_at_->second,
                 "the simulated disk fails operation " + std::to_string(operation));
  }
  return Ok{};
}

uint64_t SimDisk::allocated_locked() const {
  uint64_t bytes = 0;
  for (const auto& [file_name, inode] : names_) bytes += inode->now.size();
  return bytes;
}

// One write as it may be found after the power went.
void SimDisk::keep_sectors_locked(const Write& write, std::vector<uint8_t>& content) {
  const size_t sectors = write.bytes.size() / kSector;
  const uint64_t style =
      random_() % 5;  // lost, whole, a front part, sectors at random, with a spoilt one
  if (style == 0) return;
  const size_t front = style == 2 ? random_() % (sectors + 1) : sectors;
  for (size_t sector = 0; sector < front; ++sector) {
    if (style >= 3 && random_() % 2 == 0) continue;
    write_into(content, write.offset + sector * kSector,
               Bytes(write.bytes).subspan(sector * kSector, kSector));
  }
  if (style == 4) {
    const uint64_t at = write.offset + random_() % sectors * kSector;
    if (content.size() < at + kSector) content.resize(at + kSector);
    for (size_t byte = 0; byte < kSector; ++byte)
      content[at + byte] = static_cast<uint8_t>(random_());
  }
}

void SimDisk::lose_power_locked(Inode& inode) {
  std::shuffle(inode.unsynced.begin(), inode.unsynced.end(), random_);
  std::vector<uint8_t> content = inode.synced;
  if (random_() % 2 == 0 && content.size() < inode.now.size()) content.resize(inode.now.size());
  for (const Write& write : inode.unsynced) keep_sectors_locked(write, content);
  inode.unsynced.clear();
  inode.now = content;
  inode.synced = std::move(content);
}

void SimDisk::power_cycle() {
  const std::scoped_lock lock(mutex_);
  names_ = synced_names_;
  for (const NameChange& change : unsynced_names_) {
    if (random_() % 3 == 0) continue;
    if (change.inode) {
      names_[change.name] = change.inode;
    } else {
      names_.erase(change.name);
    }
  }
  unsynced_names_.clear();
  synced_names_ = names_;
  for (const auto& [file_name, inode] : names_) lose_power_locked(*inode);
  crashed_ = false;
  crash_at_ = UINT64_MAX;
  fail_at_.reset();
  ++power_generation_;
}

std::vector<uint8_t>& SimDisk::content(const std::string& file_name) {
  const std::scoped_lock lock(mutex_);
  const auto at = names_.find(file_name);
  PD_ASSERT(at != names_.end());
  return at->second->now;
}

std::vector<std::string> SimDisk::names() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [file_name, inode] : names_) names.push_back(file_name);
  return names;
}

std::shared_ptr<SimDisk> SimDisk::copy(uint64_t seed) const {
  auto disk = create(seed);
  const std::scoped_lock lock(mutex_);
  for (const auto& [file_name, inode] : names_) {
    auto twin = std::make_shared<Inode>();
    twin->now = twin->synced = inode->now;
    disk->names_[file_name] = std::move(twin);
  }
  disk->synced_names_ = disk->names_;
  return disk;
}

}  // namespace perdure::store
