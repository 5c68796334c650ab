// Connections of the MQTT gateway with the real broker machine behind them, driven by transcripts. Test support.
//
// A line is a step: `a> WORDS` client a sends (it connects with its first line), `a< WORDS` all that a was sent since, `a closed`,
// `a gone` its connection breaks, `pass 15s`, `hold` and `deliver` keep back and give what the shard answers, `crash` starts the
// server again with what is in the log. Words: hexadecimal bytes, 'text',
// rN and vN a variable byte integer, sN kN mN HN sixteen bits, LN thirty-two, iN eight. A line that begins with # is a remark.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/net/http/fake_context.h"
#include "kernel/shard/command_run.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/gateway/mqtt/mqtt.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/devices/devices_machine.h"
#include "modules/iot/machine/jobs/jobs_machine.h"
#include "modules/iot/machine/provisioning/provisioning_machine.h"
#include "modules/iot/test/trail.h"

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
  // One of what the gateway is not told; the rest stays held.
  void deliver_one() { gateway_->context->deliver_one(); }
  // Once the machine has such a command its answer and what comes behind it are kept back.
  void hold_after(CommandType type) { hold_after_ = type; }
  // Reads of the log come back one of each client at a time, as out of a pool of readers.
  void read_in_turn() { reads_in_turn_ = true; }
  void settle();  // until nothing is under way
  // All connections and what the gateway knows are gone; the machine comes back out of a snapshot.
  void crash();
  // The log forgets records before this one.
  void trim(Offset before) { log_start_ = before; }

  mqtt::Broker& broker() { return gateway_->broker; }
  BrokerMachine& machine() { return machine_; }
  devices::DevicesMachine& devices() { return devices_; }
  devices::JobsMachine& jobs() { return jobs_; }
  devices::ProvisioningMachine& provisioning() { return provisioning_; }
  const std::map<std::string, Client>& clients() const { return clients_; }
  size_t commands() const { return commands_; }
  size_t reads() const { return reads_; }  // of the log
  // Of the stream's first partition: `KEY VALUE` each.
  std::vector<std::string> records(std::string_view stream) const;
  Reply declare(const StreamDeclaration& declaration);
  Reply submit(const Submission& submission);
  // As an operator does it; the gateway hears of it.
  Reply provision(CommandType type, const Buffer& payload);
  // What a client shows that connects from now on: its certificate's SHA-256 in hexadecimal.
  void show_certificate(const std::string& name, const std::string& fingerprint) { certificates_[name] = fingerprint; }
  // Registers things as an operator does; the gateway hears of it.
  Reply create_things(const std::vector<std::string>& names);
  std::vector<std::string> events() const;  // the values of iot.events
  // UTC is so far ahead of where it was at the start, by the connections' clock.
  void set_clock(int64_t ahead_ns) { clock_ahead_ns_ = ahead_ns; }
  // Log time is so far behind UTC.
  void log_runs_late(int64_t ns) { late_ns_ = ns; }
  void refuse_next(Errc error) { refusal_ = error; }
  // What becomes of the next message that is published, whatever the machine says of it.
  void answer_publish(PublishStatus status) { next_status_ = status; }
  // Of the machine of devices, until this is told: nullopt.
  void refuse_devices(std::optional<Errc> error) { devices_refusal_ = error; }
  // So many queries of retained messages are refused for now.
  void refuse_reads(int count) { refused_reads_ = count; }
  // The next query of this kind.
  void refuse_query(uint16_t type, Errc error) { refused_query_ = {type, error}; }
  // Whose principal has this id.
  void name_user(uint32_t id, const std::string& name) { trail_.names[id] = name; }
  // Of the broker, older than the newest.
  void set_logic(uint32_t version) { kernel_.versions[kBrokerMachineId] = version; }

  // Runs a transcript; the first line that is not so, or empty.
  std::string run(std::string_view transcript);

 private:
  class Context;
  struct Gateway {
    explicit Gateway(const mqtt::MqttOptions& options) : broker(options) {}
    mqtt::Broker broker;
    mqtt::MqttProtocol protocol{broker};
    mqtt::ResidentProtocol resident_protocol{broker};
    std::unique_ptr<net::Session> resident;
    std::unique_ptr<http::test::FakeContext> context;
  };
  void start();
  std::string step(const std::string& line);
  Reply apply(const Command& command);
  StateMachine& machine_of(MachineId id);
  void advance_jobs();
  void fire_timers();
  void keep_records(const Command& command);
  Reply query(const QueryRequest& asked) const;
  net::RecordsRead read(const ReadRequest& asked) const;

  streams::StreamsMachine streams_;
  BrokerMachine machine_;
  devices::DevicesMachine devices_;
  devices::FleetsMachine fleets_;
  devices::JobsMachine jobs_;
  devices::ProvisioningMachine provisioning_;
  Trail trail_;
  MachineTable machines_;
  KernelState kernel_;
  CommandRun run_{machines_, kernel_};
  Sequence sequence_ = 0;
  size_t commands_ = 0;
  mutable size_t reads_ = 0;
  struct WaitingRead {
    SessionId session = 0;
    RequestId request = 0;
    net::RecordsRead records;
  };
  void answer_reads();
  bool reads_in_turn_ = false;
  std::deque<WaitingRead> waiting_reads_;
  int64_t now_ns_ = 0;
  int64_t late_ns_ = 0;
  int64_t clock_ahead_ns_ = 0;
  bool held_ = false;
  CommandType hold_after_ = 0;
  std::optional<Errc> refusal_;
  std::optional<PublishStatus> next_status_;
  std::optional<Errc> devices_refusal_;
  mutable int refused_reads_ = 0;
  mutable std::optional<std::pair<uint16_t, Errc>> refused_query_;
  uint32_t broken_chain_ = 0;
  mqtt::MqttOptions options_;
  std::unique_ptr<Gateway> gateway_;
  size_t told_jobs_ = 0;                                // records of iot.jobs that the gateway knows are there
  std::map<PartitionId, std::vector<Buffer>> records_;  // each a batch of its own, by offset
  Offset log_start_ = 0;
  SessionId last_session_ = 1;
  std::map<std::string, Client> clients_;
  std::map<std::string, std::string> certificates_;
};

}  // namespace heptane::iot::test
