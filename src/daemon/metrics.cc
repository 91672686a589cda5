#include "daemon/metrics.h"

#include <fmt/format.h>

#include <vector>

#include "base/limits.h"
#include "daemon/histogram.h"

namespace perdure::daemon {
namespace {

using control::Persistence;
using control::StatusReply;

// A bucket for each power of two is enough to draw; the histogram has four.
constexpr size_t kBucketStep = 4;

double seconds_of_ns(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

// Backslash, quote and line feed are all that a label's value needs to have escaped.
std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    c == '\n' ? out += "\\n" : out += c;
  }
  return out;
}

std::string labels_of(const StatusReply& status) {
  return fmt::format("group=\"{}\",store=\"{}\"", escaped(status.name()), escaped(status.store()));
}

struct Metric {
  const char* name;
  const char* type;
  const char* help;
  std::optional<double> (*value)(const GroupMetrics&);
};

const Persistence& counts(const GroupMetrics& group) { return group.status.persistence(); }

using Value = std::optional<double>;
constexpr Metric kMetrics[] = {
    {"perdure_period_seconds", "gauge", "Time between epochs as wanted; 0: on request only.",
     [](const GroupMetrics& group) -> Value { return seconds_of_ns(counts(group).period_ns()); }},
    {"perdure_period_now_seconds", "gauge", "Time between epochs as it is kept now.",
     [](const GroupMetrics& group) -> Value {
       return seconds_of_ns(counts(group).period_now_ns());
     }},
    {"perdure_paused", "gauge", "1 while periodic epochs are paused.",
     [](const GroupMetrics& group) -> Value { return counts(group).paused() ? 1 : 0; }},
    {"perdure_epochs_captured_total", "counter", "Epochs captured.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(counts(group).captured());
     }},
    {"perdure_epochs_durable_total", "counter", "Epochs durable.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(counts(group).durable());
     }},
    {"perdure_epochs_missed_total", "counter", "Epochs that the wanted period would have brought.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(counts(group).missed());
     }},
    {"perdure_failures_total", "counter", "Epochs that failed.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(counts(group).failures());
     }},
    {"perdure_epochs_in_flight", "gauge", "Epochs captured and not yet durable.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(counts(group).in_flight());
     }},
    {"perdure_newest_captured_epoch", "gauge", "Number of the newest epoch captured.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(counts(group).newest_captured());
     }},
    {"perdure_newest_durable_epoch", "gauge", "Number of the newest durable epoch.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(counts(group).newest_durable());
     }},
    {"perdure_pages_copied_bytes_total", "counter", "Bytes of changed pages copied.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(counts(group).copied_bytes());
     }},
    {"perdure_store_written_bytes_total", "counter", "Bytes written to the store.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(counts(group).written_bytes());
     }},
    {"perdure_store_bytes", "gauge", "Bytes of the store on disk.",
     [](const GroupMetrics& group) -> Value {
       if (!group.store_bytes) return std::nullopt;
       return static_cast<double>(*group.store_bytes);
     }},
    {"perdure_durable_lag_seconds", "gauge", "From captured to durable, of the last epoch.",
     [](const GroupMetrics& group) -> Value {
       return seconds_of_ns(counts(group).durable_lag_last_ns());
     }},
    {"perdure_durable_lag_max_seconds", "gauge", "From captured to durable, the longest.",
     [](const GroupMetrics& group) -> Value {
       return seconds_of_ns(counts(group).durable_lag_max_ns());
     }},
    {"perdure_stop_window_max_seconds", "gauge", "The longest stop window.",
     [](const GroupMetrics& group) -> Value {
       return seconds_of_ns(counts(group).stop_max_us() * 1000);
     }},
    {"perdure_restore_left_bytes", "gauge", "Memory that a restore has still to load.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(group.status.lazy_pages_left() << kPageShift);
     }},
    {"perdure_processes", "gauge", "Processes of the group.",
     [](const GroupMetrics& group) -> Value {
       return static_cast<double>(group.status.processes_size());
     }},
    {"perdure_engine_running_seconds", "gauge", "How long the engine has served.",
     [](const GroupMetrics& group) -> Value { return seconds_of_ns(counts(group).running_ns()); }},
};

void append_head(std::string& out, const char* name, const char* type, const char* help) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

// Buckets count everything up to their bound. The sum of all windows is not known, and not told.
void append_stops(std::string& out, std::span<const GroupMetrics> groups) {
  constexpr const char* kName = "perdure_stop_window_seconds";
  append_head(out, kName, "histogram", "How long the group stood still for an epoch.");
  for (const GroupMetrics& group : groups) {
    const auto& stops = counts(group).stop_histogram();
    const std::vector<uint64_t> buckets(stops.begin(), stops.end());
    const Histogram histogram(buckets);
    const std::string labels = labels_of(group.status);
    uint64_t total = 0;
    for (size_t at = 0; at < Histogram::kBuckets; ++at) {
      total += histogram.counts()[at];
      if (at % kBucketStep != kBucketStep - 1 || at + 1 == Histogram::kBuckets) continue;
      out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", kName, labels,
                         seconds_of_ns(Histogram::upper_bound_us(at) * 1000), total);
    }
    out += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n", kName, labels, total);
    out += fmt::format("{}_count{{{}}} {}\n", kName, labels, total);
  }
}

}  // namespace

std::string metrics_text(std::span<const GroupMetrics> groups) {
  std::string out;
  for (const Metric& metric : kMetrics) {
    append_head(out, metric.name, metric.type, metric.help);
    for (const GroupMetrics& group : groups) {
      if (const Value value = metric.value(group))
        out += fmt::format("{}{{{}}} {}\n", metric.name, labels_of(group.status), *value);
    }
  }
  append_stops(out, groups);
  return out;
}

}  // namespace perdure::daemon
