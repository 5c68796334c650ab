// The fintech module for app: the ledger and its listeners.
#pragma once

#include "kernel/server/module.h"

namespace heptane::fintech {

// `rows_per_file`: what a data directory was begun with; tests take small ones.
std::unique_ptr<server::Module> make_module(uint32_t rows_per_file = 65'536);

}  // namespace heptane::fintech
