#include "cli/json.h"

#include <fmt/format.h>

#include <utility>

#include "base/assert.h"

namespace perdure::cli {
namespace {

// The length of the UTF-8 sequence that begins here; 0 if it is none (overlong forms and surrogates
// included).
size_t sequence_length(std::string_view text) {
  auto byte = [&](size_t at) { return static_cast<uint8_t>(at < text.size() ? text[at] : 0); };
  uint8_t first = byte(0), second = byte(1);
  auto continues = [&](size_t at) { return (byte(at) & 0xc0) == 0x80; };
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if ((first & 0xf0) == 0xe0) {
    bool good = continues(1) && continues(2) && !(first == 0xe0 && second < 0xa0) &&
                !(first == 0xed && second > 0x9f);
    return good ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    bool good = continues(1) && continues(2) && continues(3) && !(first == 0xf0 && second < 0x90) &&
                !(first == 0xf4 && second > 0x8f);
    return good ? 4 : 0;
  }
  return 0;
}

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    size_t length = sequence_length(text);
    auto first = static_cast<uint8_t>(text.front());
    if (length == 0) {
      out += "\\ufffd";
      length = 1;
    } else if (first == '"' || first == '\\') {
      out += '\\';
      out += text.front();
    } else if (first < 0x20 || first == 0x7f) {
      out += fmt::format("\\u{:04x}", first);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
}

}  // namespace

void JsonWriter::begin_value() {
  if (std::exchange(after_key_, false)) return;
  if (has_members_.empty()) return;
  if (has_members_.back()) text_ += ',';
  has_members_.back() = true;
  text_ += '\n';
  text_.append(2 * has_members_.size(), ' ');
}

JsonWriter& JsonWriter::open(char bracket) {
  begin_value();
  text_ += bracket;
  has_members_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  PD_ASSERT(!has_members_.empty() && !after_key_);
  bool had = has_members_.back();
  has_members_.pop_back();
  if (had) {
    text_ += '\n';
    text_.append(2 * has_members_.size(), ' ');
  }
  text_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  PD_ASSERT(!has_members_.empty() && !after_key_);
  string(name);
  text_ += ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view text) {
  begin_value();
  text_ += '"';
  append_escaped(text_, text);
  text_ += '"';
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view json) {
  begin_value();
  text_ += json;
  return *this;
}

JsonWriter& JsonWriter::number(uint64_t number) { return value(fmt::format("{}", number)); }
JsonWriter& JsonWriter::number(int64_t number) { return value(fmt::format("{}", number)); }
JsonWriter& JsonWriter::number(double number) { return value(fmt::format("{:.6g}", number)); }
JsonWriter& JsonWriter::boolean(bool flag) { return value(flag ? "true" : "false"); }
JsonWriter& JsonWriter::null() { return value("null"); }
JsonWriter& JsonWriter::raw(std::string_view json) { return value(json.empty() ? "null" : json); }

std::string JsonWriter::take() {
  PD_ASSERT(has_members_.empty() && !after_key_);
  return std::exchange(text_, {}) + "\n";
}

}  // namespace perdure::cli
