// A record as a tree of named values that people can read: made by walking the message's own
// description, so that a new field shows up without code here. Signals, registers, masks, modes and
// addresses are decoded (cli/field_text.h).
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <utility>
#include <vector>

#include "cli/json.h"

namespace perdure::cli {

struct Node {
  enum class Type : uint8_t { kObject, kList, kText, kNumber, kFlag };
  std::string name;
  Type type = Type::kText;
  std::string text;            // of a leaf
  std::vector<Node> children;  // of an object or a list
};

// Only fields that are set. The root has no name.
Node tree_of(const google::protobuf::Message& message);

// Indented lines, "name: value".
std::string tree_text(const Node& root, size_t indent);
void tree_json(const Node& node, JsonWriter& json);
// Every leaf with its path, in the order of the tree: what two records are compared by. A list of
// numbers is one leaf; an element of a list of objects too, named by its first field: "fds[3]",
// "vmas[0x7f0000000000]".
using Leaves = std::vector<std::pair<std::string, std::string>>;
Leaves tree_leaves(const Node& root);

}  // namespace perdure::cli
