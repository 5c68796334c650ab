#include "sim/planted_exchange.h"

#include "kernel/shard/effects.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::sim {

namespace {

using namespace fintech::exchange;

class PlantedExchange final : public StateMachine {
 public:
  PlantedExchange(StateMachine& exchange, PlantedBug bug) : exchange_(exchange), bug_(bug) {}

  MachineId id() const override { return exchange_.id(); }
  std::string_view name() const override { return exchange_.name(); }
  void apply(const Command& command, Effects& effects) override;
  void expect(const Command& command) const override { exchange_.expect(command); }
  void query(const Query& query, Reply& reply) const override { exchange_.query(query, reply); }
  void open_scope() override { exchange_.open_scope(); }
  void close_scope(ScopeOutcome outcome) override { exchange_.close_scope(outcome); }
  uint64_t memory_bytes() const override { return exchange_.memory_bytes(); }
  void save(SnapshotWriter& writer) const override { exchange_.save(writer); }
  Result<void> restore(SnapshotReader& reader) override { return exchange_.restore(reader); }
  bool fresh() const override { return exchange_.fresh(); }
  void make_fresh() override { exchange_.make_fresh(); }
  bool relieves(CommandType type) const override { return exchange_.relieves(type); }
  RenderView renderer() const override { return exchange_.renderer(); }
  uint32_t newest_version() const override { return exchange_.newest_version(); }

 private:
  StateMachine& exchange_;
  const PlantedBug bug_;
};

void PlantedExchange::apply(const Command& command, Effects& effects) {
  if (bug_ == PlantedBug::cancel_changes_nothing && command.type == kCancelOrder) {
    const auto asked = unpacked<CancelOrder>(command.payload);
    return effects.reply(asked ? static_cast<int64_t>(asked->order_id) : 0);
  }
  exchange_.apply(command, effects);
}

}  // namespace

bool is_of_exchange(PlantedBug bug) { return bug == PlantedBug::cancel_changes_nothing; }

std::unique_ptr<StateMachine> planted_exchange(StateMachine& exchange, PlantedBug bug) {
  return std::make_unique<PlantedExchange>(exchange, bug);
}

}  // namespace heptane::sim
