// The modules of the simulated server: the program's own, with row files so small that a seed fills many, and queries in one slice.
// Stateless; one thread's.
#pragma once

#include "kernel/server/module.h"

namespace heptane::sim {

server::Modules simulated_modules();

}  // namespace heptane::sim
