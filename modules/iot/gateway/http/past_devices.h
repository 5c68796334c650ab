// `heptane at MOMENT devices things` and `devices shadows`: every thing, and every shadow's document, as they were. For a machine
// that nobody changes meanwhile.
#pragma once

#include <string>

#include "modules/iot/machine/devices/devices_machine.h"

namespace heptane::iot::devices {

// As /api/v1/devices has them; as text a line each: name, version, type.
std::string past_things(const DevicesMachine& machine, bool json);
// A document is as `get` gives it, its timestamp that of the shadow's last change. As text a line each: thing, name (- where it is the
// classic one), document.
std::string past_shadows(const DevicesMachine& machine, bool json);

}  // namespace heptane::iot::devices
