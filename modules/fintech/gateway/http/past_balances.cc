#include "modules/fintech/gateway/http/past_balances.h"

#include "kernel/net/http/json_writer.h"
#include "modules/fintech/gateway/http/ledger_json.h"

namespace heptane::fintech {

namespace {

// Padded to a column.
std::string column(std::string text, size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

}  // namespace

std::string past_balances(const LedgerMachine& machine, bool json) {
  const ledger_http::AssetTable assets(machine.assets().all());
  const auto& accounts = machine.ledger().accounts();
  if (json) {
    http::JsonWriter out;
    out.begin_object().key("accounts").begin_array();
    for (uint32_t i = 0; i < accounts.size(); ++i) ledger_http::write(out, accounts[i], assets);
    out.end_array().end_object();
    return out.take();
  }
  std::string text = column("account", 40) + column("unit", 14);
  for (const char* name : {"debits posted", "debits pending", "credits posted", "credits pending"})
    text += column(name, 22);
  text += '\n';
  for (uint32_t i = 0; i < accounts.size(); ++i) {
    const Account& account = accounts[i];
    const Asset* asset = assets.of(account.ledger);
    const uint8_t scale = asset == nullptr ? 0 : asset->scale;
    text += column(number_text(account.id), 40) +
            column(asset == nullptr ? "ledger " + std::to_string(account.ledger) : asset->code, 14);
    for (const Uint128 amount :
         {account.debits_posted, account.debits_pending, account.credits_posted, account.credits_pending})
      text += column(amount_text(amount, scale), 22);
    text += '\n';
  }
  return text;
}

}  // namespace heptane::fintech
