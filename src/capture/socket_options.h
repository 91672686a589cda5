// Socket options that are saved with a socket of whatever family.
#pragma once

#include <compare>
#include <map>
#include <span>
#include <string>

#include "base/result.h"
#include "object/file.pb.h"

namespace perdure::capture {

struct OptionName {
  int level;
  int name;
  auto operator<=>(const OptionName&) const = default;
};

// What a socket has before anybody sets an option.
using DefaultOptions = std::map<OptionName, std::string>;
// Those of a fresh socket of this kind; empty if none can be made.
DefaultOptions default_options(int domain, int type, std::span<const OptionName> names);

// Appends the values of those options that this kind of socket has and that are no defaults.
Status capture_socket_options(int fd, std::span<const OptionName> names,
                              const DefaultOptions& defaults,
                              google::protobuf::RepeatedPtrField<object::SocketOption>* options);
// The options of SOL_SOCKET that any socket has.
std::span<const OptionName> common_options();

}  // namespace perdure::capture
