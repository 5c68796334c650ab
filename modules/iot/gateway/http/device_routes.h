// The registry of things, and their shadows, for operators and programs: /api/v1/devices, /api/v1/device-groups and /api/v1/fleets on the admin listener. To look
// needs `read` on admin:devices, to make and change `write`, to delete `delete`. See the module's README for the forms.
#pragma once

#include "kernel/net/http/router.h"
#include "modules/iot/gateway/http/image_route.h"

namespace heptane::iot::devices {

void add_device_routes(http::HttpRouter& router);
void add_shadow_routes(http::HttpRouter& router);
void add_job_routes(http::HttpRouter& router, const GetImages& images);
void add_fleet_routes(http::HttpRouter& router);

}  // namespace heptane::iot::devices
