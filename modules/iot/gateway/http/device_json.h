// Things as the JSON of /api/v1/devices: read with what is wrong named, written in one order. Any thread.
#pragma once

#include <string>

#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/iot/machine/devices/device_api.h"

namespace heptane::iot::devices {

// Within the ceilings of what a command can say; the machine judges by its limits.
Result<Thing> thing_of_json(std::string text);
// `{"version": N, "type": ..., "attributes": {"name": "value" or null}, "tags": [...], "groups": [...]}`
Result<UpdateThing> update_of_json(std::string text, std::string_view name);

void write_row(http::JsonWriter& out, const ThingRow& row);

}  // namespace heptane::iot::devices
