// What a first write to a protected page costs here. Most machines take about a microsecond; where
// page tables are shadowed by a hypervisor, as in some nested virtual machines, it is 15 to 30.
#pragma once

#include <cstdint>

namespace perdure::memory {

// Nanoseconds, the median of a few tries of this process, measured once; 0 if there is no
// asynchronous write protection. The first call takes as long as some twenty faults.
uint64_t write_fault_ns();

}  // namespace perdure::memory
