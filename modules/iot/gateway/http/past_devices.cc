#include "modules/iot/gateway/http/past_devices.h"

#include <functional>

#include "kernel/base/assert.h"
#include "kernel/net/http/json_writer.h"
#include "modules/iot/gateway/http/device_json.h"

namespace heptane::iot::devices {

namespace {

void each_thing(const DevicesMachine& machine, const std::function<void(const ThingRow&)>& each) {
  ThingsQuery query;
  query.limit = UINT16_MAX;
  Reply reply;
  do {
    reply = {};
    machine.registry().page(query, reply);
    const auto page = decode_things_page(reply.payload.view());
    HEPTANE_ASSERT(page, "the registry's own page cannot be read");
    for (const ThingRow& row : page->rows) each(row);
    query.after = page->last;
  } while (reply.numbers[1] != 0);
}

using EachShadow = std::function<void(const std::string& thing, const std::string& name, const std::string& document)>;

void each_shadow(const DevicesMachine& machine, const EachShadow& each) {
  each_thing(machine, [&](const ThingRow& row) {
    for (const std::string& name : machine.shadows().names(row.thing.name)) {
      const Shadow shadow = machine.shadows().find(row.thing.name, name);
      each(row.thing.name, name, document_of(shadow, shadow.time_s, ""));
    }
  });
}

}  // namespace

std::string past_things(const DevicesMachine& machine, bool json) {
  std::string text;
  http::JsonWriter out;
  out.begin_object().key("devices").begin_array();
  each_thing(machine, [&](const ThingRow& row) {
    if (json) return write_row(out, row);
    text += row.thing.name + ' ' + std::to_string(row.version) + ' ' + row.thing.type + '\n';
  });
  if (!json) return text;
  out.end_array().end_object();
  return out.take();
}

std::string past_shadows(const DevicesMachine& machine, bool json) {
  std::string text;
  http::JsonWriter out;
  out.begin_object().key("shadows").begin_array();
  each_shadow(machine, [&](const std::string& thing, const std::string& name, const std::string& document) {
    if (!json) {
      text += thing + ' ' + (name.empty() ? "-" : name) + ' ' + document + '\n';
      return;
    }
    out.begin_object().key("thing").text(thing).key("name").text(name).key("document").raw(document).end_object();
  });
  if (!json) return text;
  out.end_array().end_object();
  return out.take();
}

}  // namespace heptane::iot::devices
