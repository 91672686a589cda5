#include "cli/record_tree.h"

#include <fmt/format.h>

#include <map>

#include "cli/field_text.h"

namespace perdure::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

Node leaf(std::string name, Node::Type type, std::string text) {
  return Node{std::move(name), type, std::move(text), {}};
}

uint64_t integer_of(const Message& message, const FieldDescriptor& field, int at) {
  const Reflection& reflection = *message.GetReflection();
  bool repeated = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return static_cast<uint64_t>(
          static_cast<int64_t>(repeated ? reflection.GetRepeatedInt32(message, &field, at)
                                        : reflection.GetInt32(message, &field)));
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<uint64_t>(repeated ? reflection.GetRepeatedInt64(message, &field, at)
                                            : reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return repeated ? reflection.GetRepeatedUInt32(message, &field, at)
                      : reflection.GetUInt32(message, &field);
    default:
      return repeated ? reflection.GetRepeatedUInt64(message, &field, at)
                      : reflection.GetUInt64(message, &field);
  }
}

bool is_signed(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_INT64;
}

Node integer_node(const Message& message, const FieldDescriptor& field, int at) {
  uint64_t value = integer_of(message, field, at);
  if (auto text = integer_text(field.full_name(), value))
    return leaf(field.name(), Node::Type::kText, *text);
  std::string digits =
      is_signed(field) ? fmt::format("{}", static_cast<int64_t>(value)) : fmt::format("{}", value);
  return leaf(field.name(), Node::Type::kNumber, digits);
}

Node bytes_node(const Message& message, const FieldDescriptor& field, int at) {
  const Reflection& reflection = *message.GetReflection();
  std::string scratch;
  const std::string& bytes =
      field.is_repeated() ? reflection.GetRepeatedStringReference(message, &field, at, &scratch)
                          : reflection.GetStringReference(message, &field, &scratch);
  if (field.type() == FieldDescriptor::TYPE_STRING)
    return leaf(field.name(), Node::Type::kText, bytes);
  std::vector<NamedText> parts = bytes_parts(field.full_name(), bytes);
  if (parts.empty())
    return leaf(field.name(), Node::Type::kText, bytes_text_of(field.full_name(), bytes));
  Node node{field.name(), Node::Type::kObject, {}, {}};
  for (NamedText& part : parts) {
    node.children.push_back(leaf(std::move(part.name), Node::Type::kText, std::move(part.text)));
  }
  return node;
}

// Records do not nest without end: no message contains itself.
Node value_node(const Message& message, const FieldDescriptor& field, int at) {
  const Reflection& reflection = *message.GetReflection();
  bool repeated = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      Node node = tree_of(repeated ? reflection.GetRepeatedMessage(message, &field, at)
                                   : reflection.GetMessage(message, &field));
      node.name = field.name();
      return node;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return bytes_node(message, field, at);
    case FieldDescriptor::CPPTYPE_ENUM:
      return leaf(field.name(), Node::Type::kText,
                  repeated ? reflection.GetRepeatedEnum(message, &field, at)->name()
                           : reflection.GetEnum(message, &field)->name());
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool flag = repeated ? reflection.GetRepeatedBool(message, &field, at)
                           : reflection.GetBool(message, &field);
      return leaf(field.name(), Node::Type::kFlag, flag ? "true" : "false");
    }
    default:
      return integer_node(message, field, at);
  }
}

bool is_leaf(const Node& node) {
  return node.type != Node::Type::kObject && node.type != Node::Type::kList;
}

void append_text(std::string& out, const Node& node, size_t indent, const std::string& name) {
  out.append(indent, ' ');
  if (is_leaf(node)) {
    out += name + ": " + node.text + "\n";
    return;
  }
  bool short_list = node.type == Node::Type::kList;
  for (const Node& child : node.children) short_list = short_list && is_leaf(child);
  if (short_list) {
    out += name + ":";
    for (const Node& child : node.children) out += " " + child.text;
    out += "\n";
    return;
  }
  out += name + "\n";
  for (size_t at = 0; at < node.children.size(); ++at) {
    const Node& child = node.children[at];
    append_text(out, child, indent + 2,
                node.type == Node::Type::kList ? fmt::format("[{}]", at) : child.name);
  }
}

// An object on one line: "start 0x1000 end 0x2000 protection r-x".
std::string compact_text(const Node& node) {
  if (is_leaf(node)) return node.text;
  std::string out;
  for (const Node& child : node.children) {
    out += out.empty() ? "" : " ";
    if (node.type == Node::Type::kObject) out += child.name + " ";
    out += is_leaf(child) ? child.text : "(" + compact_text(child) + ")";
  }
  return out;
}

bool has_objects(const Node& list) {
  for (const Node& child : list.children) {
    if (!is_leaf(child)) return true;
  }
  return false;
}

// Elements of a list that are objects are told apart by their first field, so that one more in
// front of them does not change them all.
void append_list_leaves(Leaves& out, const Node& list, const std::string& path) {
  if (!has_objects(list)) {
    out.emplace_back(path, compact_text(list));
    return;
  }
  std::map<std::string, int> seen;
  for (const Node& child : list.children) {
    std::string key = child.children.empty() ? "" : compact_text(child.children.front());
    int again = seen[key]++;
    out.emplace_back(again == 0 ? fmt::format("{}[{}]", path, key)
                                : fmt::format("{}[{} #{}]", path, key, again + 1),
                     compact_text(child));
  }
}

void append_leaves(Leaves& out, const Node& node, const std::string& path) {
  if (is_leaf(node)) {
    out.emplace_back(path, node.text);
  } else if (node.type == Node::Type::kList) {
    append_list_leaves(out, node, path);
  } else {
    for (const Node& child : node.children) {
      append_leaves(out, child, path.empty() ? child.name : path + "." + child.name);
    }
  }
}

// What tells an element of a list from the next stands even where it is 0: an fd, a resource.
bool is_key(const FieldDescriptor& field) {
  return field.number() == 1 && !field.is_repeated() && !field.has_presence() &&
         (field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 ||
          field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32);
}

std::vector<const FieldDescriptor*> fields_of(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  const FieldDescriptor* first = message.GetDescriptor()->FindFieldByNumber(1);
  bool missing = first != nullptr && is_key(*first) && (fields.empty() || fields.front() != first);
  if (missing) fields.insert(fields.begin(), first);
  return fields;
}

}  // namespace

Node tree_of(const Message& message) {
  Node root{"", Node::Type::kObject, {}, {}};
  for (const FieldDescriptor* field : fields_of(message)) {
    if (!field->is_repeated()) {
      root.children.push_back(value_node(message, *field, 0));
      continue;
    }
    Node list{field->name(), Node::Type::kList, {}, {}};
    int size = message.GetReflection()->FieldSize(message, field);
    for (int at = 0; at < size; ++at) list.children.push_back(value_node(message, *field, at));
    root.children.push_back(std::move(list));
  }
  return root;
}

std::string tree_text(const Node& root, size_t indent) {
  std::string out;
  for (const Node& child : root.children) append_text(out, child, indent, child.name);
  return out;
}

void tree_json(const Node& node, JsonWriter& json) {
  switch (node.type) {
    case Node::Type::kObject:
      json.begin_object();
      for (const Node& child : node.children) {
        json.key(child.name);
        tree_json(child, json);
      }
      json.end_object();
      return;
    case Node::Type::kList:
      json.begin_array();
      for (const Node& child : node.children) tree_json(child, json);
      json.end_array();
      return;
    case Node::Type::kText:
      json.string(node.text);
      return;
    case Node::Type::kNumber:
    case Node::Type::kFlag:
      json.raw(node.text);
      return;
  }
}

Leaves tree_leaves(const Node& root) {
  Leaves leaves;
  append_leaves(leaves, root, "");
  return leaves;
}

}  // namespace perdure::cli
