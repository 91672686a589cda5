#include "daemon/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/rotating_file_sink.h>

#include "kernel/folder.h"

namespace perdure::daemon {

struct Log::Sink {
  spdlog::logger logger;
};

Log::Log(std::unique_ptr<Sink> sink) : sink_(std::move(sink)) {}
Log::Log(Log&&) noexcept = default;
Log& Log::operator=(Log&&) noexcept = default;
Log::~Log() = default;

// The sink throws where its file cannot be opened; so that is tried first, and the file made
// private at that.
Log Log::open(const std::string& path) {
  if (!kernel::make_private_file(path).ok()) return Log(nullptr);
  auto file =
      std::make_shared<spdlog::sinks::rotating_file_sink_st>(path, kLogBytesMax, kLogFilesMax);
  auto sink = std::make_unique<Sink>(Sink{spdlog::logger("engine", std::move(file))});
  sink->logger.set_pattern("%Y-%m-%dT%H:%M:%S.%f%z %l %v");
  sink->logger.flush_on(spdlog::level::info);
  return Log(std::move(sink));
}

void Log::info(std::string_view line) {
  if (sink_) sink_->logger.info(line);
}

void Log::warn(std::string_view line) {
  if (sink_) sink_->logger.warn(line);
}

void Log::error(std::string_view line) {
  if (sink_) sink_->logger.error(line);
}

}  // namespace perdure::daemon
