// Devices without state: what a second open of the same path gives is the same.
#include <sys/sysmacros.h>

#include "capture/file_kinds.h"

namespace perdure::capture {
namespace {

constexpr unsigned kMemoryMajor = 1;

}  // namespace

// Minor numbers of the memory devices (Documentation/admin-guide/devices.txt).
bool is_stateless_device(dev_t device) {
  if (major(device) != kMemoryMajor) return false;
  switch (minor(device)) {
    case 3:  // null
    case 5:  // zero
    case 7:  // full
    case 8:  // random
    case 9:  // urandom
      return true;
    default:
      return false;
  }
}

Status capture_device(FileContext& context, OpenFileEntry& entry) {
  const dev_t number = entry.file.st_rdev;
  const std::string type = S_ISBLK(entry.file.st_mode) ? "block device " : "character device ";
  const std::string target = type + entry.link;
  if (!S_ISCHR(entry.file.st_mode)) return refuse(entry, target, "let the program close it");
  if (!is_stateless_device(number)) {
    capture_outside(context, entry,
                    "device " + std::to_string(major(number)) + ":" + std::to_string(minor(number)),
                    refuse(entry, target, "let the program close it"));
    return {};
  }
  object::FileIdentity identity;
  PD_TRY(identify(context, entry, &identity));
  object::Device* device = entry.record.mutable_device();
  device->set_path(identity.path());
  device->set_major(major(number));
  device->set_minor(minor(number));
  device->set_offset(entry.info.position);
  return {};
}

}  // namespace perdure::capture
