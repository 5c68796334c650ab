#include "modules/iot/device_keys.h"

#include "modules/iot/machine/devices/device_api.h"
#include "modules/iot/machine/provisioning/provisioning_api.h"
#include "modules/iot/machine/series/series_api.h"

namespace heptane::iot {

namespace {

// With its word it is as if it were not there.
config::Key limit(std::string_view name, config::Type type, const char* help, int64_t max) {
  config::Key key{.name = std::string(name), .type = type};
  key.help = help;
  key.fallback = int64_t{-1};
  key.min = 1;
  key.max = max;
  key.word = "default";
  key.word_value = -1;
  key.reloadable = key.logged = true;
  return key;
}

}  // namespace

std::vector<config::Key> device_keys() {
  using config::Type;
  return {
      limit(devices::kMaxThings, Type::integer, "Devices in the registry; default: 1000000", devices::kThingsCeiling),
      limit(devices::kMaxAttributes, Type::integer, "Attributes of a device; default: 50", devices::kAttributesCeiling),
      limit(devices::kMaxThingBytes, Type::size, "All texts of a device; default: 8 KiB", devices::kThingBytesCeiling),
      limit(devices::kMaxPending, Type::integer,
            "Certificates of one claim that wait to become a device's; default: 100", devices::kPendingCeiling)};
}

std::vector<config::Key> series_keys() {
  using config::Type;
  config::Key head{.name = std::string(kSeriesHeadBytes), .type = Type::size};
  head.help = "Points in memory before they are written to a file; twice as much while they are";
  head.fallback = kSeriesHeadDefault;
  head.min = int64_t{1} << 20;
  head.max = int64_t{4} << 30;
  config::Key memory{.name = std::string(kSeriesMemoryBytes), .type = Type::size};
  memory.help =
      "What series, their fields and the places of their points in files may take of memory: beyond it nothing "
      "is written";
  memory.fallback = kSeriesMemoryDefault;
  memory.min = int64_t{1} << 20;
  memory.max = int64_t{1} << 40;
  config::Key query{.name = std::string(kSeriesQuerySeconds), .type = Type::integer};
  query.help = "A query that takes longer is answered with an error";
  query.fallback = kSeriesQueryDefault;
  query.min = 1;
  query.max = 3'600;
  return {limit(series::kMaxSeries, Type::integer, "Series of all databases; default: 1000000", series::kSeriesCeiling),
          head, memory, query};
}

}  // namespace heptane::iot
