// HTTP clients of the simulator, written from the API's documentation: each asks one thing at a time, again until it is answered,
// over any number of connections and crashes. What it asks can be asked twice. One owner.
#pragma once

#include <string>
#include <string_view>

#include "sim/kafka_client.h"

namespace heptane::sim {

class SimHttpClient : public SimClient {
 public:
  bool finished() const override { return request_.empty() || world_.checker.lost_tail_allowed(); }
  std::string state() const override { return name_ + " (" + request_.substr(0, request_.find('\r')) + ")"; }

 protected:
  SimHttpClient(ClientWorld& world, std::string name, uint16_t port)
      : SimClient(world), name_(std::move(name)), port_(port) {}

  // Called now and then while nothing is asked: asks what is next, or nothing.
  virtual void compose() = 0;
  // What was asked is answered, with less than 500 and not 408 or 429. False: that is not what it must be.
  virtual bool on_response(int status, std::string_view body) = 0;
  void ask(const std::string& method, const std::string& path, const std::string& body, const std::string& more = {});
  std::string_view request() const { return request_; }
  // The answer was no final one: asked once more in a while.
  void ask_again() { again_ = true; }
  virtual uint32_t composes_one_in() const { return 6; }
  virtual bool composes() const { return !finishing_; }
  void go_on() override;

 private:
  uint16_t port() const override { return port_; }
  void on_connected() override { asked_ = false; }
  bool on_answer(int16_t, ByteReader&) override { return false; }
  bool take_frames() override;
  bool take_response(int status, std::string_view body);

  const std::string name_;
  const uint16_t port_;
  std::string request_;  // not answered yet; empty: none
  bool asked_ = false;   // over this connection
  bool again_ = false;
  int64_t again_ns_ = 0;
};

std::string quoted(std::string_view text);

}  // namespace heptane::sim
