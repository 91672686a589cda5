// Names of groups: folder names, shown everywhere, never mistaken for a PID or an option.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace perdure::daemon {

// A Unix socket's path has room for 107 bytes, the folder in front of the name included.
inline constexpr size_t kGroupNameBytesMax = 48;

// Letters, digits, '.', '_' and '-'; the first a letter, digit or '_'; not digits only.
Status check_group_name(std::string_view name);
// True for a number: where PID|NAME is asked for, that is a PID.
bool is_number(std::string_view text);

// A name made of a command: its basename with what no name may hold replaced by '-', and "-2",
// "-3", ... while it is taken.
std::string name_for_command(std::string_view command,
                             const std::function<bool(const std::string&)>& taken);

}  // namespace perdure::daemon
