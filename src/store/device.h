// Device: what the store needs of a directory on a disk, so that a simulated disk can tear, drop,
// reorder and corrupt what was not synced. Invariant for implementations: what was written before a
// successful sync() survives a loss of power; what was not may survive in any part and order. A
// created or removed name survives after sync_names(). Both may be used by several threads at
// once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace perdure::store {

// Which way bytes take to the disk. Through the page cache they are copied, and are in memory for
// whoever reads them next.
enum class Through : uint8_t { kDirect, kCache };

class File {
 public:
  virtual ~File() = default;
  // Bytes read: less than out.size() only at the end of the file.
  virtual Result<size_t> read_at(uint64_t offset, MutableBytes out) const = 0;
  // offset, data.size() and data.data() are multiples of kBlockSize (direct I/O).
  virtual Status write_at(uint64_t offset, Bytes data, Through through) = 0;
  virtual Status sync() = 0;
  // Makes the file this large, with its space reserved: later writes inside it do not run out of
  // space.
  virtual Status allocate(uint64_t size) = 0;
  virtual Result<uint64_t> size() const = 0;
  // Reads past the page cache what is not in it, into two parts that follow each other in the file,
  // all multiples of kBlockSize and so aligned. False if that cannot be: then read_at() does it.
  virtual bool read_directly(uint64_t /*offset*/, MutableBytes /*head*/,
                             MutableBytes /*rest*/) const {
    return false;
  }
  // Opens what read_directly() uses from then on; -1 if it cannot.
  virtual int direct_descriptor() const { return -1; }
  // For pread(2) by others (buffered, read-only); -1 if there is none.
  virtual int descriptor() const { return -1; }
  // The path, for messages.
  virtual const std::string& name() const = 0;
};

enum class FileMode : uint8_t { kRead, kWrite, kCreate };

// Held exclusively as long as it lives.
class DeviceLock {
 public:
  virtual ~DeviceLock() = default;
};

class Device {
 public:
  virtual ~Device() = default;
  // Makes the directory if there is none.
  virtual Status create() = 0;
  virtual Result<std::vector<std::string>> list() = 0;
  virtual Result<std::shared_ptr<File>> open(const std::string& name, FileMode mode) = 0;
  virtual Status remove(const std::string& name) = 0;
  virtual Status sync_names() = 0;
  // kBusy names the holder.
  virtual Result<std::unique_ptr<DeviceLock>> lock() = 0;
  virtual Result<uint64_t> free_bytes() = 0;
  // The directory, for messages.
  virtual const std::string& name() const = 0;
};

// A directory of a Linux file system. Files are written with direct I/O where the file system
// allows it.
std::unique_ptr<Device> linux_device(std::string directory);

}  // namespace perdure::store
