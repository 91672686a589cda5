#include "capture/known_files.h"

#include <linux/magic.h>

#include <utility>

#include "capture/version.h"

namespace perdure::capture {
namespace {

// Those that change the ctime of an inode with everything that becomes of it and its names.
bool is_believed(uint64_t magic) {
  return magic == EXT4_SUPER_MAGIC || magic == XFS_SUPER_MAGIC || magic == BTRFS_SUPER_MAGIC ||
         magic == TMPFS_MAGIC;
}

bool same_but_position(const kernel::FileImage& one, const kernel::FileImage& other) {
  return one.fd == other.fd && one.file == other.file && one.flags == other.flags &&
         one.owned == other.owned && one.locks == other.locks && one.inode == other.inode &&
         one.mode == other.mode && one.device == other.device && one.magic == other.magic &&
         one.size == other.size && one.ctime_ns == other.ctime_ns;
}

std::string folder_of(pid_t holder, const std::string& link) {
  return "/proc/" + std::to_string(holder) + "/root" + link.substr(0, link.rfind('/') + 1);
}

}  // namespace

void KnownFiles::begin(int64_t now_ns) {
  now_ns_ = now_ns;
  ++capture_;
  met_ = 0;
  lent_.clear();  // what was not taken back is not known
}

const std::string* KnownFiles::link_of(uint64_t file) const {
  const auto found = files_.find(file);
  return found == files_.end() ? nullptr : &found->second.link_;
}

KnownFiles::File* KnownFiles::find(const kernel::FileImage& image, pid_t holder, PathLook* paths) {
  const auto found = files_.find(image.file);
  if (found == files_.end()) return nullptr;
  File& file = found->second;
  if (file.state_ != File::Record::kHere || file.holder_ != holder ||
      !same_but_position(file.image_, image))
    return nullptr;
  const struct stat* const folder = paths->find(file.folder_);
  if (folder == nullptr || folder->st_dev != file.folder_device_ ||
      folder->st_ino != file.folder_inode_)
    return nullptr;
  return &file;
}

object::OpenFile KnownFiles::lend(File* file, ObjectId id, uint64_t position) {
  if (std::exchange(file->capture_, capture_) != capture_) ++met_;
  if (position != file->image_.position) {
    file->record_.mutable_regular()->set_offset(position);
    file->image_.position = position;
    file->version_ = next_version();
  }
  file->state_ = File::Record::kLent;
  lent_.emplace_back(id, file->image_.file);
  return std::exchange(file->record_, {});
}

void KnownFiles::note(uint64_t file, const std::string& link) {
  File& noted = files_[file];
  if (std::exchange(noted.capture_, capture_) != capture_) ++met_;
  noted.link_ = link;
  noted.state_ = File::Record::kNone;
}

KnownFiles::File* KnownFiles::keep(const kernel::FileImage& image, pid_t holder, ObjectId id,
                                   std::string key, PathLook* paths) {
  File& file = files_.at(image.file);
  const bool settled = image.ctime_ns != 0 && image.ctime_ns + believed_after_ns_ < now_ns_;
  if (!settled || !is_believed(image.magic)) return nullptr;
  file.folder_ = folder_of(holder, file.link_);
  const struct stat* const folder = paths->find(file.folder_);
  if (folder == nullptr) return nullptr;
  file.folder_device_ = folder->st_dev;
  file.folder_inode_ = folder->st_ino;
  file.image_ = image;
  file.holder_ = holder;
  file.key_ = std::move(key);
  file.version_ = next_version();
  file.state_ = File::Record::kLent;
  lent_.emplace_back(id, image.file);
  return &file;
}

void KnownFiles::end() {
  if (met_ == files_.size()) return;
  std::erase_if(files_, [this](const auto& item) { return item.second.capture_ != capture_; });
}

void KnownFiles::take_back(std::map<ObjectId, object::OpenFile>* records) {
  for (const auto& [id, number] : std::exchange(lent_, {})) {
    const auto file = files_.find(number);
    const auto record = records->find(id);
    if (file == files_.end() || record == records->end()) continue;
    file->second.record_.Swap(&record->second);
    file->second.state_ = File::Record::kHere;
  }
}

}  // namespace perdure::capture
