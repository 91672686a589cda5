#include "restore/plan.h"

#include <gtest/gtest.h>

namespace perdure::restore {
namespace {

struct Sketch {
  int32_t pid, parent, session;
};

object::Graph graph_of(std::initializer_list<Sketch> sketches) {
  object::Graph graph;
  graph.group.set_own_namespaces(true);
  uint64_t id = 16;
  for (const Sketch& sketch : sketches) {
    object::Process& process = graph.processes[ObjectId(id)];
    process.set_pid(sketch.pid);
    process.set_parent_pid(sketch.parent);
    process.set_session(sketch.session);
    process.set_address_space(id + 1000);
    graph.group.add_processes(id++);
  }
  return graph;
}

const Node& node_of(const Plan& plan, int32_t pid) {
  for (const Node& node : plan.nodes) {
    if (node.pid == pid) return node;
  }
  static const Node none;
  ADD_FAILURE() << "no node for pid " << pid;
  return none;
}

TEST(Plan, ChildrenComeAfterTheirParents) {
  object::Graph graph = graph_of({{4, 3, 2}, {3, 2, 2}, {2, 1, 2}});
  Plan plan = make_plan(graph, {}).value();
  ASSERT_EQ(plan.roots.size(), 1u);
  EXPECT_EQ(plan.nodes[0].pid, 2);
  EXPECT_TRUE(plan.nodes[0].founds_session);
  EXPECT_EQ(plan.nodes[node_of(plan, 4).maker].pid, 3);
}

TEST(Plan, ChildOfAnOlderSessionIsBornBeforeItsParentFoundsOne) {
  object::Graph graph = graph_of({{2, 1, 2}, {3, 2, 3}, {4, 3, 2}});
  Plan plan = make_plan(graph, {}).value();
  EXPECT_EQ(node_of(plan, 4).birth, Birth::kBeforeSession);
}

TEST(Plan, OrphanIsMadeByATransientInItsSession) {
  object::Graph graph = graph_of({{2, 1, 2}, {5, 1, 2}});
  Plan plan = make_plan(graph, {}).value();
  ASSERT_EQ(plan.nodes.size(), 3u);
  const Node& transient = plan.nodes[node_of(plan, 5).maker];
  EXPECT_TRUE(transient.transient());
  EXPECT_EQ(plan.nodes[transient.maker].pid, 2);
}

TEST(Plan, DeadSessionLeaderIsPlayedByATransientWithItsPid) {
  object::Graph graph = graph_of({{5, 1, 4}, {6, 1, 4}});
  Plan plan = make_plan(graph, {}).value();
  const Node& leader = plan.nodes[node_of(plan, 5).maker];
  EXPECT_TRUE(leader.transient());
  EXPECT_EQ(leader.pid, 4);
  EXPECT_TRUE(leader.founds_session);
  EXPECT_EQ(node_of(plan, 5).maker, node_of(plan, 6).maker);
}

TEST(Plan, ChildThatSharesPagesIsBornLate) {
  object::Graph graph = graph_of({{2, 1, 2}, {3, 2, 2}, {4, 2, 2}});
  Plan plan = make_plan(graph, {{1016, 1017}}).value();
  EXPECT_EQ(node_of(plan, 3).birth, Birth::kLate);
  EXPECT_EQ(node_of(plan, 4).birth, Birth::kEarly);
}

TEST(Plan, AncestorsInACircleAreCorrupt) {
  object::Graph graph = graph_of({{2, 3, 2}, {3, 2, 2}});
  EXPECT_EQ(make_plan(graph, {}).error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace perdure::restore
