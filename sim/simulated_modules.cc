#include "sim/simulated_modules.h"

#include "modules/data/module.h"
#include "modules/fintech/module.h"
#include "modules/iot/module.h"

namespace heptane::sim {

server::Modules simulated_modules() {
  constexpr uint32_t kRowsPerFile = 8;
  constexpr int64_t kNoSlices = int64_t{3'600} * 1'000'000'000;  // an hour: no query depends on the system's clock
  server::Modules modules;
  modules.push_back(data::make_module());
  modules.push_back(fintech::make_module(kRowsPerFile));
  modules.push_back(iot::make_module(kNoSlices));
  return modules;
}

}  // namespace heptane::sim
