#include "modules/iot/gateway/mqtt/mqtt.h"

#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

namespace {

class ResidentSession final : public net::Session {
 public:
  explicit ResidentSession(Broker& broker) : broker_(broker) {}
  void on_open(net::SessionContext& context) override { broker_.attach(context); }
  size_t on_bytes(Bytes input, net::SessionContext&) override { return input.size(); }
  void on_reply(RequestId request, const Reply& reply, net::SessionContext&) override {
    broker_.on_reply(request, reply);
  }
  void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext&) override {
    broker_.on_records(request, records);
  }
  void on_advanced(net::SubscriptionId subscription, Offset durable_end, net::SessionContext&) override {
    broker_.jobs().on_advanced(subscription, durable_end);
  }
  void on_timer(net::SessionTimerId timer, net::SessionContext&) override { broker_.on_timer(timer); }
  void on_stop(net::SessionContext&) override {
    broker_.things().flush();
    broker_.presence().flush();
    broker_.telling().flush();
    broker_.history().flush();
    broker_.keeper().stop();
  }
  void on_close(net::CloseReason) override { broker_.detach(); }

 private:
  Broker& broker_;
};

}  // namespace

std::unique_ptr<net::Session> MqttProtocol::open(const net::Address&) {
  return std::make_unique<MqttSession>(broker_, false);
}

std::unique_ptr<net::Session> ResidentProtocol::open(const net::Address&) {
  return std::make_unique<ResidentSession>(broker_);
}

}  // namespace heptane::iot::mqtt
