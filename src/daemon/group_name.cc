#include "daemon/group_name.h"

#include <fmt/format.h>

#include <algorithm>

namespace perdure::daemon {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool may_stand(char c) { return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-'; }
bool may_start(char c) { return is_letter_or_digit(c) || c == '_'; }

// A folder has at most some thousand groups; a search over that is a bug in `taken`.
constexpr int kSuffixMax = 100000;
constexpr size_t kSuffixBytesMax = 8;

std::string plain_name(std::string_view command) {
  size_t slash = command.find_last_of('/');
  std::string name(slash == std::string_view::npos ? command : command.substr(slash + 1));
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !may_stand(c); }, '-');
  name.erase(0,
             static_cast<size_t>(std::find_if(name.begin(), name.end(), may_start) - name.begin()));
  if (name.size() > kGroupNameBytesMax - kSuffixBytesMax) {
    name.resize(kGroupNameBytesMax - kSuffixBytesMax);
  }
  if (name.empty()) return "group";
  return is_number(name) ? fmt::format("group-{}", name) : name;
}

}  // namespace

bool is_number(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Status check_group_name(std::string_view name) {
  bool good = !name.empty() && name.size() <= kGroupNameBytesMax && may_start(name.front()) &&
              std::all_of(name.begin(), name.end(), may_stand) && !is_number(name);
  if (good) return Ok{};
  return Error(Code::kInvalid, fmt::format("'{}' cannot name a group", name))
      .with_remedy(fmt::format(
          "use at most {} letters, digits, '.', '_' or '-', beginning with a letter, digit or "
          "'_', not only digits",
          kGroupNameBytesMax));
}

std::string name_for_command(std::string_view command,
                             const std::function<bool(const std::string&)>& taken) {
  std::string plain = plain_name(command);
  std::string name = plain;
  for (int suffix = 2; taken(name) && suffix < kSuffixMax; ++suffix) {
    name = fmt::format("{}-{}", plain, suffix);
  }
  return name;
}

}  // namespace perdure::daemon
