// Plan: in which order, and by whom, the processes of a group are made so that parents, sessions
// and shared memory come out as they were. Pure: records in, plan out.
//
// A process inherits its session at birth and can only leave it by founding one (setsid(2)). Hence:
//  - a process that founded its session does so itself;
//  - a child born before its parent founded a session is made before the parent does that again;
//  - an orphan whose session's leader lives is made by a transient child of that leader; if the
//  leader is dead, by a
//    transient leader with its pid. Transients exit once all are made, and their children fall to
//    init, as they once did.
// A child whose memory is shared copy-on-write with its maker is made after the maker's pages are
// there ("late").
#pragma once

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "object/graph.h"

namespace perdure::restore {

inline constexpr size_t kBuilder = SIZE_MAX;

enum class Birth : uint8_t {
  kBeforeSession,  // before the maker founds its session
  kEarly,          // after that, before the maker's pages are there
  kLate,           // after the maker's pages are there
};

struct Node {
  int32_t pid = 0;                           // 0: any (transients)
  const object::Process* process = nullptr;  // null: transient
  size_t maker = kBuilder;                   // index of a node
  Birth birth = Birth::kEarly;
  bool founds_session = false;
  std::vector<size_t> children;  // nodes that this one makes
  bool transient() const { return process == nullptr; }
};

struct Plan {
  std::vector<Node> nodes;    // makers before those they make
  std::vector<size_t> roots;  // made by the builder
};

// sharing_spaces: (parent, child) address space ids with pages stored once for both.
// kUnsupported if a process's session cannot be brought about.
Result<Plan> make_plan(const object::Graph& graph,
                       const std::set<std::pair<uint64_t, uint64_t>>& sharing_spaces);

}  // namespace perdure::restore
