// One JSON object, written member after member. Values that are JSON already are taken as they are. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "modules/iot/domain/devices/json_tree.h"

namespace heptane::iot::devices {

class JsonObject {
 public:
  JsonObject& key(std::string_view name) {
    text_ += text_.empty() ? "{\"" : ",\"";
    text_ += name;
    text_ += "\":";
    return *this;
  }
  JsonObject& number(std::string_view name, uint64_t value) {
    key(name).text_ += std::to_string(value);
    return *this;
  }
  JsonObject& raw(std::string_view name, std::string_view json) {
    key(name).text_ += json;
    return *this;
  }
  JsonObject& text(std::string_view name, std::string_view value) {
    write_json_text(key(name).text_, value);
    return *this;
  }
  std::string end(std::string_view client_token = {}) {
    if (!client_token.empty()) text("clientToken", client_token);
    return text_.empty() ? "{}" : text_ + "}";
  }

 private:
  std::string text_;
};

}  // namespace heptane::iot::devices
