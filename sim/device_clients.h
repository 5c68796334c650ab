// Who takes part where devices are simulated (shadows_watch.h, jobs_watch.h): an operator of the HTTP API who registers things, makes,
// cancels and deletes jobs; apps that read, change and delete shadows, with versions and without; things that ask for jobs and say
// what became of them, right and wrong. One owner.
#pragma once

#include <map>
#include <set>
#include <string>

#include "sim/http_client.h"
#include "sim/jobs_watch.h"
#include "sim/mqtt_client.h"
#include "sim/shadows_watch.h"

namespace heptane::sim {

struct DevicesWatch {
  ShadowsWatch shadows;
  JobsWatch jobs;
  uint32_t things = 0;
  uint32_t registered = 0;  // of them, acknowledged
  bool all_registered() const { return registered == things; }
};

class SimDevicesOperator final : public SimHttpClient {
 public:
  SimDevicesOperator(ClientWorld& world, MqttWatch& mqtt, DevicesWatch& watch, uint16_t port)
      : SimHttpClient(world, "devices-operator", port), mqtt_(mqtt), watch_(watch) {}

 private:
  void compose() override;
  bool on_response(int status, std::string_view body) override;
  void make_job(const std::string& job);
  uint32_t composes_one_in() const override { return watch_.all_registered() ? 12 : 2; }

  MqttWatch& mqtt_;
  DevicesWatch& watch_;
  uint32_t steps_ = 0;
  std::string job_;  // that is being made; empty: none
};

class SimShadowApp final : public SimMqttSender {
 public:
  SimShadowApp(ClientWorld& world, MqttWatch& mqtt, DevicesWatch& watch, uint32_t number, uint16_t port);

 private:
  SimMessage message(uint32_t number) const override { return requests_.at(number); }
  bool may_send(uint32_t number) override;
  void acknowledged(uint32_t number) override;
  SimMessage compose(uint32_t number);
  std::string section();

  DevicesWatch& devices_;
  const uint32_t number_;
  std::map<uint32_t, SimMessage> requests_;  // not acknowledged
};

class SimThing final : public SimMqttSender {
 public:
  SimThing(ClientWorld& world, MqttWatch& mqtt, DevicesWatch& watch, uint32_t number, uint16_t port);
  // As long as anything is open somewhere it goes on to ask and to do.
  bool finished() const override { return rests() && (!devices_.jobs.are_open || !promised()); }
  bool rests() const { return SimMqttSender::finished(); }

 private:
  SimMessage message(uint32_t number) const override { return requests_.at(number); }
  bool goes_on() const override { return SimMqttSender::goes_on() || devices_.jobs.are_open; }
  bool may_send(uint32_t number) override;
  void acknowledged(uint32_t number) override;
  SimMessage compose(uint32_t number);
  SimMessage update(uint32_t number, const std::string& job, const std::string& status, bool with_version);

  DevicesWatch& devices_;
  const uint32_t number_;
  uint32_t idle_ = 0;
  std::map<uint32_t, SimMessage> requests_;  // not acknowledged
};

}  // namespace heptane::sim
