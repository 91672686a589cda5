// engine::Group as the control server sees it.
#pragma once

#include <memory>

#include "daemon/group_control.h"
#include "engine/group.h"

namespace perdure::daemon {

std::unique_ptr<GroupControl> control_of(std::unique_ptr<engine::Group> group);

}  // namespace perdure::daemon
