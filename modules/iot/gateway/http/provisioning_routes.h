// Provisioning over HTTP: `/api/v1/provisioning/templates` and `/api/v1/provisioning/claims`. The I/O thread's.
#pragma once

#include "kernel/net/http/router.h"

namespace heptane::iot::devices {

void add_provisioning_routes(http::HttpRouter& router);

}  // namespace heptane::iot::devices
