// Applications' messages as requests of the exchange: D F G H AF q AD of FIX 4.4. What is read is a valid message of the dictionary
// (domain/fix/validate.h). What the exchange cannot do is a request that says so (FixRequest::refused): the machine answers it, with the
// numbers that are its own. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "kernel/auth/directory.h"
#include "modules/fintech/domain/fix/message.h"
#include "modules/fintech/domain/fix/validate.h"
#include "modules/fintech/machine/exchange/fix_api.h"

namespace heptane::fintech::fixgate {

// Longer ids and names are refused by Reject(3), 373=5: no message echoes more.
constexpr size_t kIdBytesMax = 64;

// BusinessMessageReject(j).
struct BusinessReject {
  uint32_t reason = 0;  // BusinessRejectReason(380)
  std::string text;
};

using RequestRead = std::variant<exchange::FixRequest, fix::Fault, BusinessReject>;

// nullopt: not supported.
std::optional<exchange::FixAsk> ask_of(std::string_view type);
// What a user must be allowed on the firm.
auth::Verb verb_of(exchange::FixAsk ask);
// Of market data's requests: none of their ids and names is too long.
std::optional<fix::Fault> fault_of_ids(const fix::Message& message);
// keeps_parties: the exchange does; else they are not looked at.
RequestRead read_request(exchange::FixAsk ask, const fix::Message& message, bool keeps_parties);

}  // namespace heptane::fintech::fixgate
