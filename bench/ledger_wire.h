// A lean client of TigerBeetle's protocol for benches: blocking, one request at a time, messages written by hand. One
// thread's.
#pragma once

#include <string>
#include <vector>

#include "modules/fintech/test/tigerbeetle_world.h"

namespace heptane::bench {

class LedgerWire {
 public:
  // host:port; registers. Ends the bench when nobody listens.
  LedgerWire(const std::string& endpoint, fintech::Uint128 client);
  ~LedgerWire();
  LedgerWire(const LedgerWire&) = delete;
  LedgerWire& operator=(const LedgerWire&) = delete;

  // The number of events that were created.
  template <class Row>
  uint64_t create(uint8_t operation, const std::vector<Row>& rows) {
    send(operation, fintech::test::body_of<Row>({rows}));
    return take();
  }
  // Those that are there, in the order of the ids.
  std::vector<fintech::Transfer> lookup(const std::vector<fintech::Uint128>& ids);
  // Transfers that a filter finds: get_account_transfers, query_transfers.
  template <class Filter>
  std::vector<fintech::Transfer> find(uint8_t operation, const Filter& filter) {
    send(operation, fintech::test::body_of<Filter>({{filter}}));
    return take_transfers();
  }
  void send(uint8_t operation, Bytes body) { send_encoded(encode(operation, body)); }
  // The message that is sent next after those encoded before it.
  std::string encode(uint8_t operation, Bytes body);
  void send_encoded(const std::string& message);
  uint64_t take();
  int fd() const { return fd_; }

 private:
  std::string receive();
  std::vector<fintech::Transfer> take_transfers();

  int fd_ = -1;
  fintech::test::Client client_;
};

}  // namespace heptane::bench
