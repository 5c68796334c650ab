// Connections of the MQTT gateway with the real broker machine behind them, driven by transcripts. Test support.
//
// A line is a step: `a> WORDS` client a sends (it connects with its first line), `a< WORDS` all that a was sent since, `a closed`,
// `a gone` its connection breaks, `pass 15s`, `hold` and `deliver` keep back and give what the shard answers. Words: hexadecimal bytes, 'text',
// rN and vN a variable byte integer, sN kN mN HN sixteen bits, LN thirty-two, iN eight. A line that begins with # is a remark.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "kernel/net/http/fake_context.h"
#include "kernel/shard/command_run.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/gateway/mqtt/mqtt.h"
#include "modules/iot/machine/broker_machine.h"

namespace heptane::iot::test {

std::string bytes_of(std::string_view words);
std::string hex_of(std::string_view bytes);

class World {
 public:
  explicit World(mqtt::MqttOptions options = {});
  ~World();

  struct Client {
    std::unique_ptr<net::Session> session;
    std::unique_ptr<http::test::FakeContext> context;
  };
  Client& client(const std::string& name);  // connects it when it is not there
  void send(const std::string& name, std::string_view bytes);
  std::string take_output(const std::string& name);
  void break_off(const std::string& name);
  void pass_time(int64_t ns);
  void hold(bool held) { held_ = held; }
  void settle();  // until nothing is under way

  mqtt::Broker& broker() { return broker_; }
  BrokerMachine& machine() { return machine_; }
  const std::map<std::string, Client>& clients() const { return clients_; }
  size_t commands() const { return commands_; }
  void refuse_next(Errc error) { refusal_ = error; }

  // Runs a transcript; the first line that is not so, or empty.
  std::string run(std::string_view transcript);

 private:
  std::string step(const std::string& line);
  Reply submit(const Submission& submission);
  Reply query(const QueryRequest& asked) const;

  streams::StreamsMachine streams_;
  BrokerMachine machine_;
  MachineTable machines_;
  KernelState kernel_;
  CommandRun run_{machines_, kernel_};
  Sequence sequence_ = 0;
  size_t commands_ = 0;
  int64_t now_ns_ = 0;
  bool held_ = false;
  std::optional<Errc> refusal_;
  mqtt::Broker broker_;
  mqtt::MqttProtocol protocol_{broker_};
  mqtt::ResidentProtocol resident_protocol_{broker_};
  std::unique_ptr<net::Session> resident_;
  std::unique_ptr<http::test::FakeContext> resident_context_;
  SessionId last_session_ = 1;
  std::map<std::string, Client> clients_;
};

}  // namespace heptane::iot::test
