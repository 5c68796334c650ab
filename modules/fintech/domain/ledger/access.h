// Who may move whose money. An account belongs to nobody, or to the machine of the shard that opened it; what the one who acts
// may not touch does not exist for him. Ids of each machine have a range of their own, which nobody else gets.
// Plain data; the shard thread's.
#pragma once

#include <cstdint>

#include "kernel/base/ids.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

// Reserved ids: 48 ones, the machine, 64 bits of its own. Neither ids that begin with the time of day nor random ones get there.
constexpr Uint128 kReservedIds = ~Uint128{0} << 80;
constexpr Uint128 reserved_id(MachineId machine, uint64_t number) {
  return kReservedIds | Uint128{machine} << 64 | number;
}
// The machine in whose range the id is; 0: in none. 2^128 - 1 is no id.
constexpr MachineId machine_of_id(Uint128 id) {
  return (id & kReservedIds) == kReservedIds && id != kUint128Max ? static_cast<MachineId>(id >> 64) : MachineId{0};
}

// The stored account says whose it is where events must say 0; clients of the protocol get 0.
inline MachineId owner_of(const Account& account) { return static_cast<MachineId>(account.reserved); }

// A machine that opens an account under a code with this bit keeps it for itself: nobody else credits or debits it, whatever
// his rights, so that what the machine has judged stays so.
constexpr uint16_t kSealedCode = 0x8000;
inline bool sealed(const Account& account) { return owner_of(account) != 0 && (account.code & kSealedCode) != 0; }

struct Access {
  MachineId machine = 0;  // that acts; 0: somebody outside
  bool withdraw = false;  // from outside: may debit what belongs to machines
  bool ranges = false;    // from outside: reserved ids are refused. Commands of older programs do not say so

  bool may_use(Uint128 id) const {
    const MachineId of = machine_of_id(id);
    return of == machine || of == 0 || (machine == 0 && !ranges);
  }
  bool owns(const Account& account) const { return owner_of(account) == 0 || owner_of(account) == machine; }
  // To close an account is its owner's.
  bool may_debit(const Account& account, bool closing) const {
    return owns(account) || (machine == 0 && withdraw && !closing && !sealed(account));
  }
  bool may_credit(const Account& account, bool closing) const {
    return owns(account) || (!closing && !sealed(account));
  }
  // To post or void. What a machine left pending under an id of its range is the machine's.
  bool may_resolve(const Transfer& pending, const Account& debit) const {
    return may_use(pending.id) && may_debit(debit, false);
  }
};

// What was refused to somebody outside since act_as(); of each kind the first one by name.
struct Denials {
  struct Row {
    uint64_t count = 0;
    Uint128 event = 0;    // its id
    Uint128 account = 0;  // or the pending transfer
  };
  Row withdraw;  // who has no right to debit
  Row owned;     // closing, or resolving what is the machine's
  Row reserved;  // an id in a reserved range

  bool any() const { return withdraw.count + owned.count + reserved.count != 0; }
};

}  // namespace heptane::fintech
