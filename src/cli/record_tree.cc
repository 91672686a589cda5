#include "cli/record_tree.h"

#include <fmt/format.h>

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

void append_leaves(std::vector<std::pair<std::string, std::string>>& out, const Node& node,
                   const std::string& path) {
  if (is_leaf(node)) {
    out.emplace_back(path, node.text);
    return;
  }
  for (size_t at = 0; at < node.children.size(); ++at) {
    const Node& child = node.children[at];
    std::string step = node.type == Node::Type::kList ? fmt::format("{}[{}]", path, at)
                       : path.empty()                 ? child.name
                                                      : path + "." + child.name;
    append_leaves(out, child, step);
  }
}

}  // namespace

Node tree_of(const Message& message) {
  Node root{"", Node::Type::kObject, {}, {}};
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
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

std::vector<std::pair<std::string, std::string>> tree_leaves(const Node& root) {
  std::vector<std::pair<std::string, std::string>> leaves;
  append_leaves(leaves, root, "");
  return leaves;
}

}  // namespace perdure::cli
