// The ledger's commands for a person (kernel/shard/command_words.h): `heptane explain`.
#pragma once

#include <span>

#include "kernel/shard/command_words.h"

namespace heptane::fintech {

std::span<const CommandWords> ledger_words();

}  // namespace heptane::fintech
