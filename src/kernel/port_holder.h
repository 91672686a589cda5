// Who holds a TCP port, for messages.
#pragma once

#include <cstdint>
#include <string>

namespace perdure::kernel {

// "process 12 (nginx)" of the process that has a socket bound to the port in our network namespace;
// empty if none can be found, for example because it is in another PID namespace.
std::string find_tcp_port_holder(uint16_t port);

}  // namespace perdure::kernel
