#include "modules/fintech/module.h"

#include "kernel/server/server_keys.h"
#include "modules/fintech/gateway/tigerbeetle/tigerbeetle.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech {

namespace {

constexpr uint16_t kTigerbeetlePort = 3001;

class FintechModule final : public server::Module {
 public:
  std::string_view name() const override { return "fintech"; }

  std::vector<config::Key> keys() const override { return server::listener_keys("tigerbeetle", kTigerbeetlePort); }

  std::vector<StateMachine*> machines() override { return {&ledger_}; }

  // Its clients cannot say who they are: where that is asked, it is not there.
  std::vector<server::ListenerSpec> listeners(const server::ServerFacts& facts) override {
    if (facts.authenticator != nullptr) return {};
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
