#include "capture/known_process.h"

#include <algorithm>

#include "base/assert.h"
#include "capture/version.h"

namespace perdure::capture {
namespace {

bool same(const std::vector<uint8_t>& before, Bytes now) {
  return std::equal(before.begin(), before.end(), now.begin(), now.end());
}

}  // namespace

// What only a call in the process can tell is either in the images or absent: time that timers have
// left is neither.
bool KnownProcess::is_simple(const StoppedProcess& process, const kernel::TaskLook& look) const {
  return !look.timers && !look.dumping_core && !process.zombie &&
         process.threads.size() == look.threads.size() &&
         process.threads.front().tracee.stop_kind() != kernel::StopKind::kGroupStop;
}

bool KnownProcess::is_as_begun(const StoppedProcess& process, const kernel::TaskLook& look) const {
  if (!is_simple(process, look) || process.stat.ppid != parent_ || !same(process_, look.process) ||
      look.threads.size() != threads_.size())
    return false;
  return std::all_of(look.threads.begin(), look.threads.end(),
                     [this](const kernel::ThreadImage& image) {
                       const auto known = threads_.find(image.tid);
                       return known != threads_.end() && same(known->second.image, image.bytes);
                     });
}

void KnownProcess::begin(const StoppedProcess& process, kernel::TaskImages* images) {
  forget();
  if (images == nullptr || process.zombie ||
      process.threads.size() > kernel::TaskImages::kThreadsMax)
    return;
  const auto look = images->look(process.pid);
  if (!look.ok() || !is_simple(process, **look)) return;
  parent_ = process.stat.ppid;
  process_.assign((*look)->process.begin(), (*look)->process.end());
  for (const kernel::ThreadImage& image : (*look)->threads) {
    threads_[image.tid].image.assign(image.bytes.begin(), image.bytes.end());
  }
  begun_ = true;
}

void KnownProcess::keep(const StoppedProcess& process, const object::Process& record,
                        const std::map<pid_t, object::Thread>& threads,
                        kernel::TaskImages* images) {
  if (!begun_) return;
  const auto look = images->look(process.pid);
  if (!look.ok() || !is_as_begun(process, **look) || threads.size() != threads_.size() ||
      !process.status) {
    forget();
    return;
  }
  record_ = record;
  status_ = *process.status;
  for (const auto& [tid, thread] : threads) {
    threads_.at(tid).record = thread;
    note_thread_change(tid);
  }
  note_change();
  look_ = *look;
  kept_ = true;
}

bool KnownProcess::holds(const StoppedProcess& process, kernel::TaskImages* images) {
  if (!kept_ || lent_ != 0 || images == nullptr) return false;
  const auto look = images->look(process.pid);
  if (!look.ok() || !is_as_begun(process, **look)) return false;
  look_ = *look;
  images_now_.clear();
  for (const kernel::ThreadImage& image : look_->threads) images_now_[image.tid] = &image;
  return std::all_of(
      process.threads.begin(), process.threads.end(),
      [this](const StoppedThread& thread) { return images_now_.contains(thread.tid()); });
}

void KnownProcess::lend(object::Process* record) {
  record->Swap(&record_);
  ++lent_;
}

void KnownProcess::lend_thread(pid_t tid, object::Thread* record) {
  record->Swap(&threads_.at(tid).record);
  ++lent_;
}

void KnownProcess::take_back(object::Process* record) {
  if (lent_ == 0) return;
  record->Swap(&record_);
  --lent_;
}

void KnownProcess::take_back_thread(pid_t tid, object::Thread* record) {
  const auto thread = threads_.find(tid);
  if (lent_ == 0 || thread == threads_.end()) return;
  record->Swap(&thread->second.record);
  --lent_;
}

void KnownProcess::note_change() { version_ = next_version(); }

void KnownProcess::note_thread_change(pid_t tid) { threads_.at(tid).version = next_version(); }

void KnownProcess::forget() {
  kept_ = begun_ = false;
  lent_ = 0;
  threads_.clear();
}

}  // namespace perdure::capture
