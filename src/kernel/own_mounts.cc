#include "kernel/own_mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "kernel/file.h"
#include "kernel/pidfd.h"

namespace perdure::kernel {
namespace {

Status receive_only() {
  if (mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return Error::system(errno, "mount", "/");
  return {};
}

// Root and current folder are the namespace's root again, even where chroot(2) was called
// (setns(2), which needs CAP_SYS_CHROOT). False: not permitted, and nothing has changed.
Result<bool> leave_changed_root() {
  const Fd self = PD_TRY(pidfd_open(getpid()));
  if (setns(self.get(), CLONE_NEWNS) == 0) return true;
  if (errno == EPERM) return false;
  return Error::system(errno, "enter", "the group's mount namespace");
}

// A folder that is no mount point becomes one, a second time on itself; nothing is found below the
// old root any more (pivot_root(2), "pivot_root(\".\", \".\")").
Status make_root(const Fd& folder) {
  const Fd tree = Fd::adopt(open_tree(
      folder.get(), "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid() || move_mount(tree.get(), "", folder.get(), "",
                                  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return Error::system(errno, "mount", "the changed root");
  }
  if (fchdir(tree.get()) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
      umount2(".", MNT_DETACH) != 0) {
    return Error::system(errno, "make", "the changed root the root of the group")
        .with_remedy("start perdure outside of the chroot");
  }
  return {};
}

}  // namespace

Status keep_mounts() {
  const Fd root = Fd::adopt(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd folder = Fd::adopt(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid() || !folder.valid()) return Error::system(errno, "open", "the current folder");
  char path[PATH_MAX] = "/";
  (void)getcwd(path, sizeof(path));
  const struct stat changed = PD_TRY(stat_path("/"));
  if (!PD_TRY(leave_changed_root())) return receive_only();
  PD_TRY(receive_only());
  const struct stat own = PD_TRY(stat_path("/"));
  const bool same = changed.st_dev == own.st_dev && changed.st_ino == own.st_ino;
  if (!same) PD_TRY(make_root(root));
  // The old tree of mounts, in which the open folder lies, is gone with the changed root.
  if ((same ? fchdir(folder.get()) : chdir(path)) != 0) return Error::system(errno, "enter", path);
  return {};
}

}  // namespace perdure::kernel
