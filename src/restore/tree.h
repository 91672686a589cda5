// Tree: makes the skeletons of a plan, each with its memory, in the order that the plan gives; then
// process groups, and the ends of transients and zombies.
#pragma once

#include <vector>

#include "base/result.h"
#include "restore/plan.h"
#include "restore/site.h"

namespace perdure::restore {

// In the builder: clones a root of the plan, with its pid, which waits for the engine. Returns its
// pid there. Its parent is the builder, or the builder's own parent.
enum class ParentOf : uint8_t { kTheBuilder, kTheEngine };
Result<pid_t> clone_root(const Node& node, ParentOf parent);

// In the engine. roots: pids of the cloned roots, in the engine's PID namespace, in the order of
// plan.roots. What is made is in `skeletons`, in the order of plan.nodes. If the engine dies, so do
// they.
Status make_tree(const Plan& plan, const std::vector<pid_t>& roots, Site* site,
                 std::vector<Skeleton>* skeletons);

// Once all skeletons exist.
Status end_transients(const Plan& plan, Site* site, std::vector<Skeleton>* skeletons);
Status set_process_groups(Site* site, std::vector<Skeleton>* skeletons);
Status end_zombies(Site* site, std::vector<Skeleton>* skeletons);

}  // namespace perdure::restore
