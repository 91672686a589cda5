// Between Perdure's own values and control messages.
#pragma once

#include "base/result.h"
#include "engine/options.h"
#include "object/control.pb.h"

namespace perdure::daemon {

void write_error(const Error& error, control::Failure& failure);
// An error as a user sees it on the other side; an unknown code becomes kInternal.
Error read_error(const control::Failure& failure);

void write_report(const engine::CheckpointReport& report, control::CheckpointReply& reply);
engine::CheckpointReport read_report(const control::CheckpointReply& reply);

// A status as wait(2) gives it, in words: "exited with status 3", "was killed by SIGTERM".
std::string describe_wait_status(int wait_status);
// What a shell would make of it: the exit status, or 128 + signal.
int shell_status(int wait_status);

}  // namespace perdure::daemon
