// PathLook: what paths lead to in one stop. Each is looked up once, as many sockets have one name;
// the way to a folder is walked once for all but the first of the paths below it: most of the time
// a look takes is spent on the way.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <unordered_map>

#include "base/fd.h"

namespace perdure::capture {

class PathLook {
 public:
  // Follows links. Null: it leads to nothing. Valid as long as this is.
  const struct stat* find(const std::string& path);

 private:
  std::optional<struct stat> look_up(const std::string& path);

  std::unordered_map<std::string, std::optional<struct stat>> paths_;
  // Opened for the second path below one; invalid if that failed.
  std::unordered_map<std::string, std::optional<Fd>> folders_;
};

}  // namespace perdure::capture
