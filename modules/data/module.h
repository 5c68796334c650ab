// The data module for app: its listeners, and in time its machines.
#pragma once

#include "kernel/server/module.h"

namespace heptane::data {

std::unique_ptr<server::Module> make_module();

}  // namespace heptane::data
