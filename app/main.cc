// The lists of modules and of commands from above the kernel, and nothing else.
#include "kernel/cli/command.h"
#include "modules/data/module.h"
#include "modules/fintech/cli/fintech.h"
#include "modules/fintech/cli/ledger.h"
#include "modules/fintech/module.h"
#include "modules/iot/cli/devices.h"
#include "modules/iot/cli/jobs.h"
#include "modules/iot/cli/lua_worker.h"
#include "modules/iot/cli/mqtt.h"
#include "modules/iot/cli/provisioning.h"
#include "modules/iot/cli/rules.h"
#include "modules/iot/module.h"
#include "sim/sim_command.h"

namespace {

heptane::server::Modules make_modules() {
  heptane::server::Modules modules;
  modules.push_back(heptane::data::make_module(true));
  modules.push_back(heptane::fintech::make_module());
  modules.push_back(heptane::iot::make_module());
  return modules;
}

}  // namespace

int main(int argc, char** argv) {
  static constexpr heptane::cli::AddCommand kMoreCommands[] = {
      heptane::fintech::add_fintech,  heptane::fintech::add_ledger, heptane::iot::add_devices,
      heptane::iot::add_jobs,         heptane::iot::add_lua_worker, heptane::iot::add_mqtt,
      heptane::iot::add_provisioning, heptane::iot::add_rules,      heptane::sim::add_sim};
  return heptane::cli::run(argc, argv, make_modules, kMoreCommands);
}
