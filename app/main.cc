// The list of modules, and nothing else.
#include "kernel/cli/command.h"
#include "modules/data/module.h"

namespace {

heptane::server::Modules make_modules() {
  heptane::server::Modules modules;
  modules.push_back(heptane::data::make_module());
  return modules;
}

}  // namespace

int main(int argc, char** argv) { return heptane::cli::run(argc, argv, make_modules); }
