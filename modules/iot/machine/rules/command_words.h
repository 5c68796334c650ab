// The commands of rules for a person (kernel/shard/command_words.h): `heptane explain`.
#pragma once

#include <span>

#include "kernel/shard/command_words.h"

namespace heptane::iot::rules {

std::span<const CommandWords> rules_words();

}  // namespace heptane::iot::rules
