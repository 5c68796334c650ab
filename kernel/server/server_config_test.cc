#include <gtest/gtest.h>

#include "kernel/server/safety.h"
#include "kernel/server/server_keys.h"
#include "modules/data/module.h"

namespace heptane::server {

namespace {

Modules make_modules() {
  Modules modules;
  modules.push_back(data::make_module());
  return modules;
}

config::Settings read(std::string_view text) {
  config::Settings settings(key_table(make_modules()));
  EXPECT_EQ(config::mistakes_text("f", config::read_settings(text, settings)), "");
  return settings;
}

ServerOptions options_of(std::string_view text) {
  ServerOptions options;
  land(read(text), options);
  return options;
}

}  // namespace

TEST(ServerConfig, WithoutAFileTheOptionsStayWhatTheyAre) {
  const ServerOptions plain;
  const ServerOptions landed = options_of("");
  EXPECT_EQ(landed.data_directory, plain.data_directory);
  EXPECT_EQ(landed.segment_bytes, plain.segment_bytes);
  EXPECT_EQ(landed.archive.retain_commands_ns, plain.archive.retain_commands_ns);
  EXPECT_EQ(landed.io.output_low_bytes, plain.io.output_low_bytes);
  EXPECT_TRUE(landed.listen.empty() && landed.listen_off.empty() && landed.machine_config.empty());
}

TEST(ServerConfig, KeysLand) {
  const ServerOptions options = options_of(
      "listen.kafka = \"off\"\nlisten.admin = \"127.0.0.1:7171\"\nretain.commands = \"forever\"\n"
      "limits.connections = 12\nlimits.output_memory = \"256KiB\"\nhttp.body_bytes = 2048\nlimits.drain = \"1s\"\n");
  EXPECT_TRUE(options.listen_off.contains("kafka"));
  EXPECT_EQ(options.listen.at("admin").at(0).port, 7171);
  EXPECT_EQ(options.archive.retain_commands_ns, -1);
  EXPECT_EQ(options.io.max_connections, 12u);
  EXPECT_LT(options.io.output_low_bytes, options.io.output_high_bytes);
  EXPECT_EQ(options.http.body_bytes, 2048u);
  EXPECT_EQ(options.drain_limit_ns, 1'000'000'000);
}

TEST(ServerConfig, AReloadTakesReloadableKeysAndNamesTheOthers) {
  const config::Settings current = read("limits.machine_memory = \"1GiB\"\nkafka.auto_create = false\n");
  const config::Settings wanted = read("log.segment_bytes = \"32MiB\"\nlimits.machine_memory = \"2GiB\"\n");
  const Reload plan = plan_reload(current, wanted);
  ASSERT_EQ(plan.need_restart.size(), 1u);
  EXPECT_EQ(plan.need_restart.front()->name, "log.segment_bytes");
  ASSERT_EQ(plan.changed.size(), 2u);
  EXPECT_EQ(plan.settings.number("limits.machine_memory"), int64_t{2} << 30);
  EXPECT_TRUE(plan.settings.boolean("kafka.auto_create"));  // no longer in the file: its default
  EXPECT_EQ(plan.settings.number("log.segment_bytes"), int64_t{64} << 20);
}

TEST(ServerConfig, WhatIsUnsafeIsRefusedWithTheKeyToSet) {
  struct Row {
    ListenerSafety listener;
    const char* says;  // a part of the refusal; empty: it is not refused
  };
  const Row rows[] = {
      {{"kafka", "127.0.0.1", false, false, false}, ""},
      {{"kafka", "127.8.0.1", false, false, false}, ""},
      {{"kafka", "::1", false, false, false}, ""},
      {{"kafka", "unix:/run/kafka.sock", false, false, false}, ""},
      {{"kafka", "0.0.0.0", false, false, false}, "listen.kafka.insecure = true"},
      {{"kafka", "0.0.0.0", false, false, false},
       "set auth.enabled = true and tls.certificate, tls.key and tls.listeners = [\"kafka\"]"},
      {{"kafka", "::", false, false, false}, "listen.kafka.address: :: is beyond loopback"},
      {{"admin", "10.0.0.1", false, true, false}, "set auth.enabled = true, or listen.admin.insecure = true"},
      {{"admin", "10.0.0.1", true, false, false}, "set tls.certificate, tls.key and tls.listeners = [\"admin\"], or"},
      {{"admin", "10.0.0.1", true, true, false}, ""},
      {{"kafka", "0.0.0.0", false, false, true}, ""},
  };
  for (const Row& row : rows) {
    const std::string why = unsafe_listener(row.listener);
    EXPECT_EQ(why.empty(), row.says[0] == 0) << row.listener.host;
    EXPECT_NE(why.find(row.says), std::string::npos) << why;
  }
  EXPECT_TRUE(is_insecure({"kafka", "0.0.0.0", true, false, true}));
  EXPECT_FALSE(is_insecure({"kafka", "127.0.0.1", false, false, true}));
  EXPECT_FALSE(is_insecure({"kafka", "0.0.0.0", true, true, true}));
}

TEST(ServerConfig, WhatIsOpenToOthersIsRefused) {
  EXPECT_EQ(unsafe_mode("data", "/d", 0700), "");
  EXPECT_EQ(unsafe_mode("data", "/d", 0750), "");
  EXPECT_EQ(unsafe_mode("data", "/d", 0755), "data: /d is open to every user of this machine (mode 755): chmod 750 /d");
}

TEST(ServerConfig, TlsAndAuthenticationLand) {
  const ServerOptions options = options_of(
      "auth.enabled = true\n[tls]\nlisteners = [\"kafka\"]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n"
      "min_version = \"1.3\"\n[listen.kafka]\naddress = \"0.0.0.0:9092\"\nconnections = 7\n");
  EXPECT_TRUE(options.auth.enabled);
  const net::TlsOptions& tls = options.tls.at("kafka");
  EXPECT_EQ(tls.certificate_file, "c");
  EXPECT_EQ(tls.client_certificates, net::ClientCertificates::required);
  EXPECT_EQ(tls.min_version, net::TlsVersion::v1_3);
  EXPECT_EQ(options.listener_limits.at("kafka").max_connections, 7u);
  EXPECT_EQ(options.listener_limits.at("admin").max_connections, 0u);
  EXPECT_TRUE(unsafe_options(options, *key_table(make_modules())).empty());
  EXPECT_EQ(options_of("listen.admin = \"unix:/run/admin.sock\"\n").listen.at("admin").at(0).host,
            "unix:/run/admin.sock");
}

TEST(ServerConfig, TlsThatLeadsNowhereIsRefused) {
  const auto refusals = [](std::string_view text) {
    std::string all;
    for (const std::string& why : unsafe_options(options_of(text), *key_table(make_modules()))) all += why + "\n";
    return all;
  };
  EXPECT_EQ(refusals("[tls]\nlisteners = [\"kafak\"]\ncertificate = \"c\"\nkey = \"k\"\n"),
            "tls.listeners: a listener `kafak` does not exist\n");
  EXPECT_EQ(refusals("listen.kafka = \"off\"\n[tls]\nlisteners = [\"kafka\"]\ncertificate = \"c\"\nkey = \"k\"\n"),
            "tls.listeners: the listener `kafka` is off\n");
  EXPECT_EQ(refusals("[tls]\nlisteners = [\"kafka\"]\n"),
            "tls.certificate: tls.listeners names a listener: say the file\n"
            "tls.key: tls.listeners names a listener: say the file\n");
  EXPECT_NE(refusals("tls.certificate = \"c\"\n").find("tls.listeners: "), std::string::npos);
}

}  // namespace heptane::server
