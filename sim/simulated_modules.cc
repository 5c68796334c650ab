#include "sim/simulated_modules.h"

#include "modules/data/module.h"
#include "modules/fintech/module.h"
#include "modules/iot/module.h"

namespace heptane::sim {

server::Modules simulated_modules() {
  constexpr uint32_t kRowsPerFile = 8;
  server::Modules modules;
  modules.push_back(data::make_module());
  modules.push_back(fintech::make_module(kRowsPerFile));
  modules.push_back(iot::make_module());
  return modules;
}

}  // namespace heptane::sim
