// A disk that loses power: volatile_disk MOUNTPOINT -f -s. A file system in memory (FUSE) in which
// only what was synced is safe. Each file has two contents, the one that programs see and the one
// that a power cut leaves, and a list of changes between them; fsync(2) of the file empties the
// list. Names are safe once their folder was synced. On a cut a random part of the changes reaches
// the disk, torn into sectors, in any order.
// It is full (ENOSPC) when its files take 2 GiB.
//
// The file .power in its root is the switch; a write to it has happened when it returns:
//   cut SEED     power off: everything fails with EIO
//   on           power on: what survived is there; descriptors from before the cut stay dead
//   errors N     writes and syncs fail from now on with this error number; 0: not any more
// Reading it tells how many cuts there were and how much each kind of change was lost.
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr const char* kSwitch = "/.power";
// What fits on it; in memory a file takes twice its size, and what was not synced once more.
constexpr uint64_t kDiskBytes = 2ull << 30;

// Bytes of a file, as a memory file: sparse and cheap to cut.
class Content {
 public:
  Content() : fd_(memfd_create("volatile-disk", MFD_CLOEXEC)) {
    if (fd_ < 0) abort();
  }
  ~Content() { close(fd_); }
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  uint64_t size() const {
    struct stat st;
    return fstat(fd_, &st) == 0 ? uint64_t(st.st_size) : 0;
  }
  void resize(uint64_t size) {
    if (ftruncate(fd_, off_t(size)) != 0) abort();
  }
  ssize_t read(char* to, size_t size, off_t at) const { return pread(fd_, to, size, at); }
  void write(const char* from, size_t size, off_t at) {
    if (pwrite(fd_, from, size, at) != ssize_t(size)) abort();
  }
  void copy_from(const Content& other) {
    resize(0);
    resize(other.size());
    std::vector<char> piece(1 << 20);
    off_t at = 0;
    while ((at = lseek(other.fd_, at, SEEK_DATA)) >= 0) {
      const ssize_t got = other.read(piece.data(), piece.size(), at);
      if (got <= 0) break;
      write(piece.data(), size_t(got), at);
      at += got;
    }
  }

 private:
  int fd_;
};

// A write, or a new size if there is no data.
struct Change {
  uint64_t at;
  std::string data;
  bool resizes = false;
};

struct Node {
  mode_t mode = 0;
  ino_t number = 0;
  timespec changed = {};
  unsigned long boots = 0;  // of the power under which it lives
  Content seen, safe;
  std::vector<Change> changes;  // from safe to seen
};
using NodePtr = std::shared_ptr<Node>;

// A change of a folder: names that go, and one that comes.
struct NameChange {
  std::string folder, gone, come;
  NodePtr node;
};

struct Counts {
  unsigned long cuts = 0, sectors = 0, sectors_lost = 0, names = 0, names_lost = 0, syncs = 0;
};

class Disk {
 public:
  Disk() {
    names_["/"] = make(S_IFDIR | 0755);
    safe_names_ = names_;
  }

  NodePtr find(const std::string& path) const {
    auto found = names_.find(path);
    return found == names_.end() ? nullptr : found->second;
  }
  bool is_dead(const Node& node) const { return off_ || node.boots != boots_; }
  bool off() const { return off_; }
  int error() const { return error_; }
  const Counts& counts() const { return counts_; }

  static std::string folder_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == 0 ? "/" : path.substr(0, slash);
  }
  std::vector<std::string> list(const std::string& folder) const {
    std::vector<std::string> result;
    for (auto& [path, node] : names_)
      if (path != "/" && folder_of(path) == folder)
        result.push_back(path.substr(path.rfind('/') + 1));
    return result;
  }

  NodePtr create(const std::string& path, mode_t mode) {
    NodePtr node = make(mode);
    note({folder_of(path), "", path, node});
    return node;
  }
  void remove(const std::string& path) { note({folder_of(path), path, "", nullptr}); }
  void rename(const std::string& from, const std::string& to) {
    note({folder_of(to), from, to, names_[from]});
  }

  uint64_t free_bytes() const {
    uint64_t used = 0;
    for (auto& [path, node] : names_) used += node->seen.size();
    return kDiskBytes - std::min(used, kDiskBytes);
  }
  bool has_room(const Node& node, uint64_t size) const {
    const uint64_t now = node.seen.size();
    return size <= now || size - now <= free_bytes();
  }

  void change(Node& node, Change change) {
    apply(node.seen, change);
    clock_gettime(CLOCK_REALTIME, &node.changed);
    node.changes.push_back(std::move(change));
  }
  void sync(Node& node) {
    ++counts_.syncs;
    for (const Change& change : node.changes) apply(node.safe, change);
    node.changes.clear();
  }
  void sync_names(const std::string& folder) {
    std::vector<NameChange> rest;
    for (NameChange& change : name_changes_)
      change.folder == folder ? apply(safe_names_, change) : rest.push_back(std::move(change));
    name_changes_ = std::move(rest);
  }

  void cut(uint64_t seed) {
    random_.seed(seed);
    off_ = true;
    ++counts_.cuts;
    // From "nothing got there" to "all but a little".
    const double share = std::vector<double>{0, 0.1, 0.5, 0.9, 1}[random_() % 5];
    for (const NameChange& change : name_changes_) {
      ++counts_.names;
      chance(share) ? apply(safe_names_, change) : void(++counts_.names_lost);
    }
    name_changes_.clear();
    std::erase_if(safe_names_,
                  [&](const auto& entry) { return !safe_names_.contains(folder_of(entry.first)); });
    for (auto& [path, node] : safe_names_) lose(*node, share);
  }

  void turn_on() {
    off_ = false;
    error_ = 0;
    ++boots_;
    names_.clear();
    for (auto& [path, before] : safe_names_) {
      NodePtr node = make(before->mode);
      node->safe.copy_from(before->safe);
      node->seen.copy_from(before->safe);
      names_[path] = node;
    }
    safe_names_ = names_;
  }
  void set_error(int error) { error_ = error; }

 private:
  using Names = std::map<std::string, NodePtr>;

  NodePtr make(mode_t mode) {
    auto node = std::make_shared<Node>();
    node->mode = mode;
    node->number = ++last_number_;
    node->boots = boots_;
    clock_gettime(CLOCK_REALTIME, &node->changed);
    return node;
  }
  bool chance(double share) { return std::uniform_real_distribution<>()(random_) < share; }

  static void apply(Content& content, const Change& change) {
    change.resizes ? content.resize(change.at)
                   : content.write(change.data.data(), change.data.size(), off_t(change.at));
  }
  static void apply(Names& names, const NameChange& change) {
    if (!change.gone.empty()) names.erase(change.gone);
    if (!change.come.empty()) names[change.come] = change.node;
  }
  void note(NameChange change) {
    apply(names_, change);
    name_changes_.push_back(std::move(change));
  }

  // Each sector of each change arrives or not, in any order.
  void lose(Node& node, double share) {
    const size_t sector = random_() % 2 == 0 ? 512 : 4096;
    std::vector<Change> pieces;
    for (const Change& change : node.changes) {
      if (change.resizes) pieces.push_back(change);
      for (size_t from = 0; from < change.data.size();) {
        const size_t upto =
            std::min(change.data.size(), from + sector - (change.at + from) % sector);
        pieces.push_back({change.at + from, change.data.substr(from, upto - from)});
        from = upto;
      }
    }
    std::shuffle(pieces.begin(), pieces.end(), random_);
    for (const Change& piece : pieces) {
      ++counts_.sectors;
      chance(share) ? apply(node.safe, piece) : void(++counts_.sectors_lost);
    }
    node.changes.clear();
  }

  Names names_, safe_names_;
  std::vector<NameChange> name_changes_;  // from safe_names_ to names_
  Counts counts_;
  std::mt19937_64 random_;
  ino_t last_number_ = 0;
  unsigned long boots_ = 0;
  bool off_ = false;
  int error_ = 0;
};

Disk disk;

// A descriptor holds its node, also without a name.
NodePtr* held(fuse_file_info* info) {
  return info ? reinterpret_cast<NodePtr*>(info->fh) : nullptr;
}
void hold(fuse_file_info* info, NodePtr node) {
  info->fh = reinterpret_cast<uint64_t>(new NodePtr(std::move(node)));
}
bool is_switch(const char* path) { return path && strcmp(path, kSwitch) == 0; }

// The node of a descriptor or a name; with the error if there is none.
struct Found {
  NodePtr node;
  int error = 0;
};
Found look_up(const char* path, fuse_file_info* info) {
  NodePtr node = held(info) ? *held(info) : path ? disk.find(path) : nullptr;
  if (disk.off() || (node && disk.is_dead(*node))) return {nullptr, -EIO};
  if (!node) return {nullptr, -ENOENT};
  return {node};
}

int get_attributes(const char* path, struct stat* st, fuse_file_info* info) {
  *st = {};
  st->st_nlink = 1;
  if (is_switch(path)) {
    st->st_mode = S_IFREG | 0600;
    return 0;
  }
  auto [node, error] = look_up(path, info);
  if (!node) return error;
  st->st_mode = node->mode;
  st->st_ino = node->number;
  st->st_size = off_t(node->seen.size());
  st->st_blocks = (st->st_size + 511) / 512;
  st->st_mtim = st->st_ctim = node->changed;
  return 0;
}

int make_node(const char* path, mode_t mode, NodePtr* made) {
  if (disk.off()) return -EIO;
  if (disk.error() != 0) return -disk.error();
  if (disk.find(path)) return -EEXIST;
  *made = disk.create(path, mode);
  return 0;
}
int make_folder(const char* path, mode_t mode) {
  NodePtr made;
  return make_node(path, S_IFDIR | mode, &made);
}
int create_file(const char* path, mode_t mode, fuse_file_info* info) {
  NodePtr made;
  const int error = make_node(path, S_IFREG | (mode & 07777), &made);
  if (error == 0) hold(info, made);
  return error;
}

int open_file(const char* path, fuse_file_info* info) {
  if (is_switch(path)) {
    info->fh = 0;
    info->direct_io = 1;
    return 0;
  }
  auto [node, error] = look_up(path, nullptr);
  if (!node) return error;
  if (info->flags & O_TRUNC) disk.change(*node, {0, "", true});
  hold(info, node);
  return 0;
}
int close_file(const char*, fuse_file_info* info) {
  delete held(info);
  return 0;
}

int read_switch(char* to, size_t size, off_t at) {
  const Counts& c = disk.counts();
  char text[256];
  const int length =
      snprintf(text, sizeof text, "cuts %lu sectors %lu lost %lu names %lu lost %lu syncs %lu\n",
               c.cuts, c.sectors, c.sectors_lost, c.names, c.names_lost, c.syncs);
  if (at >= length) return 0;
  const size_t part = std::min(size, size_t(length - at));
  memcpy(to, text + at, part);
  return int(part);
}
int write_switch(const char* from, size_t size) {
  const std::string text(from, size);
  unsigned long number = 0;
  if (sscanf(text.c_str(), "cut %lu", &number) == 1 && !disk.off()) {
    disk.cut(number);
  } else if (sscanf(text.c_str(), "errors %lu", &number) == 1) {
    disk.set_error(int(number));
  } else if (text.starts_with("on") && disk.off()) {
    disk.turn_on();
  } else {
    return -EINVAL;
  }
  return int(size);
}

int read_file(const char*, char* to, size_t size, off_t at, fuse_file_info* info) {
  if (!held(info)) return read_switch(to, size, at);
  auto [node, error] = look_up(nullptr, info);
  return node ? int(node->seen.read(to, size, at)) : error;
}
int write_file(const char*, const char* from, size_t size, off_t at, fuse_file_info* info) {
  if (!held(info)) return write_switch(from, size);
  auto [node, error] = look_up(nullptr, info);
  if (!node) return error;
  if (disk.error() != 0) return -disk.error();
  if (!disk.has_room(*node, uint64_t(at) + size)) return -ENOSPC;
  disk.change(*node, {uint64_t(at), std::string(from, size)});
  return int(size);
}

int resize_file(const char* path, off_t size, fuse_file_info* info) {
  if (is_switch(path)) return 0;
  auto [node, error] = look_up(path, info);
  if (!node) return error;
  if (disk.error() != 0) return -disk.error();
  if (!disk.has_room(*node, uint64_t(size))) return -ENOSPC;
  disk.change(*node, {uint64_t(size), "", true});
  return 0;
}
int allocate(const char* path, int mode, off_t at, off_t size, fuse_file_info* info) {
  if (mode != 0) return -EOPNOTSUPP;
  auto [node, error] = look_up(path, info);
  if (!node) return error;
  if (uint64_t(at + size) <= node->seen.size()) return 0;
  return resize_file(path, at + size, info);
}

int sync_file(const char*, int, fuse_file_info* info) {
  if (!held(info)) return 0;
  auto [node, error] = look_up(nullptr, info);
  if (!node) return error;
  if (disk.error() != 0) return -disk.error();
  disk.sync(*node);
  return 0;
}
int sync_folder(const char* path, int, fuse_file_info* info) {
  auto [node, error] = look_up(path, info);
  if (!node || !path) return error;
  if (disk.error() != 0) return -disk.error();
  disk.sync_names(path);
  return 0;
}

int remove_name(const char* path) {
  auto [node, error] = look_up(path, nullptr);
  if (!node) return error;
  disk.remove(path);
  return 0;
}
int remove_folder(const char* path) {
  if (!disk.off() && !disk.list(path).empty()) return -ENOTEMPTY;
  return remove_name(path);
}
int rename_file(const char* from, const char* to, unsigned flags) {
  auto [node, error] = look_up(from, nullptr);
  if (!node) return error;
  if (flags != 0) return -EINVAL;
  if (S_ISDIR(node->mode)) return -EXDEV;  // the names below would have to change too
  disk.rename(from, to);
  return 0;
}

int list_folder(const char* path, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info* info,
                fuse_readdir_flags) {
  auto [node, error] = look_up(path, info);
  if (!node || !path) return error;
  for (const char* name : {".", ".."}) fill(buffer, name, nullptr, 0, fuse_fill_dir_flags(0));
  for (const std::string& name : disk.list(path))
    fill(buffer, name.c_str(), nullptr, 0, fuse_fill_dir_flags(0));
  return 0;
}

int set_mode(const char* path, mode_t mode, fuse_file_info* info) {
  auto [node, error] = look_up(path, info);
  if (node) node->mode = (node->mode & S_IFMT) | (mode & 07777);
  return error;
}
int set_owner(const char*, uid_t, gid_t, fuse_file_info*) { return 0; }
int set_times(const char*, const timespec*, fuse_file_info*) { return 0; }

int describe(const char*, struct statvfs* st) {
  *st = {};
  st->f_bsize = st->f_frsize = 4096;
  st->f_blocks = kDiskBytes / 4096;
  st->f_bfree = st->f_bavail = disk.free_bytes() / 4096;
  st->f_namemax = 255;
  return 0;
}

void* begin(fuse_conn_info*, fuse_config* config) {
  config->use_ino = 1;
  config->hard_remove = 1;  // nodes without a name live as long as their descriptors
  config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
  return nullptr;
}

}  // namespace

int main(int count, char** arguments) {
  fuse_operations operations = {};
  operations.init = begin;
  operations.getattr = get_attributes;
  operations.mkdir = make_folder;
  operations.create = create_file;
  operations.open = open_file;
  operations.release = close_file;
  operations.opendir = open_file;
  operations.releasedir = close_file;
  operations.read = read_file;
  operations.write = write_file;
  operations.truncate = resize_file;
  operations.fallocate = allocate;
  operations.fsync = sync_file;
  operations.fsyncdir = sync_folder;
  operations.unlink = remove_name;
  operations.rmdir = remove_folder;
  operations.rename = rename_file;
  operations.readdir = list_folder;
  operations.chmod = set_mode;
  operations.chown = set_owner;
  operations.utimens = set_times;
  operations.statfs = describe;
  return fuse_main(count, arguments, &operations, nullptr);
}
