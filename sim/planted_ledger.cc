#include "sim/planted_ledger.h"

#include <cstring>

#include "modules/fintech/machine/exchange/exchange_api.h"
#include "sim/planted_exchange.h"

namespace heptane::sim {

namespace {

using namespace fintech;

class PlantedLedger final : public StateMachine, public LedgerPort {
 public:
  PlantedLedger(LedgerMachine& ledger, PlantedBug bug) : ledger_(ledger), bug_(bug) {}

  MachineId id() const override { return ledger_.id(); }
  std::string_view name() const override { return ledger_.name(); }
  void apply(const Command& command, Effects& effects) override;
  void expect(const Command& command) const override { ledger_.expect(command); }
  void query(const Query& query, Reply& reply) const override { ledger_.query(query, reply); }
  std::unique_ptr<QueryInSlices> begin_query(const Query& query) const override { return ledger_.begin_query(query); }
  void open_scope() override { ledger_.open_scope(); }
  void close_scope(ScopeOutcome outcome) override { ledger_.close_scope(outcome); }
  uint64_t memory_bytes() const override { return ledger_.memory_bytes(); }
  void save(SnapshotWriter& writer) const override { ledger_.save(writer); }
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override { return ledger_.fresh(); }
  void make_fresh() override { ledger_.make_fresh(); }
  bool relieves(CommandType type) const override { return ledger_.relieves(type); }
  RenderView renderer() const override { return ledger_.renderer(); }
  MachineFiles* files() override { return ledger_.files(); }
  bool idle_work() override { return ledger_.idle_work(); }
  void snapshot_begun() override { ledger_.snapshot_begun(); }
  std::optional<std::string> take_alarm() override { return ledger_.take_alarm(); }
  uint32_t newest_version() const override { return ledger_.newest_version(); }

  const Account* account(Uint128 id) const override { return port().account(id); }
  CreateResult open_account(const Account& account, const PortCall& call) override {
    return port().open_account(account, call);
  }
  TransferStatus check(const Transfer& transfer, const PortCall& call) override { return port().check(transfer, call); }
  CreateResult transfer(const Transfer& transfer, const PortCall& call) override {
    return port().transfer(transfer, call);
  }
  std::vector<CreateResult> chain(std::span<const Transfer> transfers, const PortCall& call) override {
    return port().chain(transfers, call);
  }

 private:
  LedgerPort& port() const { return ledger_; }
  void rename_restored(MutableBytes body) const;
  void renumber_repeat(MutableBytes payload) const;

  LedgerMachine& ledger_;
  const PlantedBug bug_;
  uint64_t restored_clock_ = 0;  // what is older came out of a snapshot
};

Result<void> PlantedLedger::restore(SnapshotReader& reader) {
  Result<void> restored = ledger_.restore(reader);
  restored_clock_ = ledger_.ledger().clock();
  return restored;
}

void PlantedLedger::apply(const Command& command, Effects& effects) {
  if (bug_ == PlantedBug::expiry_gives_nothing_back && command.type == kExpire) return effects.reply(0);
  const bool moves = command.type == kCreateTransfers || command.type == kSettleTransfers;
  if (!moves || command.payload.size() < Caller::kBytes) return ledger_.apply(command, effects);
  std::vector<std::byte> payload(command.payload.begin(), command.payload.end());
  if (bug_ == PlantedBug::ids_forgotten_by_restart) rename_restored(MutableBytes(payload).subspan(Caller::kBytes));
  if (bug_ == PlantedBug::sessions_forgotten_by_restart) renumber_repeat(payload);
  Command changed = command;
  changed.payload = payload;
  ledger_.apply(changed, effects);
}

// A restored id that comes again is another one.
void PlantedLedger::rename_restored(MutableBytes body) const {
  const std::optional<MultiBatch> batches = MultiBatch::parse(body, sizeof(Transfer));
  const size_t events = batches ? batches->elements() : 0;
  for (size_t i = 0; i < events; ++i) {
    std::byte* at = body.data() + i * sizeof(Transfer);
    Transfer known;
    const auto id = load_le<Uint128>(at);
    if (ledger_.ledger().find_transfer(id, known) && known.timestamp <= restored_clock_)
      store_le(at, id | Uint128{1} << 120);
  }
}

// A repeat of what was answered before the snapshot is a new request.
void PlantedLedger::renumber_repeat(MutableBytes payload) const {
  Caller caller = Caller::read(payload.data());
  const ClientSession* known = ledger_.sessions().find(caller.client);
  if (known == nullptr || known->checksum != caller.checksum || known->timestamp > restored_clock_) return;
  ++caller.request;
  caller.write(payload.data());
}

class PlantedModule final : public server::Module {
 public:
  PlantedModule(std::unique_ptr<server::Module> module, PlantedBug bug) : module_(std::move(module)) {
    for (StateMachine*& machine : machines_ = module_->machines()) {
      if (machine->id() == kLedgerMachineId && is_of_ledger(bug))
        planted_ = std::make_unique<PlantedLedger>(static_cast<LedgerMachine&>(*machine), bug);
      else if (machine->id() == exchange::kExchangeMachineId && is_of_exchange(bug))
        planted_ = planted_exchange(*machine, bug);
      else
        continue;
      machine = planted_.get();
    }
  }

  std::string_view name() const override { return module_->name(); }
  std::vector<config::Key> keys() const override { return module_->keys(); }
  void configure(const config::Settings& settings) override { module_->configure(settings); }
  std::vector<StateMachine*> machines() override { return machines_; }
  std::vector<server::ListenerSpec> listeners(const server::ServerFacts& facts) override {
    return module_->listeners(facts);
  }
  streams::ViewInput* view_input() override { return module_->view_input(); }
  std::vector<server::AnswerWatch> answer_watches() override { return module_->answer_watches(); }
  void add_routes(http::HttpRouter& router) override { module_->add_routes(router); }
  void add_operations(admin::OperationTable& operations) override { module_->add_operations(operations); }
  std::vector<server::PastView> past_views() const override { return module_->past_views(); }
  void register_metrics(Telemetry& telemetry) override { module_->register_metrics(telemetry); }

 private:
  std::unique_ptr<server::Module> module_;
  std::unique_ptr<StateMachine> planted_;
  std::vector<StateMachine*> machines_;
};

}  // namespace

const LedgerMachine* find_ledger(const server::Modules& modules) {
  for (const auto& module : modules)
    for (StateMachine* machine : module->machines())
      if (machine->id() == kLedgerMachineId) return static_cast<const LedgerMachine*>(machine);
  return nullptr;
}

bool is_of_ledger(PlantedBug bug) {
  return bug == PlantedBug::expiry_gives_nothing_back || bug == PlantedBug::ids_forgotten_by_restart ||
         bug == PlantedBug::sessions_forgotten_by_restart;
}

server::Modules plant(server::Modules modules, PlantedBug bug) {
  if (!is_of_ledger(bug) && !is_of_exchange(bug)) return modules;
  for (auto& module : modules) module = std::make_unique<PlantedModule>(std::move(module), bug);
  return modules;
}

}  // namespace heptane::sim
