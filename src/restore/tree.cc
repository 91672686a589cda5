#include "restore/tree.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "kernel/pidfd.h"
#include "kernel/spawn.h"
#include "restore/address_space.h"
#include "restore/file_late.h"

namespace perdure::restore {
namespace {

using object::Process;

constexpr uint64_t kVdsoBytesMax = 4 * 4096;
constexpr int kAnySignal = SIGCHLD;

int skeleton_main() {
  for (;;) pause();
}

int exit_signal_of(const Node& node) {
  if (node.transient()) return 0;
  return node.process->exit_signal() >= 0 ? node.process->exit_signal() : kAnySignal;
}

Error name_taken(const Error& error, const Node& node) {
  if (error.error_number() != EEXIST && error.code() != Code::kExists) return error;
  return Error(Code::kExists, "pid " + std::to_string(node.pid) +
                                  ", which the group needs, is in use by another process")
      .with_remedy("end that process, or restore with --isolate into fresh namespaces");
}

class TreeMaker {
 public:
  TreeMaker(const Plan& plan, Site* site, std::vector<Skeleton>* skeletons)
      : plan_(plan), site_(*site), skeletons_(*skeletons) {}

  Status run(const std::vector<pid_t>& roots) {
    skeletons_.resize(plan_.nodes.size());
    for (size_t i = 0; i < plan_.nodes.size(); ++i) skeletons_[i].node = &plan_.nodes[i];
    for (size_t i = 0; i < roots.size(); ++i) PD_TRY(take_root(plan_.roots[i], roots[i]));
    for (size_t i = 0; i < plan_.nodes.size(); ++i) PD_TRY(build(i));
    return {};
  }

 private:
  Status take_root(size_t index, pid_t pid) {
    Skeleton& skeleton = skeletons_[index];
    skeleton.pid = pid;
    skeleton.leader = PD_TRY(kernel::Tracee::seize(pid, kernel::TracerDeath::kKill));
    PD_TRY(skeleton.leader.interrupt());
    PD_TRY(skeleton.leader.wait_rest(nullptr));
    PD_TRY(skeleton.leader.set_signal_mask(~(1ull << (SIGURG - 1))));
    const RemoteAddr vdso(getauxval(AT_SYSINFO_EHDR));
    const RemoteAddr instruction =
        PD_TRY(kernel::find_syscall_instruction(pid, vdso, kVdsoBytesMax));
    return strip(&skeleton, instruction, &site_);
  }

  Status build(size_t index) {
    const Node& node = plan_.nodes[index];
    PD_TRY(make_children(index, Birth::kBeforeSession));
    if (node.founds_session) {
      PD_TRY(run_calls(site_, &skeletons_[index].leader, skeletons_[index].name(),
                       [](RemoteCalls* calls) { calls->add("found its session", SYS_setsid); }));
      PD_TRY(take_terminals(&skeletons_[index]));
    }
    PD_TRY(make_children(index, Birth::kEarly));
    if (!node.transient() && node.process->state() != Process::ZOMBIE) {
      PD_TRY(build_address_space(&skeletons_[index], &site_));
    }
    return make_children(index, Birth::kLate);
  }

  // A process inherits its controlling terminal at birth, so the leader takes it before it makes
  // anyone; which group is in the foreground is set when all exist (leave_builder).
  Status take_terminals(Skeleton* skeleton) {
    if (skeleton->node->transient()) return {};
    std::vector<LateCall> calls = terminal_calls(skeleton->process(), site_.graph, site_.opened);
    std::erase_if(calls, [](const LateCall& call) { return call.args[1].value != TIOCSCTTY; });
    for (LateCalls late(std::move(calls)); !late.done();) {
      kernel::Batch batch = site_.area.batch();
      late.fill(&batch);
      PD_TRY(site_.area.run(&skeleton->leader, &batch));
      PD_TRY_WITHIN("restore " + skeleton->name(), late.check(batch));
    }
    return {};
  }

  Status make_children(size_t index, Birth birth) {
    for (size_t child : plan_.nodes[index].children) {
      if (plan_.nodes[child].birth == birth) PD_TRY(make_child(index, child));
    }
    return {};
  }

  Status make_child(size_t maker, size_t index) {
    const Node& node = plan_.nodes[index];
    kernel::Batch batch = site_.area.batch();
    clone_args args{};
    args.exit_signal = static_cast<uint64_t>(exit_signal_of(node));
    if (node.pid != 0) {
      args.set_tid = batch.in_value(node.pid).value;
      args.set_tid_size = 1;
    }
    const size_t call = batch.call(SYS_clone3, {batch.in_value(args), sizeof(args)});
    std::vector<pid_t> born;
    PD_TRY(site_.area.run(&skeletons_[maker].leader, &batch, &born));
    if (batch.result(call) < 0 || born.size() != 1) {
      Error error =
          Error::system(static_cast<int>(-batch.result(call)), "clone " + skeletons_[index].name());
      return name_taken(error, node);
    }
    skeletons_[index].pid = born[0];
    skeletons_[index].leader = kernel::Tracee::adopt(born[0]);
    skeletons_[index].memory_of = skeletons_[maker].memory_of;
    return skeletons_[index].leader.wait_rest(nullptr);
  }

  const Plan& plan_;
  Site& site_;
  std::vector<Skeleton>& skeletons_;
};

// Ends a skeleton by a call or a signal, and waits as its tracer; then its parent may.
Status end_skeleton(Skeleton* skeleton, Site* site, int status) {
  if (WIFSIGNALED(status)) {
    if (kill(skeleton->pid, WTERMSIG(status)) != 0)
      return Error::system(errno, "kill", skeleton->name());
    if (WTERMSIG(status) != SIGKILL) PD_TRY(skeleton->leader.set_signal_mask(0));
    PD_TRY(skeleton->leader.die_of_signal(WTERMSIG(status)));
  } else {
    kernel::Batch batch = site->area.batch();
    batch.call(SYS_exit_group, {WEXITSTATUS(status)});
    Status ended = site->area.run(&skeleton->leader, &batch);
    if (ended.ok() || ended.error().code() != Code::kGone) {
      return Error(Code::kInternal, skeleton->name() + " did not end");
    }
  }
  skeleton->ended = true;
  return {};
}

bool is_zombie(const Skeleton& skeleton) {
  return !skeleton.node->transient() && skeleton.process().state() == Process::ZOMBIE;
}

Status reap(Skeleton* parent, pid_t inner_pid, Site* site) {
  return run_calls(*site, &parent->leader, parent->name(), [&](RemoteCalls* calls) {
    calls->add("reap a transient process", SYS_wait4, {inner_pid, 0, __WALL, 0});
  });
}

// The process group that a skeleton is in now, as it sees it.
Result<int32_t> group_of(Skeleton& skeleton, const Site& site) {
  kernel::Batch batch = site.area.batch();
  const size_t call = batch.call(SYS_getpgid, {0});
  PD_TRY(site.area.run(&skeleton.leader, &batch));
  return static_cast<int32_t>(batch.result(call));
}

// A process group whose leader is dead: a child of a member plays it while the member joins.
Status join_dead_group(Skeleton* member, Site* site) {
  const int32_t group = member->process().process_group();
  Node node;
  node.pid = group;
  Plan plan;
  plan.nodes = {*member->node, node};
  kernel::Batch batch = site->area.batch();
  clone_args args{};
  args.set_tid = batch.in_value(group).value;
  args.set_tid_size = 1;
  const size_t call = batch.call(SYS_clone3, {batch.in_value(args), sizeof(args)});
  std::vector<pid_t> born;
  PD_TRY(site->area.run(&member->leader, &batch, &born));
  if (batch.result(call) < 0 || born.size() != 1) {
    return name_taken(
        Error::system(static_cast<int>(-batch.result(call)), "clone a process group's leader"),
        node);
  }
  Skeleton leader;
  leader.node = &plan.nodes[1];
  leader.pid = born[0];
  leader.leader = kernel::Tracee::adopt(born[0]);
  PD_TRY(leader.leader.wait_rest(nullptr));
  PD_TRY(run_calls(*site, &leader.leader, leader.name(), [](RemoteCalls* calls) {
    calls->add("lead its process group", SYS_setpgid, {0, 0});
  }));
  PD_TRY(run_calls(*site, &member->leader, member->name(), [&](RemoteCalls* calls) {
    calls->add("join its process group", SYS_setpgid, {0, group});
  }));
  PD_TRY(end_skeleton(&leader, site, 0));
  return reap(member, group, site);
}

}  // namespace

Result<pid_t> clone_root(const Node& node, ParentOf parent) {
  // A skeleton inherits the builder's restartable sequence, whose memory is about to go. It may be
  // stopped before it has run at all, so the builder does without from here on.
  kernel::unregister_rseq();
  kernel::SpawnOptions options;
  if (parent == ParentOf::kTheEngine) options.flags = CLONE_PARENT;
  options.pid = node.pid;
  options.exit_signal = exit_signal_of(node);
  Result<kernel::Spawned> spawned = kernel::spawn(options, skeleton_main);
  if (!spawned.ok()) return name_taken(spawned.error(), node);
  return spawned->pid;
}

Status make_tree(const Plan& plan, const std::vector<pid_t>& roots, Site* site,
                 std::vector<Skeleton>* skeletons) {
  PD_ASSERT(roots.size() == plan.roots.size());
  return TreeMaker(plan, site, skeletons).run(roots);
}

Status end_transients(const Plan& plan, Site* site, std::vector<Skeleton>* skeletons) {
  for (size_t i = plan.nodes.size(); i-- > 0;) {
    if (!plan.nodes[i].transient()) continue;
    PD_TRY(end_skeleton(&(*skeletons)[i], site, 0));
    if (plan.nodes[i].maker == kBuilder) continue;  // init reaps it
    PD_TRY(reap(&(*skeletons)[plan.nodes[i].maker], -1, site));
  }
  return {};
}

Status set_process_groups(Site* site, std::vector<Skeleton>* skeletons) {
  std::set<int32_t> existing;
  for (Skeleton& skeleton : *skeletons) {
    if (skeleton.node->transient()) continue;
    const bool leads = skeleton.process().process_group() == skeleton.process().pid();
    if (leads && !skeleton.node->founds_session) {
      PD_TRY(run_calls(*site, &skeleton.leader, skeleton.name(), [](RemoteCalls* calls) {
        calls->add("lead its process group", SYS_setpgid, {0, 0});
      }));
    }
    existing.insert(PD_TRY(group_of(skeleton, *site)));
  }
  for (Skeleton& skeleton : *skeletons) {
    if (skeleton.node->transient() || skeleton.node->founds_session) continue;
    const int32_t group = skeleton.process().process_group();
    // A group outside, of an adopted tree, stays that of whoever restores.
    if (group <= 1 || PD_TRY(group_of(skeleton, *site)) == group) continue;
    if (existing.contains(group)) {
      PD_TRY(run_calls(*site, &skeleton.leader, skeleton.name(), [&](RemoteCalls* calls) {
        calls->add("join its process group", SYS_setpgid, {0, group});
      }));
    } else if (site->graph.group.own_namespaces()) {
      PD_TRY(join_dead_group(&skeleton, site));
      existing.insert(group);
    }
  }
  return {};
}

Status end_zombies(Site* site, std::vector<Skeleton>* skeletons) {
  for (Skeleton& skeleton : *skeletons) {
    if (is_zombie(skeleton)) PD_TRY(end_skeleton(&skeleton, site, skeleton.process().exit_code()));
  }
  return {};
}

}  // namespace perdure::restore
