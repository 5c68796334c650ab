// A TigerBeetle session with the real ledger machine behind it, and a client that writes messages and reads answers as the
// protocol's own client does: every field that it asserts on is checked here. Test support.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/auth/auth_machine.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/shard/command_run.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/gateway/tigerbeetle/session.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech::test {

// One connection; time goes on by 1,000 ns for each command.
class World {
 public:
  explicit World(net::Quotas* quotas = nullptr);

  // Sends bytes and returns what came back.
  std::string send(std::string_view bytes);
  http::test::FakeContext& context() { return context_; }
  bool closed() const { return context_.closed; }
  LedgerMachine& machine() { return machine_; }
  LogTime now = 1'000'000;
  // Of the ledger's logic: the newest, unless told.
  void use_version(uint32_t version) { kernel_.versions[kLedgerMachineId] = version; }
  std::vector<CommandType> submitted;
  // What a shard near its limits says to all but what relieves it.
  std::optional<Errc> no_room;

 private:
  Reply submit(const Submission& submission);
  Reply query(const QueryRequest& query) const;

  streams::StreamsMachine streams_;
  auth::AuthMachine auth_;  // keeps the audit trail
  LedgerMachine machine_;
  MachineTable machines_;
  KernelState kernel_;
  CommandRun run_{machines_, kernel_};
  Sequence sequence_ = 0;
  tigerbeetle::TigerbeetleProtocol protocol_;
  std::unique_ptr<net::Session> session_;
  http::test::FakeContext context_;
};

struct Client {
  Uint128 id = 1;
  uint64_t session = 0;
  uint32_t request = 0;
  uint32_t release = tigerbeetle::kRelease;

  // A message; the header's fields may be changed before it is sealed.
  std::string message(uint8_t operation, Bytes body) const;
  std::string ping(uint64_t timestamp) const;
};

// Fields of a header by their place, for tests that break one.
void seal(std::string& message);
void put(std::string& message, size_t at, std::string_view bytes);

// The answers in `bytes` as lines; an answer that the client would not take is an assertion.
std::string describe(std::string_view bytes, const Client& client, std::string_view asked);

template <class Row>
std::vector<std::byte> body_of(const std::vector<std::vector<Row>>& batches) {
  MultiBatchWriter writer(sizeof(Row));
  for (const auto& batch : batches) {
    const auto* bytes = reinterpret_cast<const std::byte*>(batch.data());
    writer.out().insert(writer.out().end(), bytes, bytes + batch.size() * sizeof(Row));
    writer.end_batch();
  }
  return writer.finish();
}

}  // namespace heptane::fintech::test
