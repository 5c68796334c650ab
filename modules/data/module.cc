#include "modules/data/module.h"

#include "modules/data/gateway/kafka/kafka.h"
#include "modules/data/machine/consumer_offsets/consumer_offsets.h"

namespace heptane::data {

namespace {

constexpr uint16_t kKafkaPort = 9092;

class DataModule final : public server::Module {
 public:
  std::string_view name() const override { return "data"; }

  std::vector<StateMachine*> machines() override { return {&offsets_}; }

  std::vector<server::ListenerSpec> listeners(const server::ServerFacts& facts) override {
    kafka::KafkaOptions options;
    options.cluster_id = log_id_text(facts.log_id);
    options.leader_epoch = static_cast<int32_t>(facts.epoch);
    options.authenticator = facts.authenticator;
    kafka_ = std::make_unique<kafka::KafkaProtocol>(std::move(options));
    return {{kafka_.get(), kKafkaPort}};
  }

 private:
  offsets::ConsumerOffsets offsets_;
  std::unique_ptr<kafka::KafkaProtocol> kafka_;
};

}  // namespace

std::unique_ptr<server::Module> make_module() { return std::make_unique<DataModule>(); }

}  // namespace heptane::data
