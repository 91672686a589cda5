// Who holds a port or a file, for messages and before something is overwritten. Each search reads
// all of /proc; only what our PID namespace shows is found.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

namespace perdure::kernel {

// "process 12 (nginx)" of the process that listens on the port in our network namespace; empty if
// none is found.
std::string find_tcp_port_holder(uint16_t port);
// The same for a process other than ours that has the file open or mapped. path: the file's, as
// maps shows it.
std::string find_file_holder(const std::string& path, const struct stat& file);

}  // namespace perdure::kernel
