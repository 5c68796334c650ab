// Who takes part where rules are simulated (rules_watch.h): meters that publish readings at QoS 1 or 2, and an operator of the HTTP
// API who opens accounts, declares, changes, pauses, resumes and drops rules, and appends numbers. One owner.
#pragma once

#include <set>
#include <string>

#include "sim/http_client.h"
#include "sim/mqtt_client.h"
#include "sim/rules_watch.h"

namespace heptane::sim {

class SimMeter final : public SimMqttSender {
 public:
  SimMeter(ClientWorld& world, MqttWatch& mqtt, RulesWatch& watch, uint32_t number, uint16_t port);

 private:
  SimMessage message(uint32_t number) const override;
  bool may_send(uint32_t number) override;
  void acknowledged(uint32_t number) override { rules_.meters[number_].acknowledged = number; }

  RulesWatch& rules_;
  const uint32_t number_;
};

class SimRulesOperator final : public SimHttpClient {
 public:
  SimRulesOperator(ClientWorld& world, RulesWatch& watch, uint16_t port)
      : SimHttpClient(world, "rules-operator", port), watch_(watch) {}
  // Nothing that it paused stays so.
  bool finished() const override;

 private:
  void compose() override;
  bool composes() const override { return SimHttpClient::composes() || !paused_.empty() || watch_.lua.is_paused(); }
  bool on_response(int status, std::string_view body) override;
  void prepare(uint32_t step);
  void put(const std::string& rule, const std::string& body);
  void pause_or_resume(const std::string& rule);
  void resume_lua();
  void append_tick();
  uint32_t composes_one_in() const override { return 3; }

  RulesWatch& watch_;
  uint32_t prepared_ = 0;
  std::set<std::string> rules_{};  // that are there
  std::set<std::string> paused_{};
};

}  // namespace heptane::sim
