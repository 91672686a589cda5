// Socket options that are saved with a socket of whatever family.
#pragma once

#include <span>

#include "base/result.h"
#include "object/file.pb.h"

namespace perdure::capture {

struct OptionName {
  int level;
  int name;
};

// Appends the values of those options that this kind of socket has.
Status capture_socket_options(int fd, std::span<const OptionName> names,
                              google::protobuf::RepeatedPtrField<object::SocketOption>* options);
// The options of SOL_SOCKET that any socket has.
std::span<const OptionName> common_options();

}  // namespace perdure::capture
