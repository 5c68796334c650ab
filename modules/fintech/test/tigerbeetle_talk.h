// A client in a session whose questions and answers are written down and compared with test/transcripts/. With
// HEPTANE_WRITE_TRANSCRIPTS=1 the files are written instead: read what changed before it is committed. Test support.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "modules/fintech/test/tigerbeetle_world.h"

namespace heptane::fintech::test {

inline void expect_transcript(const std::string& name, const std::string& text) {
  const std::string path = "modules/fintech/test/transcripts/" + name + ".txt";
  if (std::getenv("HEPTANE_WRITE_TRANSCRIPTS") != nullptr) {
    std::ofstream(path) << text;
    return;
  }
  std::ifstream file(path);
  std::stringstream want;
  want << file.rdbuf();
  EXPECT_EQ(text, want.str()) << path;
}

// A client in a session; what it asks and gets is written down.
struct Talk {
  World world;
  Client client;
  std::string text;

  explicit Talk(bool registered = true) {
    if (registered) enter();
  }
  void enter() {
    const std::vector<std::byte> body(256);
    const std::string message = client.message(tigerbeetle::kRegisterOperation, body);
    const std::string answer = world.send(message);
    note("register", answer, message);
    if (answer.size() < 256) return;
    std::memcpy(&client.session, answer.data() + 216, 8);
  }
  void note(std::string_view what, std::string_view answer, std::string_view asked) {
    text += "> " + std::string(what) + "\n" + describe(answer, client, asked);
    if (world.closed()) text += "< close\n";
  }
  void ask(std::string_view what, uint8_t operation, Bytes body) {
    ++client.request;
    const std::string message = client.message(operation, body);
    note(what, world.send(message), message);
  }
  template <class Row>
  void ask(std::string_view what, uint8_t operation, const std::vector<std::vector<Row>>& batches) {
    const std::vector<std::byte> body = body_of(batches);
    ask(what, operation, Bytes(body));
  }
  // Bytes as they are.
  void raw(std::string_view what, const std::string& message) { note(what, world.send(message), message); }
};

inline Account account(uint64_t id, uint16_t flags = 0) {
  Account a{};
  a.id = id;
  a.ledger = 1;
  a.code = 10;
  a.flags = flags;
  return a;
}

inline Transfer transfer(uint64_t id, uint64_t from, uint64_t to, uint64_t amount, uint16_t flags = 0) {
  Transfer t{};
  t.id = id;
  t.debit_account_id = from;
  t.credit_account_id = to;
  t.amount = amount;
  t.ledger = 1;
  t.code = 20;
  t.flags = flags;
  return t;
}

inline Transfer resolving(uint64_t id, uint64_t pending, Uint128 amount, uint16_t flag) {
  Transfer t{};
  t.id = id;
  t.pending_id = pending;
  t.amount = amount;
  t.flags = flag;
  return t;
}

}  // namespace heptane::fintech::test
