#include "restore/unix_address.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "kernel/file.h"
#include "kernel/socket.h"

namespace perdure::restore {
namespace {

using kernel::FolderScope;

bool is_path(const std::string& name) { return !name.empty() && name[0] != '\0'; }

std::string shown(const std::string& name) {
  return is_path(name) ? name : name.empty() ? "without a name" : "@" + name.substr(1);
}

Error in_use(const std::string& name) {
  return Error(Code::kExists, "Unix socket " + shown(name) + " is in use by another program")
      .with_remedy("end that program, then restore again");
}

// The folder that a relative name was bound in.
Result<std::optional<FolderScope>> enter_folder(const object::UnixSocket& record) {
  if (record.bound_cwd().empty()) return std::optional<FolderScope>();
  return std::optional<FolderScope>(PD_TRY(FolderScope::enter(record.bound_cwd())));
}

// A socket file outlives its socket; then connecting to it is refused.
Result<bool> is_stale(const std::string& name, int type) {
  const struct stat file = PD_TRY(kernel::lstat_path(name));
  if (!S_ISSOCK(file.st_mode)) return false;
  const Fd probe = PD_TRY(kernel::make_socket(AF_UNIX, type | SOCK_NONBLOCK, 0));
  const Status connected = kernel::connect_socket(probe.get(), kernel::unix_address(name));
  return !connected.ok() && connected.error().error_number() == ECONNREFUSED;
}

Status bind_path(int fd, const object::UnixSocket& record) {
  const std::string address = kernel::unix_address(record.address());
  Status bound = kernel::bind_socket(fd, address);
  if (bound.ok() || bound.error().error_number() != EADDRINUSE) return bound;
  if (!PD_TRY(is_stale(record.address(), record.type()))) return in_use(record.address());
  PD_TRY(kernel::unlink_path(record.address()));
  return kernel::bind_socket(fd, address);
}

}  // namespace

Status bind_unix(int fd, const object::UnixSocket& record) {
  const std::string& name = record.address();
  if (name.empty()) return {};
  if (!is_path(name)) {
    const Status bound = kernel::bind_socket(fd, kernel::unix_address(name));
    return !bound.ok() && bound.error().error_number() == EADDRINUSE ? in_use(name) : bound;
  }
  const auto scope = PD_TRY(enter_folder(record));
  PD_TRY_WITHIN("restore Unix socket " + name, bind_path(fd, record));
  // The file is gone, or the name is another's: only the address stays.
  if (record.path_gone()) return kernel::unlink_path(name);
  return kernel::set_path_owner_and_mode(name, record.uid(), record.gid(), record.mode());
}

Status unlink_unix(const object::UnixSocket& record) {
  if (!is_path(record.address())) return {};
  const auto scope = PD_TRY(enter_folder(record));
  return kernel::unlink_path(record.address());
}

Status send_unix_message(int fd, const kernel::OutgoingMessage& message,
                         const object::UnixSocket& to) {
  const auto scope = PD_TRY(enter_folder(to));
  return kernel::send_message(fd, message);
}

Status connect_unix_name(int fd, const object::UnixSocket& to) {
  const auto scope = PD_TRY(enter_folder(to));
  return kernel::connect_socket(fd, kernel::unix_address(to.address()));
}

}  // namespace perdure::restore
