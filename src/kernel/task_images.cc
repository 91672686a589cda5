#include "kernel/task_images.h"

#include <asm/prctl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/assert.h"
#include "kernel/btf.h"
#include "kernel/tracer_thread.h"

namespace perdure::kernel {
namespace {

constexpr const char* kIteratorFunction = "bpf_iter_task";
constexpr unsigned kWantedOften = 8;
// TIF_NOTIFY_RESUME, TIF_SIGPENDING, TIF_NEED_RESCHED and their like, which come and go. No kernel
// has a flag there that lasts: TIF_SSBD is number 5 until Linux 6.17, all that last are above 15
// since.
constexpr uint8_t kPassingFlags = 0x1f;
// Parts of the extended state that the kernel has for itself, and does not tell: PT, PASID, CET and
// so on (arch/x86/include/asm/fpu/types.h).
constexpr uint64_t kSupervisorState = 0x1fd00;
#ifndef ARCH_GET_XCOMP_PERM
#define ARCH_GET_XCOMP_PERM 0x1022
#endif

uint32_t word(const uint8_t* value, uint32_t at) { return load_le<uint32_t>(value + at); }

uint64_t number(const uint8_t* value, const ImagePlan::Place& place) {
  return place.bytes == 4 ? word(value, place.at) : load_le<uint64_t>(value + place.at);
}

bool any_bit(const uint8_t* value, const ImagePlan::Place& place) {
  return std::any_of(value + place.at, value + place.at + place.bytes,
                     [](uint8_t byte) { return byte != 0; });
}

Error too_many(const char* what) {
  return Error(Code::kLimit, std::string("too many ") + what + " for an image");
}

// Behind the numbers of a pid, and the groups of a task, lies memory of others.
Status clear_behind(uint8_t* value, uint32_t count, uint32_t count_max, uint32_t bytes_each,
                    const char* what) {
  if (count > count_max) return too_many(what);
  std::memset(value + count * bytes_each, 0, (count_max - count) * bytes_each);
  return {};
}

}  // namespace

Result<std::unique_ptr<TaskImages>> TaskImages::create() {
  const Btf btf = PD_TRY(Btf::read_kernel());
  return create(btf);
}

Result<std::unique_ptr<TaskImages>> TaskImages::create(const Btf& btf) {
  ImagePlan plan = PD_TRY(ImagePlan::make(btf));
  BpfArray processes = PD_TRY(BpfArray::create(plan.process().bytes, 1));
  BpfArray threads = PD_TRY(BpfArray::create(plan.thread().bytes, kThreadsMax));
  std::unique_ptr<TaskImages> images(
      new TaskImages(std::move(plan), std::move(processes), std::move(threads)));  // NOLINT
  PD_TRY(images->load(btf));
  PD_TRY(images->try_on_ourselves());
  return images;
}

Status TaskImages::load(const Btf& btf) {
  const uint32_t iterator = PD_TRY(btf.id_of(Btf::Kind::kFunction, kIteratorFunction));
  program_ = PD_TRY(load_task_program(iterator, plan_.program(processes_.map(), threads_.map())));
  return {};
}

// Whether fields are where we take them to be, as far as we can ask for them ourselves.
Status TaskImages::try_on_ourselves() {
  const TaskLook& own = *PD_TRY(look(::getpid()));
  const auto* process = static_cast<const uint8_t*>(processes_.at(0));
  const Error wrong(Code::kUnavailable, "an image of a task does not show what is there");
  // Numbers of tasks are ours only in the first PID namespace.
  const auto* thread = static_cast<const uint8_t*>(threads_.at(0));
  if (number(thread, plan_.place(ImageMark::kLevel)) != 0)
    return Error(Code::kUnavailable, "images of tasks need the first PID namespace");
  if (own.threads.empty() || own.threads.front().tid != ::getpid()) return wrong;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return Error::system(errno, "read our limits");
  const uint32_t limit_at =
      plan_.place(ImageMark::kLimits).at + RLIMIT_NOFILE * static_cast<uint32_t>(sizeof(rlimit));
  if (own.segments > (1u << 24) || own.semaphores > (1u << 24)) return wrong;
  if (load_le<uint64_t>(process + limit_at) != files.rlim_cur) return wrong;
  if (own.brk != static_cast<uint64_t>(::syscall(SYS_brk, 0))) return wrong;
  uint64_t permitted = 0;
  const uint64_t found = number(process, plan_.place(ImageMark::kStatePermitted));
  const bool told = ::syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &permitted) == 0;
  if (told && (found & ~kSupervisorState) != permitted) return wrong;
  return {};
}

Result<const TaskLook*> TaskImages::look(pid_t pid) {
  const Status ran = run(pid);
  if (!ran.ok()) {
    links_.erase(pid);
    return ran.error();
  }
  PD_TRY(take(pid));
  return &look_;
}

Status TaskImages::run(pid_t pid) {
  auto [link, added] = links_.try_emplace(pid);
  if (added) link->second = PD_TRY(link_process_program(program_, pid));
  store_le<uint64_t>(static_cast<uint8_t*>(processes_.at(0)), 0);
  PD_TRY(run_linked_program(link->second));
  return {};
}

Status TaskImages::take(pid_t pid) {
  auto* process = static_cast<uint8_t*>(processes_.at(0));
  const uint64_t count = load_le<uint64_t>(process);
  look_ = TaskLook();
  if (count == 0) return Error(Code::kGone, "the process has ended");
  if (count > kThreadsMax) return too_many("threads");
  for (ImageMark mark : {ImageMark::kProcessGroup, ImageMark::kSession}) {
    const uint32_t at = plan_.place(mark).at;
    PD_TRY(clear_behind(process + at, word(process, at - 8) + 1, ImagePlan::kNumbersMax, 16,
                        "PID namespaces"));
  }
  const uint32_t space_from = plan_.space_from();
  look_.process = Bytes(process + sizeof(uint64_t), space_from - sizeof(uint64_t));
  look_.space = Bytes(process + space_from, plan_.process().compared - space_from);
  look_.space_at = number(process, plan_.place(ImageMark::kMm));
  look_.brk = number(process, plan_.place(ImageMark::kBrk));
  look_.pending = any_bit(process, plan_.place(ImageMark::kSharedPending));
  look_.dumping_core = any_bit(process, plan_.place(ImageMark::kCoreState));
  const ImagePlan::Place& ipc = plan_.place(ImageMark::kIpcObjects);
  look_.semaphores = word(process, ipc.at);  // ipc_ids.in_use
  look_.message_queues = word(process, ipc.at + ipc.bytes / 3);
  look_.segments = word(process, ipc.at + 2 * (ipc.bytes / 3));
  for (ImageMark mark :
       {ImageMark::kPosixTimers, ImageMark::kIgnoredTimers, ImageMark::kRealTimerState,
        ImageMark::kRealTimerAgain, ImageMark::kCpuTimers}) {
    look_.timers = look_.timers || any_bit(process, plan_.place(mark));
  }
  if (plan_.has(ImageMark::kLockSequence)) {
    look_.mapping_changes = word(process, plan_.place(ImageMark::kLockSequence).at);
  }
  for (uint32_t i = 0; i < count; ++i) {
    auto* thread = static_cast<uint8_t*>(threads_.at(i));
    const uint32_t groups = plan_.place(ImageMark::kGroups).at;
    PD_TRY(clear_behind(thread + groups + 4, word(thread, groups), ImagePlan::kGroupsMax, 4,
                        "groups"));
    thread[plan_.place(ImageMark::kFlags).at] &= static_cast<uint8_t>(~kPassingFlags);
    ThreadImage image;
    image.tid = static_cast<pid_t>(word(thread, plan_.place(ImageMark::kTid).at));
    image.bytes = Bytes(thread, plan_.thread().compared);
    image.sleeps = number(thread, plan_.place(ImageMark::kSleeps));
    image.pending = any_bit(thread, plan_.place(ImageMark::kPending));
    look_.threads.push_back(image);
  }
  const auto leader = std::find_if(look_.threads.begin(), look_.threads.end(),
                                   [pid](const ThreadImage& each) { return each.tid == pid; });
  if (leader == look_.threads.end()) return Error(Code::kGone, "the process has ended");
  std::rotate(look_.threads.begin(), leader, leader + 1);
  return {};
}

void LazyTaskImages::wanted_again() {
  if (++wanted_ == kWantedOften) make();
}

void LazyTaskImages::make() {
  if (forbidden_ || images_ != nullptr) return;
  const Result<Btf> btf = Btf::read_kernel();
  if (!btf.ok()) return;
  auto made = TaskImages::create(*btf);
  if (!made.ok()) return;
  images_ = std::move(*made);
  auto files = FileImages::create(*btf);
  if (files.ok()) files_ = std::move(*files);
}

void LazyTaskImages::forget(pid_t pid) {
  if (images_ != nullptr) images_->forget(pid);
  if (files_ != nullptr) files_->forget(pid);
}

}  // namespace perdure::kernel
