// Direct methods: an operator asks a connected thing, and waits for its answer. Topics are Azure IoT Hub's ("Understand and invoke direct
// methods from IoT Hub", MQTT): a device subscribes to `$iothub/methods/POST/#`, is asked on `$iothub/methods/POST/METHOD/?$rid=ID`
// and answers on `$iothub/methods/res/STATUS/?$rid=ID`. No topic names the thing: what is asked goes to the thing's own connection
// alone, and what is answered counts from there alone. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heptane::iot::devices {

constexpr size_t kMethodNameBytesMax = 128;
constexpr size_t kMethodPayloadBytesMax = 128 << 10;  // of a request, of an answer
constexpr int64_t kMethodSecondsMax = 60;  // until it is connected and has answered: HTTP's idle timeout is longer
constexpr int64_t kMethodSecondsDefault = 30;
constexpr uint32_t kMethodDone = 200;  // the status where a device says no other

// 1 to 128 of a-z A-Z 0-9 . : _ -
bool valid_method_name(std::string_view name);

// `$iothub` and what lies below: nobody publishes messages there.
bool is_method_topic(std::string_view topic);
// A filter by which a device listens: below `$iothub/methods/POST/`.
bool is_method_filter(std::string_view filter);

// Where a thing is asked. `id`: of the call, without `/`, `+`, `#`.
std::string method_topic(std::string_view method, std::string_view id);
// Where it answers with this status.
std::string method_answer_topic(uint32_t status, std::string_view id);

struct MethodAnswer {
  uint32_t status = 0;  // up to nine digits
  std::string_view id;  // not empty
};
// nullopt: it is no topic of an answer.
std::optional<MethodAnswer> parse_method_answer(std::string_view topic);

}  // namespace heptane::iot::devices
