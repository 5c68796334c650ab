// The exchange's port for other machines: an order in their entry.
#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kPortShare = 2;  // of an entry's room an order has one part of so many

// As the ledger sees it: the exchange moves its own money.
Command as_exchange(const Command& command) {
  Command own = command;
  own.machine = kExchangeMachineId;
  own.type = kNewOrder;
  own.payload = {};
  return own;
}

NewOrder order_of(const PortOrder& said) {
  NewOrder order;
  order.firm = said.firm;
  order.account = said.account;
  order.client_id = said.client_id;
  order.symbol = said.symbol;
  order.side = said.side;
  order.type = said.market ? book::OrderType::market : book::OrderType::limit;
  order.tif = said.tif;
  order.self_trade = book::SelfTrade::cancel_newest;
  order.price = said.price;
  order.quantity = said.quantity;
  return order;
}

}  // namespace

bool ExchangeMachine::takes_orders(std::string_view symbol, const Command& command, Effects& effects) {
  const Listing* listing = directory_.listing(std::string(symbol));
  if (listing == nullptr) return true;
  const Now now{command, effects, effects.port<LedgerMachine>(kLedgerMachineId), command.time};
  return at_rest(*listing, now);
}

Result<PortOrderEntered> ExchangeMachine::enter(const PortOrder& order, const Command& command, Effects& effects) {
  HEPTANE_ASSERT(scopes_ == 0, "an order cannot be taken back: its caller closes its scopes first");
  const Effects::Turn turn(effects, kExchangeMachineId);
  const Command own = as_exchange(command);
  logic_ = effects.version();
  market_.begin(logic_);
  begin(own, effects);
  Now now{own, effects, effects.port<LedgerMachine>(kLedgerMachineId), own.time};
  share_ = kPortShare;
  const Result<uint64_t> entered = enter(order_of(order), now);
  share_ = 1;
  HEPTANE_ASSERT(!effects.refused(), "the caller has looked for room");
  rearm(now);
  tell(now);
  tell_fix(now);
  count();
  if (!entered) return entered.error();
  const Order& stands = *orders_.find(*entered);
  const uint8_t scale = directory_.listing(stands.instrument).instrument().quantity_scale;
  return PortOrderEntered{stands.id, status_name(shown_status(stands)), amount_text(stands.filled, scale),
                          amount_text(stands.funds.leaves, scale)};
}

}  // namespace heptane::fintech::exchange
