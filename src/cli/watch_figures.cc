#include "cli/watch_figures.h"

#include <algorithm>
#include <vector>

#include "daemon/histogram.h"

namespace perdure::cli {
namespace {

constexpr uint64_t kFirstClassUs = 64;

bool of_one_engine(const WatchSample& before, const WatchSample& now) {
  return before.counts.running_ns() <= now.counts.running_ns() &&
         before.counts.captured() <= now.counts.captured() && before.at_ns < now.at_ns;
}

std::vector<uint64_t> stops_between(const control::Persistence* before,
                                    const control::Persistence& now) {
  std::vector<uint64_t> counts(now.stop_histogram().begin(), now.stop_histogram().end());
  for (size_t at = 0; before != nullptr && at < counts.size(); ++at) {
    const auto place = static_cast<int>(at);
    if (place >= before->stop_histogram_size()) break;
    counts[at] -= std::min(counts[at], before->stop_histogram(place));
  }
  return counts;
}

size_t class_of(uint64_t bound_us) {
  size_t at = 0;
  for (uint64_t limit = kFirstClassUs; at + 1 < kStopClasses && bound_us > limit; limit *= 2) ++at;
  return at;
}

}  // namespace

WatchFigures figures_of(const WatchSample* before, const WatchSample& now) {
  const control::Persistence none;
  if (before != nullptr && !of_one_engine(*before, now)) before = nullptr;
  const control::Persistence& then = before != nullptr ? before->counts : none;
  const uint64_t span_ns = before != nullptr ? now.at_ns - before->at_ns : now.counts.running_ns();
  const double seconds = static_cast<double>(std::max<uint64_t>(span_ns, 1)) / 1e9;
  auto rate = [seconds](uint64_t from, uint64_t to) {
    return static_cast<double>(to - std::min(from, to)) / seconds;
  };
  WatchFigures figures;
  figures.epochs_per_s = rate(then.captured(), now.counts.captured());
  figures.dirty_per_s = rate(then.copied_bytes(), now.counts.copied_bytes());
  figures.written_per_s = rate(then.written_bytes(), now.counts.written_bytes());
  const std::vector<uint64_t> counts =
      stops_between(before == nullptr ? nullptr : &then, now.counts);
  const daemon::Histogram stops(counts);
  if (stops.count() > 0) {
    // A bucket's bound may lie above the longest of all.
    const uint64_t longest = now.counts.stop_max_us();
    figures.stop_p50_us = std::min(stops.quantile_us(0.5), longest);
    figures.stop_p99_us = std::min(stops.quantile_us(0.99), longest);
  }
  for (size_t bucket = 0; bucket < stops.counts().size(); ++bucket)
    figures.stops[class_of(daemon::Histogram::upper_bound_us(bucket))] += stops.counts()[bucket];
  return figures;
}

void WatchHistory::add(WatchSample sample) {
  if (!samples_.empty() && !of_one_engine(samples_.back(), sample)) samples_.clear();
  samples_.push_back(std::move(sample));
  // The oldest one is the last that lies as far back or further.
  while (samples_.size() > 2 && samples_.back().at_ns - samples_[1].at_ns >= kReachNs)
    samples_.pop_front();
}

WatchFigures WatchHistory::figures() const {
  return figures_of(samples_.size() > 1 ? &samples_.front() : nullptr, samples_.back());
}

}  // namespace perdure::cli
