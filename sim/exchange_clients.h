// Who takes part where the exchange is simulated (exchange_watch.h): an operator who opens the market, moves money, busts trades and throws kill switches,
// and a trader for each account, who enters, replaces and cancels orders over HTTP. What has no answer is asked again as it was. One
// owner.
#pragma once

#include <string>
#include <vector>

#include "sim/exchange_watch.h"
#include "sim/http_client.h"

namespace heptane::sim {

class SimMarketOperator final : public SimHttpClient {
 public:
  SimMarketOperator(ClientWorld& world, ExchangeWatch& watch, uint16_t port)
      : SimHttpClient(world, "market-operator", port), watch_(watch) {}

 private:
  void compose() override;
  bool composes() const override { return SimHttpClient::composes() || !killed_.empty(); }
  bool on_response(int status, std::string_view body) override;
  void prepare(uint32_t step);
  uint32_t preparations() const;
  void add_fix_session(const SimFixSession& session);
  void move_money(bool in, int account, bool usd);
  void throw_switch(const std::string& whose, bool lift);
  void bust_trade();
  uint32_t composes_one_in() const override { return watch_.is_open ? 5 : 1; }

  ExchangeWatch& watch_;
  uint32_t prepared_ = 0;
  uint32_t moves_ = 0;
  uint64_t amount_ = 0;  // of the move that is asked for
  uint64_t trade_ = 0;   // that is to be busted
  std::string killed_;   // members of the switch that is on; empty: none
};

class SimTrader final : public SimHttpClient {
 public:
  SimTrader(ClientWorld& world, ExchangeWatch& watch, int account, uint16_t port)
      : SimHttpClient(world, "trader-" + std::to_string(account), port), watch_(watch), account_(account) {}

 private:
  void compose() override;
  bool composes() const override { return SimHttpClient::composes() && watch_.is_open; }
  uint32_t composes_one_in() const override { return 2; }
  bool on_response(int status, std::string_view body) override;
  bool on_order(int status, std::string_view body);
  void enter();
  void replace(uint64_t order);
  std::string next_name();
  std::string firm() const { return kSimAccounts[account_].firm; }
  std::string path() const { return "/api/v1/exchange/firms/" + firm() + "/orders"; }

  ExchangeWatch& watch_;
  const int account_;
  uint32_t names_ = 0;
  std::string name_;            // the ClOrdID that is asked for; empty: none
  uint64_t order_ = 0;          // that is to be replaced or cancelled; 0: none
  std::vector<uint64_t> open_;  // as far as it knows
};

}  // namespace heptane::sim
