#include "capture/path_look.h"

#include <fcntl.h>

#include "kernel/file.h"

namespace perdure::capture {

const struct stat* PathLook::find(const std::string& path) {
  auto [known, added] = paths_.try_emplace(path);
  if (added) known->second = look_up(path);
  return known->second ? &*known->second : nullptr;
}

std::optional<struct stat> PathLook::look_up(const std::string& path) {
  const size_t slash = path.rfind('/');
  const auto whole = [&]() -> std::optional<struct stat> {
    const Result<struct stat> found = kernel::stat_path(path);
    return found.ok() ? std::optional(*found) : std::nullopt;
  };
  if (slash == std::string::npos || slash == 0 || slash + 1 == path.size()) return whole();
  const auto [folder, is_first] = folders_.try_emplace(path.substr(0, slash));
  if (is_first) return whole();
  std::optional<Fd>& opened = folder->second;
  if (!opened) {
    Result<Fd> made = kernel::open_file(folder->first, O_PATH | O_DIRECTORY);
    opened = made.ok() ? std::move(*made) : Fd();
  }
  if (!opened->valid()) return whole();
  const Result<struct stat> found = kernel::stat_below(*opened, path.substr(slash + 1));
  return found.ok() ? std::optional(*found) : std::nullopt;
}

}  // namespace perdure::capture
