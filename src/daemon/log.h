// The engine's log file in the group's folder: rotated, bounded, private. Best effort: a full disk
// loses lines, never the group.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace perdure::daemon {

// Two files of this size: a year of daily trouble, nothing beside the epochs.
inline constexpr size_t kLogBytesMax = 1u << 20;
inline constexpr size_t kLogFilesMax = 1;  // besides the current one

class Log {
 public:
  // A log that cannot be opened swallows its lines.
  static Log open(const std::string& path);
  Log(Log&&) noexcept;
  Log& operator=(Log&&) noexcept;
  ~Log();

  void info(std::string_view line);
  void warn(std::string_view line);
  void error(std::string_view line);

 private:
  struct Sink;
  explicit Log(std::unique_ptr<Sink> sink);
  std::unique_ptr<Sink> sink_;
};

}  // namespace perdure::daemon
