// The iot module for app: the MQTT broker.
#pragma once

#include "kernel/server/module.h"

namespace heptane::iot {

std::unique_ptr<server::Module> make_module();

}  // namespace heptane::iot
