#include "object/kind.h"

namespace perdure::object {

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::kGroup:
      return "group";
    case Kind::kProcess:
      return "process";
    case Kind::kThread:
      return "thread";
    case Kind::kAddressSpace:
      return "address space";
    case Kind::kMemoryObject:
      return "memory object";
    case Kind::kOpenFile:
      return "open file";
    case Kind::kPipeBuffer:
      return "pipe";
    case Kind::kPty:
      return "pty";
  }
  return "unknown";
}

}  // namespace perdure::object
