// Launching an engine from a verb, and what the verb does until its end: return at once, show the
// group's terminal, or wait.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/context.h"
#include "cli/relay.h"
#include "daemon/engine_process.h"

namespace perdure::cli {

enum class Ground : uint8_t { kForeground, kBackground };

// Standard input and output are one the user sits at.
bool on_terminal();

// For whoever started a group in the background; silent where standard output is a file, which is
// the group's now.
Status tell(std::string_view text);

// Which engine holds a group now, as JSON.
struct Holding {
  pid_t engine_pid = 0;
  pid_t root_pid = 0;
  size_t processes = 0;
};
std::string holding_json(const std::string& name, const Holding& holding);

// launched: says what there is to say in the background.
Result<int> launch(const Context& context, const daemon::GroupPlace& place,
                   daemon::EngineTask& task, Ground ground, Redraw redraw,
                   const std::function<Status(const control::Started&)>& launched);

}  // namespace perdure::cli
