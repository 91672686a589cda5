#include "restore/plan.h"

#include <algorithm>
#include <map>

#include "base/limits.h"

namespace perdure::restore {
namespace {

using object::Process;

constexpr int32_t kFirstTransientPid =
    300;  // RESERVED_PIDS: what a PID namespace starts again from after a wrap

class Planner {
 public:
  Planner(const object::Graph& graph, const std::set<std::pair<uint64_t, uint64_t>>& sharing)
      : graph_(graph), sharing_(sharing) {}

  Result<Plan> run() {
    for (uint64_t id : graph_.group.processes()) add_process(graph_.processes.at(ObjectId(id)));
    for (size_t i = 0; i < real_count_; ++i) PD_TRY(place(i));
    if (graph_.group.own_namespaces()) number_transients();
    PD_TRY(order());
    return std::move(plan_);
  }

 private:
  void add_process(const Process& process) {
    Node node;
    node.pid = process.pid();
    node.process = &process;
    node.founds_session = process.session() == process.pid();
    by_pid_[process.pid()] = plan_.nodes.size();
    plan_.nodes.push_back(std::move(node));
    ++real_count_;
  }

  // A transient must not be given a number that a process made later needs.
  void number_transients() {
    int32_t next = kFirstTransientPid;
    for (const auto& [id, process] : graph_.processes) {
      next = std::max({next, process.pid(), process.process_group(), process.session()});
    }
    for (const auto& [id, thread] : graph_.threads) next = std::max(next, thread.tid());
    for (Node& node : plan_.nodes) {
      if (node.pid == 0) node.pid = ++next;
    }
  }

  const Process& process_of(size_t node) const { return *plan_.nodes[node].process; }

  // The session that a process had when it was born: its own unless it founded that one later.
  bool inherits(size_t child, size_t parent) const {
    return process_of(child).session() == process_of(parent).session();
  }

  Status place(size_t index) {
    const Process& process = process_of(index);
    auto parent = by_pid_.find(process.parent_pid());
    if (parent == by_pid_.end()) return place_orphan(index);
    Node& node = plan_.nodes[index];
    node.maker = parent->second;
    bool session_free = node.founds_session;
    if (!session_free && !inherits(index, node.maker)) {
      if (!plan_.nodes[node.maker].founds_session) return no_session(process);
      node.birth = Birth::kBeforeSession;
      return {};
    }
    node.birth = shares(node.maker, index) ? Birth::kLate : Birth::kEarly;
    return {};
  }

  // Its parent is outside the group or init: a root, unless its session was founded by another
  // process.
  Status place_orphan(size_t index) {
    const Process& process = process_of(index);
    if (plan_.nodes[index].founds_session || !session_is_inside(process.session())) return {};
    auto leader = by_pid_.find(process.session());
    Node helper;
    if (leader != by_pid_.end()) {
      helper.maker = leader->second;
      helper.birth = shares(leader->second, index) ? Birth::kLate : Birth::kEarly;
      plan_.nodes[index].birth = Birth::kEarly;
    } else if (auto dead = dead_leaders_.find(process.session()); dead != dead_leaders_.end()) {
      plan_.nodes[index].maker = dead->second;
      return {};
    } else {
      helper.pid = process.session();
      helper.founds_session = true;
      dead_leaders_[process.session()] = plan_.nodes.size();
    }
    plan_.nodes[index].maker = plan_.nodes.size();
    plan_.nodes.push_back(helper);
    return {};
  }

  // A session whose id is no pid of the group's past (0, or the caller's session of an adopted
  // group) is taken from whoever restores.
  bool session_is_inside(int32_t session) const {
    return session > 1 && graph_.group.own_namespaces();
  }

  bool shares(size_t maker, size_t child) const {
    return sharing_.contains(
        {process_of(maker).address_space(), process_of(child).address_space()});
  }

  static Error no_session(const Process& process) {
    return Error(Code::kUnsupported, "pid " + std::to_string(process.pid()) + " (" +
                                         process.comm() + ") is in session " +
                                         std::to_string(process.session()) +
                                         ", which its parent cannot give it");
  }

  // Sorts so that makers come first, and links children.
  Status order() {
    std::vector<size_t> position(plan_.nodes.size(), SIZE_MAX);
    std::vector<Node> sorted;
    while (sorted.size() < plan_.nodes.size()) {
      size_t before = sorted.size();
      for (size_t i = 0; i < plan_.nodes.size(); ++i) {
        size_t maker = plan_.nodes[i].maker;
        if (position[i] != SIZE_MAX || (maker != kBuilder && position[maker] == SIZE_MAX)) continue;
        position[i] = sorted.size();
        sorted.push_back(plan_.nodes[i]);
        if (maker != kBuilder) sorted.back().maker = position[maker];
      }
      if (sorted.size() == before)
        return Error(Code::kCorrupt, "the processes of the epoch are their own ancestors");
    }
    for (size_t i = 0; i < sorted.size(); ++i) {
      if (sorted[i].maker == kBuilder) {
        plan_.roots.push_back(i);
      } else {
        sorted[sorted[i].maker].children.push_back(i);
      }
    }
    plan_.nodes = std::move(sorted);
    return {};
  }

  const object::Graph& graph_;
  const std::set<std::pair<uint64_t, uint64_t>>& sharing_;
  Plan plan_;
  size_t real_count_ = 0;
  std::map<int32_t, size_t> by_pid_;
  std::map<int32_t, size_t> dead_leaders_;
};

}  // namespace

Result<Plan> make_plan(const object::Graph& graph,
                       const std::set<std::pair<uint64_t, uint64_t>>& sharing_spaces) {
  return Planner(graph, sharing_spaces).run();
}

}  // namespace perdure::restore
