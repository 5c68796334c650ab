#include "modules/fintech/module.h"

#include "modules/fintech/gateway/tigerbeetle/tigerbeetle.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech {

namespace {

constexpr uint16_t kTigerbeetlePort = 3001;

class FintechModule final : public server::Module {
 public:
  std::string_view name() const override { return "fintech"; }

  std::vector<StateMachine*> machines() override { return {&ledger_}; }

  std::vector<server::ListenerSpec> listeners(const server::ServerFacts&) override {
    tigerbeetle_ = std::make_unique<tigerbeetle::TigerbeetleProtocol>(tigerbeetle::TigerbeetleOptions{});
    return {{tigerbeetle_.get(), kTigerbeetlePort}};
  }

 private:
  LedgerMachine ledger_;
  std::unique_ptr<tigerbeetle::TigerbeetleProtocol> tigerbeetle_;
};

}  // namespace

std::unique_ptr<server::Module> make_module() { return std::make_unique<FintechModule>(); }

}  // namespace heptane::fintech
