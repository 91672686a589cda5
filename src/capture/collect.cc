#include "capture/collect.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "capture/refusals.h"
#include "capture/signals.h"
#include "capture/thread.h"
#include "capture/wait_seen.h"
#include "kernel/file.h"
#include "kernel/pidfd.h"
#include "kernel/proc/kept_files.h"
#include "kernel/proc/maps.h"
#include "kernel/task_info.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

namespace perdure::capture {
namespace {

using kernel::RegisterGuard;
using kernel::Tracee;

// Finds a system call instruction: in a batch area that is there already, else in the vdso.
Result<RemoteAddr> syscall_instruction(pid_t pid, const kernel::BatchArea& area) {
  if (area.base().value != 0) return area.syscall_instruction();
  for (const kernel::proc::MapsEntry& entry : PD_TRY(kernel::proc::read_maps(pid))) {
    if (entry.path == "[vdso]") {
      return kernel::find_syscall_instruction(pid, RemoteAddr(entry.start),
                                              entry.end - entry.start);
    }
  }
  return Error(Code::kUnsupported,
               "pid " + std::to_string(pid) + " has no vdso, so that no call can be made in it");
}

// An area that another engine left behind.
RemoteAddr find_left_area(const std::vector<kernel::proc::MapsEntry>& maps) {
  for (const kernel::proc::MapsEntry& entry : maps) {
    if (entry.path == kBatchMappingPath) return RemoteAddr(entry.start);
  }
  return {};
}

// One thread at rest, from its registers to its own answers.
class ThreadCollector {
 public:
  ThreadCollector(StoppedThread* thread, const ProcessView& process, ProcessMemo* memo,
                  CollectContext* context)
      : thread_(*thread), process_(process), memo_(*memo), context_(*context) {}

  // extra: further calls for the same batch, decoded by the caller.
  template <typename AddCalls, typename Decode>
  Status run(object::Thread* record, AddCalls add, Decode decode) {
    Tracee& tracee = thread_.tracee;
    const pid_t tid = tracee.tid();
    if (tid == process_.pid) {
      PD_TRY(read_thread(tid, process_.status, record));
      PD_TRY(check_thread(process_, process_.status, context_.engine));
    } else {
      const auto status = PD_TRY(read_thread(process_.pid, tid, record));
      PD_TRY(check_thread(process_, status, context_.engine));
    }
    RegisterGuard guard = PD_TRY(RegisterGuard::hold(&tracee));
    PD_TRY(check_registers(process_, guard.saved()));
    const auto queue = PD_TRY(tracee.pending(Tracee::Queue::kThread));
    PD_TRY(put_pending(queue, record->mutable_pending()));
    record->set_registers(&thread_.saved, sizeof(thread_.saved));
    if (thread_.blocked.number() != 0) *record->mutable_blocked() = thread_.blocked;
    const std::vector<uint8_t> xstate = PD_TRY(tracee.xstate());
    record->set_xstate(xstate.data(), xstate.size());
    record->set_signal_mask(guard.saved_mask());

    kernel::Batch batch = memo_.area.batch();
    ThreadQuery query = ThreadQuery::add(&batch);
    UnusualQuery unusual = UnusualQuery::add(&batch);
    add(&batch);
    PD_TRY(memo_.area.run(&tracee, &batch));
    PD_TRY(query.decode(batch, record));
    PD_TRY(unusual.check(batch, process_));
    PD_TRY(decode(batch));
    if (record->blocked().number() == 0) return {};
    record->mutable_blocked()->set_sleeps(count_sleeps(process_.pid, tid));
    context_.waits.set_switches(tid, record->blocked().sleeps());
    return {};
  }

 private:
  StoppedThread& thread_;
  const ProcessView& process_;
  ProcessMemo& memo_;
  CollectContext& context_;
};

Status collect_leader(StoppedProcess* process, ProcessMemo* memo, CollectContext* context,
                      const ProcessView& view, object::Process* record, object::Thread* leader,
                      uint64_t* brk) {
  StoppedThread& thread = process->threads.front();
  auto queue = PD_TRY(thread.tracee.pending(Tracee::Queue::kProcess));
  PD_TRY(put_pending(queue, record->mutable_pending()));
  ProcessQuery query;
  SysvQuery sysv;
  size_t brk_call = 0;
  using kernel::proc::Namespace;
  const bool own_ipc = context->root_namespaces.link(Namespace::kIpc) != context->engine_ipc;
  return ThreadCollector(&thread, view, memo, context)
      .run(
          leader,
          [&](kernel::Batch* batch) {
            query = ProcessQuery::add(view, *record, batch);
            sysv = SysvQuery::add(batch);
            brk_call = batch->call(SYS_brk, {0}, kernel::OnError::kContinue);
          },
          [&](const kernel::Batch& batch) -> Status {
            *brk = static_cast<uint64_t>(batch.result(brk_call));
            PD_TRY(query.decode(batch, record));
            return own_ipc ? sysv.check(batch, view) : Status();
          });
}

Status collect_other_threads(StoppedProcess* process, ProcessMemo* memo, CollectContext* context,
                             const ProcessView& view, object::Process* record) {
  if (process->threads.size() == 1) return {};
  const kernel::proc::Namespaces own = PD_TRY(kernel::proc::read_namespaces(process->pid));
  for (size_t i = 1; i < process->threads.size(); ++i) {
    StoppedThread& thread = process->threads[i];
    PD_TRY(check_thread_sharing(view, thread.tid()));
    PD_TRY(check_thread_namespaces(view, thread.tid(), own));
    const ObjectId id = context->ids.id_of(memo->thread_key(thread.tid()));
    PD_TRY(ThreadCollector(&thread, view, memo, context)
               .run(
                   &context->graph.threads[id], [](kernel::Batch*) {},
                   [](const kernel::Batch&) -> Status { return {}; }));
    record->add_threads(id.value);
  }
  return {};
}

bool same_call(const object::BlockedCall& one, const object::BlockedCall& other) {
  return one.number() == other.number() && one.remaining_ns() == other.remaining_ns() &&
         one.instruction() == other.instruction() && one.sleeps() == other.sleeps();
}

// What changes while a program does nothing but compute and wait.
Status collect_known_thread(StoppedThread* thread, KnownProcess* known, CollectContext* context,
                            object::Thread* record) {
  Tracee& tracee = thread->tracee;
  const pid_t tid = tracee.tid();
  known->lend_thread(tid, record);
  const kernel::ThreadImage& image = known->image(tid);
  bool changed = image.pending || record->pending_size() != 0;
  record->clear_pending();
  if (image.pending) {
    const auto queue = PD_TRY(tracee.pending(Tracee::Queue::kThread));
    PD_TRY(put_pending(queue, record->mutable_pending()));
  }
  const bool scheduled = PD_TRY(read_scheduling(tid, record));
  const std::string_view registers(reinterpret_cast<const char*>(&thread->saved),
                                   sizeof(thread->saved));
  const bool ran = record->registers() != registers;
  if (ran) record->set_registers(registers.data(), registers.size());
  const bool computed = PD_TRY(tracee.read_xstate(record->mutable_xstate()));
  const uint64_t mask = PD_TRY(tracee.signal_mask());
  changed = changed || scheduled || ran || computed || mask != record->signal_mask();
  record->set_signal_mask(mask);
  if (record->has_blocked() || thread->blocked.number() != 0) {
    object::BlockedCall blocked = thread->blocked;
    if (blocked.number() != 0) {
      blocked.set_sleeps(image.sleeps);
      context->waits.set_switches(tid, image.sleeps);
    }
    changed = changed || !same_call(blocked, record->blocked());
    record->clear_blocked();
    if (blocked.number() != 0) record->mutable_blocked()->Swap(&blocked);
  }
  if (changed) known->note_thread_change(tid);
  return {};
}

// They are those that the record of the process names, but may be found in another order.
Status collect_known_threads(StoppedProcess* process, ProcessMemo* memo, CollectContext* context,
                             const ProcessView& view, object::Process* record) {
  for (size_t i = 0; i < process->threads.size(); ++i) {
    StoppedThread& thread = process->threads[i];
    PD_TRY(check_registers(view, thread.saved));
    const ObjectId id = context->ids.id_of(memo->thread_key(thread.tid()));
    PD_TRY(collect_known_thread(&thread, &memo->known, context, &context->graph.threads[id]));
    context->graph.versions[id] = memo->known.thread_version(thread.tid());
    const int place = static_cast<int>(i);
    if (record->threads(place) == id.value) continue;
    record->set_threads(place, id.value);
    memo->known.note_change();
  }
  return {};
}

// The records that the process had, with what may differ read again.
Result<ProcessView> collect_known(StoppedProcess* process, ProcessMemo* memo,
                                  CollectContext* context, object::Process* record) {
  KnownProcess& known = memo->known;
  known.lend(record);
  const ProcessView view{process->pid, process->stat, known.status()};
  const bool moved = PD_TRY_WITHIN(view.name(), read_places(process->pid, record));
  if (moved || known.look()->pending || record->pending_size() != 0) known.note_change();
  record->clear_pending();
  using kernel::proc::Namespace;
  if (context->root_namespaces.link(Namespace::kIpc) != context->engine_ipc) {
    PD_TRY(check_sysv(view, known.look()->semaphores, known.look()->message_queues));
    context->no_segments = known.look()->segments == 0;
  }
  if (known.look()->pending) {
    auto queue = PD_TRY(process->threads.front().tracee.pending(Tracee::Queue::kProcess));
    PD_TRY(put_pending(queue, record->mutable_pending()));
  }
  PD_TRY_WITHIN(view.name(), collect_known_threads(process, memo, context, view, record));
  return view;
}

// The executable's identity: the mapping of /proc/PID/exe's file stands in MappedFiles by its
// inode.
ObjectId executable_record(const object::AddressSpace& space, const MappedFiles& files,
                           const std::string& path) {
  for (const object::Vma& vma : space.vmas()) {
    if (vma.kind() != object::Vma::FILE_PRIVATE) continue;
    auto record = files.records().find(ObjectId(vma.file()));
    if (record != files.records().end() && record->second.has_regular() &&
        record->second.regular().identity().path() == path) {
      return record->first;
    }
  }
  return {};
}

}  // namespace

Status enter_process(StoppedProcess* process, kernel::BatchArea inherited, ProcessMemo* memo,
                     kernel::TaskImages* images) {
  memo->unchanged = memo->tracked && memo->known.holds(*process, images);
  if (memo->unchanged) return {};
  memo->known.begin(*process, images);
  process->status = PD_TRY(kernel::proc::read_status(process->pid));
  for (StoppedThread& thread : process->threads)
    thread.tracee.set_caught_signals(process->status->caught);
  if (memo->area.present(process->pid)) return {};
  kernel::proc::forget_memory_files(process->pid);
  if (memo->area.base().value != 0) {  // it executed another program
    ++memo->executions;
    memo->tracked = false;
    memo->mappings = {};
    kernel::proc::forget_files(process->pid);
    kernel::proc::keep_files(process->pid);
  }
  memo->area = kernel::BatchArea::at(RemoteAddr());
  if (inherited.present(process->pid)) {
    memo->area = inherited;
    return {};
  }
  std::vector<kernel::proc::MapsEntry> maps = PD_TRY(kernel::proc::read_maps(process->pid));
  kernel::BatchArea left = kernel::BatchArea::at(find_left_area(maps));
  if (left.present(process->pid)) {
    memo->area = left;
    return {};
  }
  Tracee& leader = process->threads.front().tracee;
  const RemoteAddr instruction = PD_TRY(syscall_instruction(process->pid, memo->area));
  RegisterGuard guard = PD_TRY(RegisterGuard::hold(&leader));
  memo->area = PD_TRY(kernel::BatchArea::map(&leader, instruction));
  return {};
}

Result<Fd> take_userfaultfd(StoppedProcess* process, const ProcessMemo& memo) {
  Tracee& leader = process->threads.front().tracee;
  const Fd pidfd = PD_TRY(kernel::pidfd_open(process->pid));
  RegisterGuard guard = PD_TRY(RegisterGuard::hold(&leader));
  // Made, shown to us, closed: in one batch.
  kernel::Batch batch = memo.area.batch();
  const size_t made = batch.call(SYS_userfaultfd, {O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY});
  const kernel::BatchArea::Visit visit = kernel::BatchArea::add_visit(&batch);
  batch.call(SYS_close, {kernel::Arg::result_of(made)});
  Result<Fd> ours = Fd();
  PD_TRY(memo.area.run_visited(&leader, &batch, visit, [&](int64_t number) {
    if (number >= 0) ours = kernel::pidfd_getfd(pidfd.get(), static_cast<int>(number));
  }));
  return ours;
}

namespace {

Result<ProcessView> collect_anew(StoppedProcess* process, ProcessMemo* memo,
                                 CollectContext* context, object::Process* record, uint64_t* brk) {
  if (!process->status) process->status = PD_TRY(kernel::proc::read_status(process->pid));
  ProcessView view =
      PD_TRY(read_process(process->pid, process->stat, *process->status, &context->pids, record));
  PD_TRY(check_process(view));
  if (process->zombie) return view;
  const kernel::proc::Namespaces own = PD_TRY(kernel::proc::read_namespaces(process->pid));
  PD_TRY(check_namespaces(view, own, context->root_namespaces));

  const ObjectId leader = context->ids.id_of(memo->thread_key(process->pid));
  record->add_threads(leader.value);
  PD_TRY_WITHIN(view.name(), collect_leader(process, memo, context, view, record,
                                            &context->graph.threads[leader], brk));
  PD_TRY_WITHIN(view.name(), collect_other_threads(process, memo, context, view, record));
  if (process->threads.front().tracee.stop_kind() == kernel::StopKind::kGroupStop) {
    record->set_state(object::Process::STOPPED);
    record->set_stop_signal(process->threads.front().tracee.stop_signal());
  }
  return view;
}

void keep_known(const StoppedProcess& process, ProcessMemo* memo, CollectContext* context,
                const object::Process& record) {
  if (context->images == nullptr) return;
  std::map<pid_t, object::Thread> threads;
  for (int i = 0; i < record.threads_size(); ++i) {
    threads[process.threads[static_cast<size_t>(i)].tid()] =
        context->graph.threads.at(ObjectId(record.threads(i)));
  }
  memo->known.keep(process, record, threads, context->images);
  for (int i = 0; memo->known.version() != 0 && i < record.threads_size(); ++i) {
    context->graph.versions[ObjectId(record.threads(i))] =
        memo->known.thread_version(process.threads[static_cast<size_t>(i)].tid());
  }
}

// The record of the address space, and the areas in which pages are looked for.
Result<object::AddressSpace> collect_space(const StoppedProcess& process, uint64_t brk,
                                           ProcessMemo* memo, CollectContext* context,
                                           std::vector<memory::Area>* areas) {
  const kernel::TaskLook* look = memo->known.look();
  const uint64_t now_ns = context->stopped_at_ns;
  if (memo->unchanged && memo->space.holds(*look, now_ns, &context->files)) {
    *areas = memo->space.private_areas();
    object::AddressSpace space;
    memo->space.lend(&space);
    return space;
  }
  memo->space.forget();
  VmaOptions options;
  options.brk = brk;
  options.stat = &process.stat;
  if (memo->tracked)
    options.watch = memo->served ? EngineWatch::kMissingPages : EngineWatch::kWrites;
  options.known_flags = memo->mappings.entries;
  VmaCapture vmas = PD_TRY(capture_vmas(process.pid, options, context->files, context->objects));
  if (look != nullptr) memo->space.keep(*look, vmas, context->files, now_ns);
  *areas = std::move(vmas.private_areas);
  memo->mappings.entries = std::move(vmas.entries);
  return std::move(vmas.space);
}

}  // namespace

Result<CollectedProcess> collect_process(StoppedProcess* process, ProcessMemo* memo,
                                         CollectContext* context) {
  CollectedProcess collected;
  collected.id = context->ids.id_of(memo->key());
  object::Process& record = context->graph.processes[collected.id];
  uint64_t brk = 0;
  if (memo->unchanged) {
    collected.view = PD_TRY(collect_known(process, memo, context, &record));
    brk = memo->known.look()->brk;
    for (int i = 0; i < record.threads_size(); ++i)
      collected.tids[record.threads(i)] = process->threads[static_cast<size_t>(i)].tid();
  } else {
    collected.view = PD_TRY(collect_anew(process, memo, context, &record, &brk));
    if (process->zombie) return collected;
    keep_known(*process, memo, context, record);
  }
  auto space = PD_TRY(collect_space(*process, brk, memo, context, &collected.areas));
  collected.space = context->ids.id_of(memo->space_key());
  const ObjectId program = executable_record(space, context->files, record.executable());
  if (record.address_space() != collected.space.value || record.executable_file() != program.value)
    memo->known.note_change();
  record.set_address_space(collected.space.value);
  record.set_executable_file(program.value);
  if (memo->known.version() != 0) context->graph.versions[collected.id] = memo->known.version();
  context->graph.address_spaces[collected.space] = std::move(space);
  if (memo->space.version() != 0) context->graph.versions[collected.space] = memo->space.version();
  return collected;
}

void take_back(const CollectedProcess& collected, object::Graph* graph, ProcessMemo* memo) {
  if (!memo->unchanged || collected.space == ObjectId()) return;
  object::Process& record = graph->processes.at(collected.id);
  for (const uint64_t id : record.threads()) {
    object::Thread& thread = graph->threads.at(ObjectId(id));
    const auto tid = collected.tids.find(id);
    if (tid != collected.tids.end()) memo->known.take_back_thread(tid->second, &thread);
  }
  memo->known.take_back(&record);
  memo->space.take_back(&graph->address_spaces.at(collected.space));
}

Status leave_process(StoppedProcess* process, ProcessMemo* memo) {
  if (!memo->area.present(process->pid)) return {};
  Tracee& leader = process->threads.front().tracee;
  const RemoteAddr instruction =
      PD_TRY(syscall_instruction(process->pid, kernel::BatchArea::at(RemoteAddr())));
  RegisterGuard guard = PD_TRY(RegisterGuard::hold(&leader));
  PD_TRY(memo->area.unmap(&leader, instruction));
  memo->area = kernel::BatchArea::at(RemoteAddr());
  return {};
}

}  // namespace perdure::capture
