// The application that the acceptance scripts for FIX 4.4 expect: orders and security definitions come back as they were sent, an order
// that may have been sent before (PossResend) only if its ClOrdID is new; other types are not supported. One session for one peer,
// whose numbers and messages stay in memory from one connection to the next. One thread.
#pragma once

#include <map>
#include <set>
#include <string>

#include "modules/fintech/domain/fix/outbound.h"
#include "modules/fintech/domain/fix/session.h"

namespace heptane::fix::test {

class MemoryStore final : public MessageStore {
 public:
  uint64_t next_number() const override { return next_number_; }
  void append(const Draft& draft, bool administrative, int64_t sending_time_ns) override;
  uint64_t first_kept(uint64_t from) const override;
  Sent read(uint64_t number) const override;
  void reset() override;

 private:
  struct Kept {
    std::string type, header, body;
    int64_t sending_time_ns;
  };
  uint64_t next_number_ = 1;
  std::map<uint64_t, Kept> kept_;
};

class EchoConnection;

// What outlives a connection.
struct EchoVenue {
  SessionSettings settings;
  Peers peers;
  MemoryStore store;
  uint64_t next_inbound = 1;
  std::set<std::string> seen;  // ClOrdIDs
  const EchoConnection* logged_on = nullptr;

  // As the scripts want it: ISLD for TW44, numbers begin anew with every logon.
  EchoVenue();
};

class EchoConnection final : public SessionHost {
 public:
  EchoConnection(EchoVenue& venue, int64_t now_ns)
      : venue_(venue), now_ns_(now_ns), session_(venue.settings, *this, now_ns) {}
  ~EchoConnection() override { leave(); }
  EchoConnection(const EchoConnection&) = delete;
  EchoConnection& operator=(const EchoConnection&) = delete;

  void on_bytes(std::string_view bytes, int64_t now_ns);
  void on_timer(int64_t now_ns);
  void on_disconnected();
  Session& session() { return session_; }
  bool closed() const { return !why_.empty(); }
  const std::string& why() const { return why_; }
  // What is to be sent; the caller empties it.
  std::string& out() { return out_; }

  Admission admit(const Message& logon) override;
  uint64_t next_inbound() const override { return venue_.next_inbound; }
  void set_next_inbound(uint64_t number) override { venue_.next_inbound = number; }
  void reset_numbers() override;
  void send(const Draft& draft) override;
  void send_again(uint64_t begin, uint64_t end) override;
  Handled on_application(const Message& message) override;
  void close(const char* why) override;

 private:
  void leave();

  EchoVenue& venue_;
  int64_t now_ns_;
  std::string input_;
  std::string out_;
  std::string why_;
  Session session_;
};

}  // namespace heptane::fix::test
