// Bringing an epoch back to life.
//
//   records -> checked -> plan; init (or builder) opens the files and clones the roots; the engine
//   makes the tree with its memory, then gives every process its state, one step for all before the
//   next; then everything runs at once.
// Until the last step nothing of the program has run, and a failure leaves no process behind.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/checksum.h"
#include "base/limits.h"
#include "engine/instance.h"
#include "engine/look_ahead.h"
#include "engine/start.h"
#include "engine/timing.h"
#include "kernel/memory.h"
#include "kernel/pid_number.h"
#include "kernel/proc/read.h"
#include "kernel/proc/stat.h"
#include "kernel/proc/status.h"
#include "kernel/spawn.h"
#include "kernel/terminal.h"
#include "restore/address_space.h"
#include "restore/credentials.h"
#include "restore/file_late.h"
#include "restore/finish.h"
#include "restore/opened_files.h"
#include "restore/outlook.h"
#include "restore/page_host.h"
#include "restore/page_loader.h"
#include "restore/primed_call.h"
#include "restore/sysv_shm.h"
#include "restore/task.h"
#include "restore/tree.h"

namespace perdure::engine {
namespace {

using restore::Skeleton;

// Some inits reap the orphans that they inherit only every few seconds.
constexpr uint64_t kPidWaitNs = 15'000'000'000;
constexpr size_t kFillBytes = 1u << 20;

class Restorer {
 public:
  Restorer(const RestoreOptions& options, GroupState* state) : options_(options), state_(*state) {}

  Status run() {
    begin_ns_ = state_.clock.monotonic_ns();
    PD_TRY(load());
    timing_.mark("load");
    PD_TRY(check_privileges());
    PD_TRY(restore::FileBuilder::check(graph_, file_options(-1)));
    timing_.mark("check");
    if (!own_namespaces_) PD_TRY(wait_for_pids());
    PD_TRY(check_living());
    plan_ = PD_TRY(restore::make_plan(graph_, sharing_spaces()));
    PD_TRY(choose_laziness());
    PD_TRY(continue_clocks());
    PD_TRY(open_terminal());
    PD_TRY(restore::open_segments(graph_, *reader_));
    restore::Init init = PD_TRY(restore::Init::start(init_options(), [this] { return build(); }));
    timing_.mark("builder");
    Status done = finish(&init);
    if (!done.ok()) undo(init);
    // What the engine sees of a pager that ended the group is that processes are gone.
    const auto why = done.ok() || missing_ == nullptr ? std::nullopt : missing_->failure();
    if (why) return Error(Code::kCorrupt, *why).with_remedy("restore another epoch");
    return done;
  }

 private:
  Status load() {
    Epoch epoch = options_.epoch;
    if (epoch.value == 0) {
      std::optional<store::EpochInfo> newest = state_.store->newest();
      if (!newest && !state_.store->warnings().empty()) {
        return Error(Code::kCorrupt, "group " + state_.name +
                                         " has no epoch left: " + state_.store->warnings().front())
            .with_remedy("the store is damaged; restore it from a copy");
      }
      if (!newest)
        return Error(Code::kNotFound, "group " + state_.name + " has no epoch to restore");
      epoch = newest->epoch;
    }
    reader_ = PD_TRY(state_.store->read_epoch(epoch));
    PD_TRY(reader_->for_each_record([this](ObjectId id, uint32_t kind, Bytes bytes) {
      records_[id] = {kind, checksum(bytes)};
      return graph_.add(id, kind, bytes);
    }));
    PD_TRY(graph_.check());
    own_namespaces_ = graph_.group.own_namespaces() || options_.isolate;
    graph_.group.set_own_namespaces(own_namespaces_);
    report_.epoch = epoch;
    return {};
  }

  // What the kernel would refuse half way is told before anything is built.
  Status check_privileges() const {
    using kernel::Feature;
    for (Feature needed : {Feature::kSetTid, Feature::kMmMap, Feature::kChangeIds}) {
      PD_TRY(state_.features.require(needed));
    }
    if (own_namespaces_) PD_TRY(state_.features.require(Feature::kNamespaces));
    const kernel::proc::TaskStatus own = PD_TRY(kernel::proc::read_status(getpid()));
    for (const auto& [id, process] : graph_.processes) {
      for (uint64_t thread : process.threads()) {
        PD_TRY(restore::check_credentials_possible(
            graph_.threads.at(ObjectId(thread)).credentials(), own.cap_permitted, own.cap_bounding,
            restore::name_of(process)));
      }
    }
    return {};
  }

  // In the host's PID namespace a number may be taken. One that only a dead process holds, until
  // its parent waits for it, or that is about to be given back, is waited for.
  Status wait_for_pids() const {
    std::set<pid_t> numbers;
    for (const auto& [id, process] : graph_.processes) numbers.insert(process.pid());
    for (const auto& [id, thread] : graph_.threads) numbers.insert(thread.tid());
    const uint64_t until_ns = state_.clock.monotonic_ns() + kPidWaitNs;
    for (const pid_t number : numbers) {
      while (PD_TRY(kernel::is_number_taken(number))) {
        const Result<kernel::proc::Stat> holder = kernel::proc::read_stat(number);
        const bool alive = holder.ok() && !holder->is_zombie();
        if (alive || state_.clock.monotonic_ns() > until_ns) return taken(number, holder);
        timespec pause{0, 1'000'000};
        nanosleep(&pause, nullptr);
      }
    }
    return {};
  }

  static Error taken(pid_t number, const Result<kernel::proc::Stat>& holder) {
    std::string who = "a process group or session whose leader has ended";
    if (holder.ok()) {
      who = (holder->is_zombie() ? "a dead process that its parent does not wait for: " : "") +
            holder->comm;
    }
    return Error(Code::kExists,
                 "pid " + std::to_string(number) + ", which the group needs, is in use by " + who)
        .with_remedy("end that process, or restore with --isolate into fresh namespaces");
  }

  // Pairs of address spaces for which the store holds some page once.
  std::set<std::pair<uint64_t, uint64_t>> sharing_spaces() const {
    std::set<std::pair<uint64_t, uint64_t>> pairs;
    for (uint64_t id : graph_.group.processes()) {
      const object::Process& process = graph_.processes.at(ObjectId(id));
      const object::Process* parent = graph_.find_process(process.parent_pid());
      if (parent == nullptr || process.address_space() == 0 || parent->address_space() == 0)
        continue;
      if (share_pages(parent->address_space(), process.address_space())) {
        pairs.insert({parent->address_space(), process.address_space()});
      }
    }
    return pairs;
  }

  bool share_pages(uint64_t parent, uint64_t child) const {
    const std::vector<store::PageExtent> first = reader_->extents(ObjectId(parent));
    const std::vector<store::PageExtent> second = reader_->extents(ObjectId(child));
    size_t next = 0;
    for (const store::PageExtent& extent : second) {
      while (next < first.size() && first[next].end() <= extent.first_page) ++next;
      for (size_t i = next; i < first.size() && first[i].first_page < extent.end(); ++i) {
        const uint64_t from = std::max(first[i].first_page, extent.first_page);
        const uint64_t to = std::min(first[i].end(), extent.end());
        if (first[i].clipped(from, to).location == extent.clipped(from, to).location) return true;
      }
    }
    return false;
  }

  // CLOCK_MONOTONIC and CLOCK_BOOTTIME go on where they stood, by a time namespace.
  Status continue_clocks() {
    if (!state_.features.has(kernel::Feature::kTimeNamespace)) return {};
    timespec monotonic{};
    timespec boottime{};
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_BOOTTIME, &boottime);
    auto offset = [](uint64_t wanted, const timespec& now) {
      return static_cast<int64_t>(wanted) - (now.tv_sec * 1'000'000'000 + now.tv_nsec);
    };
    return kernel::enter_time_namespace_for_children(
        offset(graph_.group.captured_monotonic_ns(), monotonic),
        offset(graph_.group.captured_boottime_ns(), boottime));
  }

  Status open_terminal() {
    const object::Terminal& saved = graph_.group.terminal();
    if (!saved.present()) return {};
    terminal_ =
        PD_TRY(kernel::open_terminal(options_.terminal_size.rows, options_.terminal_size.columns));
    return kernel::set_terminal_settings(terminal_.slave, saved.termios());
  }

  // Small groups are there sooner without a pager. A group without an init of ours has nobody who
  // could bring pages if the engine dies.
  Status choose_laziness() {
    lazy_settings_ = PD_TRY(LazySettings::from_environment());
    if (lazy_settings_.mapping_pages) smallest_.mapping_pages = *lazy_settings_.mapping_pages;
    if (lazy_settings_.space_pages) smallest_.space_pages = *lazy_settings_.space_pages;
    uint64_t pages = 0;
    for (const store::ObjectSummary& object : reader_->objects()) {
      if (graph_.address_spaces.contains(object.object)) pages = std::max(pages, object.pages);
    }
    const bool lazily = own_namespaces_ && !options_.eager && pages >= smallest_.space_pages &&
                        pages > 0 && state_.features.has(kernel::Feature::kLazyRestore);
    outlook_ = restore::outlook_of(graph_, plan_, *reader_, smallest_);
    lazy_.outlook = &outlook_;
    if (!lazily) return {};
    std::map<ObjectId, memory::PageSet> saved;
    if (options_.saved_periodically &&
        memory::best_tracker(state_.tracker_features) == memory::TrackerKind::kPagemapScan) {
      lazy_.placing = kernel::Placing::kProtected;
      for (const auto& [space, mappings] : outlook_.lazy) {
        memory::PageSet missing = restore::lazy_pages(outlook_, *reader_, space);
        if (!missing.empty()) saved[space] = std::move(missing);
      }
    }
    missing_ = PD_TRY(MissingPages::create(std::move(saved)));
    return {};
  }

  // Numbers that a thread of the init must not have.
  std::set<pid_t> taken_numbers() const {
    std::set<pid_t> taken;
    for (const auto& [id, process] : graph_.processes) {
      taken.insert({process.pid(), process.process_group(), process.session()});
    }
    for (const auto& [id, thread] : graph_.threads) taken.insert(thread.tid());
    for (const restore::Node& node : plan_.nodes) taken.insert(node.pid);  // transients, too
    return taken;
  }

  restore::InitOptions init_options() {
    restore::InitOptions options;
    options.namespaces = own_namespaces_ ? restore::Namespaces::kOwn : restore::Namespaces::kShared;
    options.hostname = graph_.group.hostname();
    options.domainname = graph_.group.domainname();
    // The disk begins with what has to be there before the group runs.
    options.meanwhile = [this] { reader_->read_ahead(std::move(outlook_.at_once)); };
    if (missing_ == nullptr) return options;
    options.afterwards = [this] {
      page_host_->begin_reading(restore::hot_runs(outlook_, *reader_));
    };
    options.serve = [this](const std::string& message, Fd descriptor) {
      return message.empty() ? page_host_->start()
                             : page_host_->take(message, std::move(descriptor));
    };
    options.with_kept = [this](const std::function<void(std::vector<int>)>& work) {
      page_host_->leave_builder(work);
    };
    return options;
  }

  restore::FileBuildOptions file_options(int terminal) {
    restore::FileBuildOptions options;
    options.policy = options_.files == FilePolicy::kVolatile ? restore::FilePolicy::kVolatile
                                                             : restore::FilePolicy::kUnchanged;
    options.streams = options_.streams;
    options.terminal = terminal;
    options.fresh_namespaces = own_namespaces_;
    options.fill_memory = [this](ObjectId id, int fd) { return fill_memory(id, fd); };
    return options;
  }

  // In the builder.
  Status fill_memory(ObjectId id, int fd) const {
    std::vector<uint8_t> buffer(kFillBytes);
    const uint64_t size = graph_.memory_objects.at(id).size();
    for (const store::PageExtent& whole : reader_->extents(id)) {
      for (uint64_t first = whole.first_page; first < whole.end();
           first += kFillBytes >> kPageShift) {
        const store::PageExtent part =
            whole.clipped(first, std::min(first + (kFillBytes >> kPageShift), whole.end()));
        const uint64_t at = part.first_page << kPageShift;
        PD_TRY(reader_->read_pages(
            part, MutableBytes(buffer.data(), uint64_t{part.count} << kPageShift)));
        const uint64_t bytes =
            std::min(uint64_t{part.count} << kPageShift, size > at ? size - at : 0);
        if (pwrite(fd, buffer.data(), bytes, static_cast<off_t>(at)) !=
            static_cast<ssize_t>(bytes)) {
          return Error::system(errno, "fill memory object", std::to_string(id.value));
        }
      }
    }
    return {};
  }

  // In the builder, inside the namespaces.
  Result<std::string> build() {
    // Descriptors of the group lie below those of the builder: both have to fit. What may be is
    // what the engine may.
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
      files.rlim_cur = files.rlim_max;
      (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    rlimit no_core{0, 0};
    if (getrlimit(RLIMIT_CORE, &no_core) == 0) {
      no_core.rlim_cur = 0;
      (void)setrlimit(RLIMIT_CORE, &no_core);
    }
    if (missing_ != nullptr) {
      memory::Pager::Options paging;
      if (lazy_settings_.delay_ms) paging.fill_delay_ms = *lazy_settings_.delay_ms;
      paging.keeper = missing_->take_end();
      paging.placing = lazy_.placing;
      paging.state = &missing_->progress()->pending;
      page_host_ = PD_TRY(restore::PageHost::create(taken_numbers(), *reader_, std::move(paging),
                                                    missing_->progress(), missing_->books()));
    }
    PD_TRY(restore::make_sysv_segments(graph_, *reader_));
    restore::FileBuilder builder = PD_TRY(restore::FileBuilder::open_all(
        graph_, file_options(terminal_.slave.valid() ? terminal_.slave.get() : -1)));
    restore::BuilderAnswer answer;
    answer.opened = builder.opened();
    const restore::ParentOf parent =
        own_namespaces_ ? restore::ParentOf::kTheBuilder : restore::ParentOf::kTheEngine;
    for (size_t root : plan_.roots)
      answer.roots.push_back(PD_TRY(restore::clone_root(plan_.nodes[root], parent)));
    return restore::encode_answer(answer);
  }

  Status finish(restore::Init* init) {
    restore::BuilderAnswer answer = PD_TRY(restore::decode_answer(init->answer()));
    restore::Site site(graph_, *reader_, state_.features, std::move(answer.opened));
    site.plan = &plan_;
    if (missing_ != nullptr) {
      missing_->drop_end();
      site.lazy = lazy_;
      site.lazy.hand_over = [init](const restore::LazySpace& space, const Fd& uffd) {
        return init->call(restore::encode_lazy_space(space), uffd.get());
      };
    }
    const RemoteAddr gap = PD_TRY(restore::find_common_gap(
        graph_, kernel::BatchArea::kBytes + kPageSize + restore::kScratchBytes));
    site.area = kernel::BatchArea::at(gap);
    site.scratch = gap + kernel::BatchArea::kBytes + kPageSize;
    roots_ = PD_TRY(outer_pids(*init, answer.roots));
    PD_TRY(restore::make_tree(plan_, roots_, &site, &skeletons_));
    if (site.pages_lazy > 0) {
      PD_TRY(init->call({}, -1));
    } else {
      missing_.reset();
    }
    timing_.mark("memory");
    PD_TRY(restore::end_transients(plan_, &site, &skeletons_));
    PD_TRY(restore::set_process_groups(&site, &skeletons_));
    PD_TRY(restore::end_zombies(&site, &skeletons_));
    timing_.mark("tree");
    PD_TRY(give_state(&site));
    timing_.mark("state");
    PD_TRY(reader_->verify_extents(site.unverified));
    timing_.mark("verify");
    PD_TRY(settle(init));
    PD_TRY(inherit());
    std::vector<Skeleton*> order = living();
    std::stable_partition(order.begin(), order.end(), [](const Skeleton* skeleton) {
      return skeleton->process().state() == object::Process::STOPPED;
    });
    for (Skeleton* skeleton : order) {
      Status noted = note_deadlines(skeleton);
      // One that runs by now may have ended it.
      if (!noted.ok() && noted.error().code() != Code::kGone) return noted;
      PD_TRY(restore::let_go(skeleton));
    }
    timing_.mark("resume");
    report_.pages = site.pages_loaded;
    report_.lazy_pages = site.pages_lazy;
    state_.missing_pages = std::move(missing_);
    report_.total_us = (state_.clock.monotonic_ns() - begin_ns_) / 1000;
    report_.timing_json = timing_.json();
    state_.restored = report_;
    return {};
  }

  Status check_living() const {
    const bool lives = std::any_of(
        graph_.processes.begin(), graph_.processes.end(),
        [](const auto& item) { return item.second.state() != object::Process::ZOMBIE; });
    if (lives) return {};
    return Error(Code::kInvalid, "epoch " + std::to_string(reader_->info().epoch.value) +
                                     " was made while the group ended: it holds no living process")
        .with_remedy("restore an older one: `perdure log` lists them");
  }

  Status give_state(restore::Site* site) {
    using Step = Status (*)(Skeleton*, restore::Site*);
    constexpr Step kSteps[] = {restore::place_files,        restore::leave_builder,
                               restore::make_threads,       restore::set_state,
                               restore::give_up_privileges, restore::put_registers};
    for (Step step : kSteps) {
      if (step == restore::leave_builder) PD_TRY(seal_memory(site));
      for (Skeleton* skeleton : living()) PD_TRY(step(skeleton, site));
    }
    return {};
  }

  Status seal_memory(restore::Site* site) {
    Skeleton* first = living().front();
    PD_TRY(restore::run_calls(
        *site, &first->leader, first->name(),
        [this](restore::RemoteCalls* calls) { restore::add_destroyed_marks(graph_, calls); }));
    for (restore::LateCalls late(restore::seal_calls(graph_, site->opened)); !late.done();) {
      kernel::Batch batch = site->area.batch();
      late.fill(&batch);
      PD_TRY(site->area.run(&first->leader, &batch));
      PD_TRY(late.check(batch));
    }
    return {};
  }

  // Calls that the engine ends at their deadline.
  Status note_deadlines(Skeleton* skeleton) {
    for (int i = 0; i < skeleton->process().threads_size(); ++i) {
      const object::Thread& thread = graph_.threads.at(ObjectId(skeleton->process().threads(i)));
      const object::BlockedCall& blocked = thread.blocked();
      if (blocked.number() == 0 || restore::is_primed(blocked.number())) continue;
      kernel::Tracee& tracee =
          i == 0 ? skeleton->leader : skeleton->threads[static_cast<size_t>(i - 1)];
      state_.waits.put_saved(skeleton->pid, tracee.tid(), thread,
                             state_.clock.monotonic_ns() + blocked.remaining_ns());
      PD_TRY(state_.waits.mark_saved(&tracee));
    }
    return {};
  }

  std::vector<Skeleton*> living() {
    std::vector<Skeleton*> list;
    for (Skeleton& skeleton : skeletons_) {
      if (!skeleton.ended && !skeleton.node->transient()) list.push_back(&skeleton);
    }
    return list;
  }

  // The roots' pids as the engine sees them.
  Result<std::vector<pid_t>> outer_pids(const restore::Init& init,
                                        const std::vector<pid_t>& inner) const {
    if (!own_namespaces_) return inner;
    std::map<pid_t, pid_t> outer_of;
    const std::string text =
        PD_TRY(kernel::proc::read_text(kernel::proc::path_of(init.pid(), init.pid(), "children")));
    for (std::string_view word : kernel::proc::split(text, ' ')) {
      const pid_t pid =
          static_cast<pid_t>(kernel::proc::parse_signed(kernel::proc::trimmed(word)).value_or(0));
      if (pid == 0) continue;
      outer_of[PD_TRY(kernel::proc::read_status(pid)).inner_tgid()] = pid;
    }
    std::vector<pid_t> outer;
    for (pid_t pid : inner) {
      if (!outer_of.contains(pid))
        return Error(Code::kGone, "a process of the group ended before it was restored");
      outer.push_back(outer_of[pid]);
    }
    return outer;
  }

  Status settle(restore::Init* init) {
    *state_.instance.mutable_command() = graph_.group.command();
    state_.instance.set_serial(graph_.group.instance_serial());
    state_.parent = report_.epoch;
    const object::Process& main = main_process();
    if (own_namespaces_)
      return settle_instance({init, main.pid(), std::move(terminal_.master)}, &state_);
    PD_TRY(init->release(main.pid(), {}));
    return settle_tree(roots_.front(), Kinship::kChild, &state_);
  }

  // The next epoch changes the restored one: objects that live on keep their ids.
  Status inherit() {
    std::map<const object::Process*, ObjectId> id_of;
    for (const auto& [id, process] : graph_.processes) id_of[&process] = id;
    for (Skeleton* skeleton : living()) {
      const object::Process& process = skeleton->process();
      const kernel::proc::Stat stat = PD_TRY(kernel::proc::read_stat(skeleton->pid));
      Member& member = member_for(&state_, skeleton->pid, stat.start_ticks);
      const ObjectId space(process.address_space());
      state_.ids.bind(member.memo.key(), id_of.at(&process));
      state_.ids.bind(member.memo.space_key(), space);
      state_.ids.bind(member.memo.thread_key(skeleton->pid), ObjectId(process.threads(0)));
      for (int i = 1; i < process.threads_size(); ++i) {
        const kernel::Tracee& thread = skeleton->threads[static_cast<size_t>(i - 1)];
        state_.ids.bind(member.memo.thread_key(thread.tid()), ObjectId(process.threads(i)));
      }
      member.inherited.emplace(reader_, space);
      member.known = member.inherited->pages();
      if (missing_ == nullptr || !missing_->books().contains(space)) continue;
      missing_->watch(space, PD_TRY(kernel::open_proc_file(skeleton->pid, "pagemap", O_RDONLY)));
    }
    state_.stored = std::move(records_);
    state_.full_next = false;
    return {};
  }

  const object::Process& main_process() const {
    for (size_t root : plan_.roots) {
      if (!plan_.nodes[root].transient()) return *plan_.nodes[root].process;
    }
    return *plan_.nodes.front().process;
  }

  // Whatever was made dies; nothing of it has run.
  void undo(const restore::Init& init) {
    for (Skeleton& skeleton : skeletons_) {
      if (skeleton.pid != 0 && !skeleton.ended) (void)kill(skeleton.pid, SIGKILL);
    }
    for (pid_t root : roots_) (void)kill(root, SIGKILL);
    (void)kill(init.pid(), SIGKILL);
    for (Skeleton& skeleton : skeletons_) {
      // The main thread's end is told only when we have heard of the others'.
      for (kernel::Tracee& thread : skeleton.threads) {
        (void)waitpid(thread.tid(), nullptr, __WALL);
        thread.abandon();
      }
      skeleton.leader.abandon();
      if (skeleton.pid != 0) (void)waitpid(skeleton.pid, nullptr, __WALL);
    }
    (void)waitpid(init.pid(), nullptr, __WALL);
  }

  const RestoreOptions& options_;
  GroupState& state_;
  RestoreReport report_;
  Timing timing_{state_.clock};
  uint64_t begin_ns_ = 0;
  bool own_namespaces_ = true;
  object::Graph graph_;
  std::shared_ptr<const store::EpochReader> reader_;
  std::map<ObjectId, StoredRecord> records_;
  restore::Plan plan_;
  // 4 MiB load in the time that a pager takes to start.
  restore::Smallest smallest_{.mapping_pages = 64, .space_pages = 1024};
  restore::Outlook outlook_;
  restore::LazyPolicy lazy_;
  LazySettings lazy_settings_;
  std::unique_ptr<MissingPages> missing_;         // null: everything is loaded at once
  std::unique_ptr<restore::PageHost> page_host_;  // in the init
  kernel::TerminalPair terminal_;
  std::vector<pid_t> roots_;
  std::vector<Skeleton> skeletons_;
};

}  // namespace

Status restore(const RestoreOptions& options, GroupState* state) {
  return Restorer(options, state).run();
}

}  // namespace perdure::engine
