// SimDisk: a disk in memory that does to unsynced writes what real ones may do when the power goes:
// lose them, keep them in another order, keep some sectors of them, or spoil the sector that was
// under way. Everything follows from the seed. A Device of it may be used by several threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "store/device.h"

namespace perdure::store {

class SimDisk : public std::enable_shared_from_this<SimDisk> {
 public:
  static std::shared_ptr<SimDisk> create(uint64_t seed);

  // A view of the disk; all share its content.
  std::shared_ptr<Device> device();

  // Changing operations (writes, syncs, allocations, creations, removals) so far.
  uint64_t operations() const;
  // The power goes during the operation with this number (counted from 0, as operations() does):
  // from then on everything fails, until power_cycle().
  void crash_at(uint64_t operation);
  bool crashed() const;
  // What was not synced survives in parts. Devices opened before stay dead; locks are gone.
  void power_cycle();

  // One operation fails, and changes nothing.
  void fail_at(uint64_t operation, Code code);
  // Allocations beyond this fail with kFull.
  void set_capacity(uint64_t bytes);

  // Direct access to the content, to damage it. Both copies.
  std::vector<uint8_t>& content(const std::string& name);
  std::vector<std::string> names() const;
  // A disk with the same content, synced.
  std::shared_ptr<SimDisk> copy(uint64_t seed) const;

 private:
  friend class SimFile;
  friend class SimDevice;
  struct Write {
    uint64_t offset;
    std::vector<uint8_t> bytes;
  };
  struct Inode {
    std::vector<uint8_t> now;
    std::vector<uint8_t> synced;
    std::vector<Write> unsynced;
  };
  struct NameChange {
    std::string name;
    std::shared_ptr<Inode> inode;  // null: removed
  };
  explicit SimDisk(uint64_t seed) : random_(seed) {}

  // Under mutex_: counts a changing operation; why it fails, if it does.
  Status change_locked(uint64_t power_generation);
  Status alive_locked(uint64_t power_generation) const;
  uint64_t allocated_locked() const;
  void lose_power_locked(Inode& inode);
  void keep_sectors_locked(const Write& write, std::vector<uint8_t>& content);

  mutable std::mutex mutex_;  // everything below
  std::mt19937_64 random_;
  std::map<std::string, std::shared_ptr<Inode>> names_;
  std::map<std::string, std::shared_ptr<Inode>> synced_names_;
  std::vector<NameChange> unsynced_names_;
  uint64_t operations_ = 0;
  uint64_t crash_at_ = UINT64_MAX;
  bool crashed_ = false;
  uint64_t power_generation_ = 1;
  std::optional<std::pair<uint64_t, Code>> fail_at_;
  uint64_t capacity_ = UINT64_MAX;
};

}  // namespace perdure::store
