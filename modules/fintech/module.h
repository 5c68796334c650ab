// The fintech module for app: the ledger and its listeners.
#pragma once

#include "kernel/server/module.h"

namespace heptane::fintech {

std::unique_ptr<server::Module> make_module();

}  // namespace heptane::fintech
