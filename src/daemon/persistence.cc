#include "daemon/persistence.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"
#include "kernel/proc/pressure.h"

namespace perdure::daemon {
namespace {

// The processors are looked at so often, and contended if for this part of the time somebody had to
// wait for one.
constexpr uint64_t kLookNs = 200'000'000;
constexpr double kContendedShare = 0.2;

Pacer::Outcome outcome_of(const Result<engine::CheckpointReport>& report) {
  if (!report.ok()) return Pacer::Outcome::kFailed;
  return report->whole ? Pacer::Outcome::kSavedWhole : Pacer::Outcome::kSaved;
}

}  // namespace

Persistence::Persistence(GroupControl& group, const Clock& clock, Log& log)
    : group_(group), clock_(clock), log_(log), begun_ns_(clock.monotonic_ns()) {}

void Persistence::configure(const GroupSettings& settings) {
  settings_ = settings;
  pacer_.set_period(settings.every_ns, clock_.monotonic_ns());
}

void Persistence::set_period(uint64_t period_ns) {
  settings_.every_ns = period_ns;
  pacer_.set_period(period_ns, clock_.monotonic_ns());
}

void Persistence::pause() { pacer_.pause(); }
void Persistence::resume() { pacer_.resume(clock_.monotonic_ns()); }

void Persistence::serve() {
  const std::optional<uint64_t> due = pacer_.due_ns();
  const uint64_t begin = clock_.monotonic_ns();
  if (!due || *due > begin) return;
  look_at_processors(begin);
  pacer_.set_slowdown(group_.slowdown());
  if (group_.disk_is_behind()) return pacer_.postpone(begin);
  engine::CheckpointOptions options;
  options.durable = false;
  auto report = attempt(options);
  if (report.ok()) drop_old(0);
  pacer_.note(outcome_of(report), begin, clock_.monotonic_ns(),
              report.ok() ? report->burden_ns : 0);
}

// The engine's own work is part of what others wait for.
void Persistence::look_at_processors(uint64_t now_ns) {
  if (looked_ns_ != 0 && now_ns - looked_ns_ < kLookNs) return;
  const Result<uint64_t> pressure_us = kernel::proc::read_processor_pressure();
  if (!pressure_us.ok()) return;
  const double waited_ns = 1e3 * static_cast<double>(*pressure_us - pressure_us_);
  const auto passed_ns = static_cast<double>(now_ns - looked_ns_);
  if (looked_ns_ != 0) pacer_.set_contended(waited_ns > kContendedShare * passed_ns);
  looked_ns_ = now_ns;
  pressure_us_ = *pressure_us;
}

Result<engine::CheckpointReport> Persistence::save(const engine::CheckpointOptions& options,
                                                   uint64_t keep) {
  auto report = attempt(options);
  if (report.ok()) {
    log_.info(fmt::format("epoch {}: stopped {} us, {} us in all, {} pages, {} bytes written",
                          report->epoch.value, report->stop_us, report->total_us, report->pages,
                          report->bytes_written));
    drop_old(keep);
  }
  return report;
}

Result<engine::CheckpointReport> Persistence::attempt(const engine::CheckpointOptions& options) {
  auto report = group_.checkpoint(options);
  if (!report.ok()) {
    failed(report.error());
    return report;
  }
  if (last_error_) log_.info("epochs succeed again");
  last_error_.reset();
  ++captured_;
  newest_captured_ = report->epoch;
  stops_.add(report->stop_us);
  stop_max_us_ = std::max(stop_max_us_, report->stop_us);
  copied_bytes_ += report->pages << kPageShift;
  if (options.durable) {
    ++durable_;
    newest_durable_ = report->epoch;
    written_bytes_ += report->bytes_written;
  }
  take_durable();
  return report;
}

void Persistence::take_durable() {
  for (const engine::DurableEpoch& epoch : group_.take_durable()) {
    if (!epoch.status.ok()) {
      failed(epoch.status.error());
      continue;
    }
    ++durable_;
    newest_durable_ = std::max(newest_durable_, epoch.epoch);
    written_bytes_ += epoch.bytes_written;
    lag_last_ns_ = epoch.lag_ns;
    lag_max_ns_ = std::max(lag_max_ns_, epoch.lag_ns);
  }
}

// At a hundred epochs a second the same failure is logged once.
void Persistence::failed(const Error& error) {
  ++failures_;
  const bool is_new = !last_error_ || last_error_->message() != error.message();
  if (is_new) log_.warn("checkpoint failed: " + error.to_string());
  last_error_ = error;
}

void Persistence::drop_old(uint64_t keep) {
  // The epoch is safe whatever comes of this.
  Status kept = Ok{};
  if (keep > 0) {
    kept = group_.keep_newest(keep);
  } else if (settings_.keep) {
    // What was asked for in one breath with an epoch is done when that is; else it has time.
    const bool at_once = pacer_.period_ns() == 0 && settings_.keep->rules.empty();
    kept = at_once ? group_.keep_newest(settings_.keep->newest) : group_.retain(*settings_.keep);
  } else if (pacer_.period_ns() != 0) {
    kept = group_.retain(periodic_retention());
  }
  if (kept.ok()) return drop_error_.reset();
  Error error = Error(kept.error()).within("older epochs could not be dropped");
  if (!drop_error_ || drop_error_->message() != error.message()) log_.warn(error.to_string());
  drop_error_ = std::move(error);
}

void Persistence::describe(control::Persistence& reply) const {
  reply.set_period_ns(pacer_.period_ns());
  reply.set_period_now_ns(pacer_.period_ns() == 0 ? 0 : pacer_.period_now_ns());
  reply.set_paused(pacer_.paused());
  reply.set_captured(captured_);
  reply.set_durable(durable_);
  reply.set_missed(pacer_.missed());
  reply.set_failures(failures_);
  const std::optional<Error>& error = last_error_ ? last_error_ : drop_error_;
  if (error) reply.set_last_error(error->to_string());
  for (uint64_t count : stops_.counts()) reply.add_stop_histogram(count);
  reply.set_stop_max_us(stop_max_us_);
  reply.set_copied_bytes(copied_bytes_);
  reply.set_written_bytes(written_bytes_);
  reply.set_durable_lag_last_ns(lag_last_ns_);
  reply.set_durable_lag_max_ns(lag_max_ns_);
  reply.set_in_flight(group_.epochs_in_flight());
  reply.set_newest_captured(newest_captured_.value);
  reply.set_newest_durable(newest_durable_.value);
  reply.set_running_ns(clock_.monotonic_ns() - begun_ns_);
}

}  // namespace perdure::daemon
