#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace perdure {

const char* code_name(Code code) {
  switch (code) {
    case Code::kInvalid:
      return "invalid";
    case Code::kNotFound:
      return "not found";
    case Code::kExists:
      return "exists";
    case Code::kPermission:
      return "permission";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kGone:
      return "gone";
    case Code::kCorrupt:
      return "corrupt";
    case Code::kNewer:
      return "newer version";
    case Code::kFull:
      return "full";
    case Code::kBusy:
      return "busy";
    case Code::kChanged:
      return "changed";
    case Code::kIo:
      return "input/output";
    case Code::kTimeout:
      return "timeout";
    case Code::kLimit:
      return "limit";
    case Code::kInternal:
      return "internal";
  }
  return "unknown";
}

// Codes start at 10 so that they are not taken for the exit code of a command that `run` started.
int exit_status(Code code) { return 10 + static_cast<int>(code); }

Code code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ENXIO:
    case ESTALE:  // deleted while it was open, on a file system that keeps no such files
      return Code::kNotFound;
    case ESRCH:
      return Code::kGone;
    case EEXIST:
    case EADDRINUSE:
      return Code::kExists;
    case EPERM:
    case EACCES:
      return Code::kPermission;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnavailable;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Code::kFull;
    case EBUSY:
    case ETXTBSY:
      return Code::kBusy;
    case EINVAL:
    case EBADF:
    case EFAULT:
      return Code::kInvalid;
    case ETIMEDOUT:
      return Code::kTimeout;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
      return Code::kLimit;
    default:
      return Code::kIo;
  }
}

Error Error::system(int error_number, std::string_view operation, std::string_view object) {
  std::string message(operation);
  if (!object.empty()) message.append(" ").append(object);
  message.append(": ").append(std::strerror(error_number));
  Error error(code_of_errno(error_number), std::move(message));
  error.errno_ = error_number;
  return error;
}

Error&& Error::within(std::string_view context) && {
  message_ = std::string(context).append(": ").append(message_);
  return std::move(*this);
}

Error&& Error::with_remedy(std::string remedy) && {
  remedy_ = std::move(remedy);
  return std::move(*this);
}

Error&& Error::with_code(Code code) && {
  code_ = code;
  return std::move(*this);
}

std::string Error::to_string() const {
  return remedy_.empty() ? message_ : message_ + " (" + remedy_ + ")";
}

}  // namespace perdure
