// Credentials of devices over HTTP: `/api/v1/devices/{thing}/credentials`. The I/O thread's.
#pragma once

#include <functional>
#include <string>

#include "kernel/net/http/router.h"

namespace heptane::iot::devices {

// So many bytes of chance; none while the module is off.
using RandomBytes = std::function<std::string(size_t count)>;

void add_credential_routes(http::HttpRouter& router, RandomBytes random);

}  // namespace heptane::iot::devices
