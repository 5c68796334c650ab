// A TigerBeetle client of the simulator: real messages over SimNet, written and read from the protocol's documentation and not
// with the gateway's codec. One request at a time, sent again, over the same connection or another, until it is answered, as
// the protocol's own clients do; sometimes the last one again that was answered. What it learns goes to the LedgerWatch.
//
// Rules: a repeat of the last command has the very bytes of the first answer, whatever happened between; a transfer that was
// acknowledged is found; a client that keeps to the protocol is never evicted. One owner.
#pragma once

#include <set>

#include "sim/kafka_client.h"
#include "sim/ledger_events.h"
#include "sim/ledger_watch.h"

namespace heptane::sim {

class SimLedgerClient final : public SimClient {
 public:
  SimLedgerClient(ClientWorld& world, LedgerWatch& watch, uint32_t number, uint16_t port);
  bool finished() const override { return message_.empty(); }
  std::string state() const override;
  uint64_t repeats_total() const { return repeats_total_; }

 private:
  using Uint128 = fintech::Uint128;

  uint16_t port() const override { return port_; }
  void on_connected() override { sent_ = false; }
  void go_on() override;
  bool on_answer(int16_t, ByteReader&) override { return false; }
  bool take_frames() override;

  void compose();
  uint64_t past() const;
  void compose_lookup();
  void ask(uint8_t operation, Bytes body);
  void enter();
  bool on_message(Bytes message);
  void on_evicted(int reason);
  void on_reply(Bytes message);
  void on_found(Bytes body);
  bool wrong(const char* what);

  LedgerWatch& watch_;
  const uint32_t number_;
  const uint16_t port_;
  LedgerEvents events_;
  Uint128 id_;
  uint64_t session_ = 0;
  uint32_t request_ = 0;
  bool has_accounts_ = false;

  std::vector<std::byte> message_;  // that has no answer yet
  std::vector<fintech::Transfer> message_events_;
  bool sent_ = false;  // over this connection
  int64_t ask_again_ns_ = 0;
  std::vector<std::byte> last_message_;  // the last command that was answered, and its answer
  std::vector<std::byte> last_answer_;
  std::vector<LedgerWatch::Known> looked_up_;
  std::set<Uint128> asked_;  // checksums of all requests: late answers to any of them may come
  uint64_t repeats_total_ = 0;
};

}  // namespace heptane::sim
