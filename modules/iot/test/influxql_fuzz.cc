// Any text as a query.
#include <cstddef>
#include <cstdint>

#include "modules/iot/gateway/series/influxql.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)heptane::iot::series::parse_influxql({reinterpret_cast<const char*>(data), size}, 1'700'000'000'000'000'000);
  return 0;
}
