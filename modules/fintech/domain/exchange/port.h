// What another machine of the shard may ask of the exchange while it applies its own command: to enter an order.
//
// Invariants: an order is judged, held for, matched and settled in the caller's entry as one of a command of the exchange is; an error
// has changed nothing but what a refusal by risk rules leaves (its record, its rate). What was done cannot be taken back: the caller
// closes its scopes first, and refuses nothing afterwards. Who may trade in whose name is the caller's to judge, before; that the
// account is the firm's is judged here.
// Bounds: one order in a command. It has half of what a command may look at and add (kPortRecordsMax, kPortBytesMax, for
// Effects::room_for), the rest of its match goes on in commands of the exchange's own. The shard thread's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "modules/fintech/domain/book/book.h"

namespace heptane {
struct Command;
class Effects;
}  // namespace heptane

namespace heptane::fintech::exchange {

constexpr MachineId kExchangeMachineId = 25;  // behind which the port is, for ever

constexpr uint64_t kPortRecordsMax = 8'192;
constexpr uint64_t kPortBytesMax = uint64_t{512} << 10;

// A number as somebody said it: 12.50 is 1250 with 2 decimals.
struct Said {
  int64_t digits = 0;
  uint8_t decimals = 0;
};

// A limit or market order, all of it shown, that does not trade with its own account.
struct PortOrder {
  std::string_view firm;
  std::string_view account;
  std::string_view client_id;  // ClOrdID
  std::string_view symbol;
  book::Side side = book::Side::buy;
  bool market = false;
  book::TimeInForce tif = book::TimeInForce::day;  // not gtd
  Said price;                                      // of a limit order
  Said quantity;
};

// How it stands at the end of the entry; numbers in the instrument's decimals.
struct PortOrderEntered {
  uint64_t order_id = 0;
  std::string_view status;  // open, filled, cancelled
  std::string filled;
  std::string leaves;
};

class OrderPort {
 public:
  virtual ~OrderPort() = default;

  // False: earlier work of the instrument goes on, and orders for it are to come again. Of one that there is not: true. Changes nothing.
  virtual bool takes_orders(std::string_view symbol, const Command& command, Effects& effects) = 0;
  // Refused with what the exchange says over HTTP; exists: the ClOrdID was used on the trade date.
  virtual Result<PortOrderEntered> enter(const PortOrder& order, const Command& command, Effects& effects) = 0;
};

}  // namespace heptane::fintech::exchange
