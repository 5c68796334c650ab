// Plays the transcripts, and checks what transcripts cannot show: pieces of any size, limits, the README's tables.
// HEPTANE_RECORD_TRANSCRIPTS=1 rewrites the answers in the transcripts with what is seen; HEPTANE_KAFKA_CORPUS=directory
// writes each transcript's input there, for the fuzzer (after a byte 0: in one piece).

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "modules/data/gateway/kafka/api.h"
#include "modules/data/gateway/kafka/kafka.h"
#include "modules/data/gateway/kafka/messages.h"
#include "modules/data/gateway/kafka/session.h"
#include "modules/data/test/fake_context.h"
#include "modules/data/test/message_text.h"
#include "modules/data/test/transcript.h"

namespace heptane::data::kafka::test {
namespace {

constexpr char kTranscripts[] = "modules/data/test/transcripts";

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path << ": run from the root of the tree";
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(KafkaTranscripts, AllArePlayed) {
  size_t played = 0;
  for (const auto& file : std::filesystem::directory_iterator(kTranscripts)) {
    SCOPED_TRACE(file.path().filename().string());
    const TranscriptResult result = play(read_file(file.path()));
    if (std::getenv("HEPTANE_RECORD_TRANSCRIPTS") != nullptr)
      std::ofstream(file.path(), std::ios::binary) << result.rewritten;
    if (const char* corpus = std::getenv("HEPTANE_KAFKA_CORPUS"); corpus != nullptr)
      std::ofstream(std::filesystem::path(corpus) / file.path().stem(), std::ios::binary) << '\0' << result.input;
    for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
    ++played;
  }
  EXPECT_GE(played, 8u);
}

struct Connection {
  explicit Connection(KafkaOptions options = {})
      : protocol(std::move(options)), session(protocol.open({})), context(*session) {
    session->on_open(context);
  }
  // Hands over what is there and keeps what is not consumed, as the loop does.
  void send(std::string_view bytes) {
    pending += bytes;
    offer();
  }
  void offer() {
    while (!context.paused && !context.closed) {
      const size_t consumed = session->on_bytes(as_bytes(pending), context);
      ASSERT_LE(consumed, pending.size());
      pending.erase(0, consumed);
      context.deliver();
      if (consumed == 0 || pending.empty()) break;
    }
  }
  KafkaProtocol protocol;
  std::unique_ptr<net::Session> session;
  FakeContext context;
  std::string pending;
};

template <class T>
std::string request_bytes(ApiKey key, int16_t version, int32_t correlation, const T& body) {
  Encoder encoder({version, version >= find_api(static_cast<int16_t>(key))->first_flexible});
  encoder.out().be<int32_t>(0);
  encoder.out().be(static_cast<int16_t>(key));
  encoder.out().be(version);
  encoder.out().be(correlation);
  encoder.out().be<int16_t>(-1);
  if (version >= find_api(static_cast<int16_t>(key))->first_flexible) encoder.empty_tagged_fields();
  encoder.write(body, false);
  store_be(encoder.out().at(0), static_cast<int32_t>(encoder.size() - 4));
  std::string bytes;
  for (const Buffer& piece : encoder.finish()) bytes += as_text(piece.view());
  return bytes;
}

std::string produce_bytes(int32_t correlation, const std::string& batch, int16_t acks = -1,
                          int32_t timeout_ms = 30'000) {
  ProduceRequest request;
  request.acks = acks;
  request.timeout_ms = timeout_ms;
  request.topics.push_back({"t", {}});
  Records records;
  records.view = as_bytes(batch);
  request.topics[0].partitions.push_back({0, records});
  return request_bytes(ApiKey::produce, 7, correlation, request);
}

std::string batch_of(std::string_view text) {
  std::deque<std::string> keep;
  Records records;
  TextReader(text, keep).read(records);
  return std::string(as_text(records.view));
}

std::vector<int32_t> correlations(const std::string& output) {
  std::vector<int32_t> found;
  ByteReader reader(as_bytes(output));
  while (reader.remaining() > 0) {
    ByteReader frame(reader.take(static_cast<size_t>(reader.be<int32_t>())));
    found.push_back(frame.be<int32_t>());
    EXPECT_FALSE(reader.failed());
    if (reader.failed()) break;
  }
  return found;
}

TEST(KafkaSession, TakesFramesInPiecesOfAnySize) {
  const std::string requests = request_bytes(ApiKey::api_versions, 3, 1, ApiVersionsRequest{"c", "1"}) +
                               produce_bytes(2, batch_of("batch(\"a\", \"b\")")) +
                               request_bytes(ApiKey::metadata, 8, 3, MetadataRequest{});
  std::string whole;
  for (size_t piece = 1; piece <= requests.size(); ++piece) {
    Connection connection;
    connection.context.create_stream("t", 1);
    for (size_t at = 0; at < requests.size(); at += piece)
      connection.send(std::string_view(requests).substr(at, piece));
    EXPECT_EQ(correlations(connection.context.output), (std::vector<int32_t>{1, 2, 3})) << piece;
    if (piece == 1) whole = connection.context.output;
    EXPECT_EQ(connection.context.output, whole) << piece;
    EXPECT_TRUE(connection.pending.empty());
  }
}

TEST(KafkaSession, SaysHowManyBytesItNeeds) {
  Connection connection;
  EXPECT_EQ(connection.context.needed, 4u);
  connection.send(std::string("\0\0\1\0", 4));
  EXPECT_EQ(connection.context.needed, 4u + 256u);
  EXPECT_EQ(connection.pending.size(), 4u);
}

TEST(KafkaSession, ManyProduceRequestsOverlapAndReachTheLogInOrder) {
  Connection connection;
  connection.context.create_stream("t", 1);
  connection.context.hold(true);
  // The first waits for its topic's description: none may overtake it meanwhile.
  connection.send(produce_bytes(1, batch_of("batch(\"a\")")) + produce_bytes(2, batch_of("batch(\"a\",\"b\")")) +
                  produce_bytes(3, batch_of("batch(\"a\",\"b\",\"c\")")));
  EXPECT_EQ(connection.context.outstanding(), 1u);
  connection.context.hold(false);
  connection.context.deliver();
  EXPECT_EQ(connection.context.log, (std::vector<std::string>{"append 1 1", "append 1 2", "append 1 3"}));
  connection.context.hold(true);
  connection.send(produce_bytes(4, batch_of("batch(\"a\")")) + produce_bytes(5, batch_of("batch(\"a\")")));
  EXPECT_EQ(connection.context.log.size(), 5u);  // both under way at once
  EXPECT_EQ(correlations(connection.context.output).size(), 3u);
  connection.context.hold(false);
  connection.context.deliver();
  EXPECT_EQ(correlations(connection.context.output), (std::vector<int32_t>{1, 2, 3, 4, 5}));
}

TEST(KafkaSession, StopsTakingInputWhileTooManyRequestsWait) {
  Connection connection;
  connection.context.create_stream("t", 1);
  connection.context.hold(true);
  std::string requests;
  for (int32_t i = 0; i < 150; ++i) requests += produce_bytes(i, batch_of("batch(\"a\")"));
  connection.send(requests);
  EXPECT_TRUE(connection.context.paused);
  EXPECT_EQ(connection.pending.size(), requests.size() / 150 * 50);
  connection.context.hold(false);
  connection.context.deliver();
  EXPECT_FALSE(connection.context.paused);
  connection.offer();
  EXPECT_EQ(correlations(connection.context.output).size(), 150u);
  EXPECT_TRUE(connection.pending.empty());
}

TEST(KafkaSession, StopsTakingInputWhileTooManyBytesWait) {
  Connection connection;
  connection.context.create_stream("t", 1);
  connection.context.hold(true);
  const std::string value(1'000'000, 'x');
  const std::string request = produce_bytes(1, batch_of("batch(\"" + value + "\")"));
  for (int i = 0; i < 30; ++i) connection.send(request);
  EXPECT_TRUE(connection.context.paused);
  EXPECT_EQ(connection.pending.size(), 13 * request.size());  // 17 of them pass 16 MiB
}

TEST(KafkaSession, HoldsLongAnswersUntilTheClientTakesEarlierOnes) {
  Connection connection;
  connection.context.create_stream("t", 1);
  connection.context.append_from_elsewhere("t", 0,
                                           as_bytes(batch_of("batch(\"" + std::string(5'000'000, 'x') + "\")")));
  FetchRequest fetch;
  fetch.topics.push_back({"t", {}});
  fetch.topics[0].partitions.push_back({0, -1, 0, -1, 6'000'000});
  connection.context.stall_output(true);
  connection.send(request_bytes(ApiKey::fetch, 11, 1, fetch) + request_bytes(ApiKey::fetch, 11, 2, fetch));
  EXPECT_EQ(correlations(connection.context.output), (std::vector<int32_t>{1}));
  connection.context.output.clear();
  connection.session->on_writable(connection.context);
  connection.context.deliver();
  EXPECT_EQ(correlations(connection.context.output), (std::vector<int32_t>{2}));
}

TEST(KafkaSession, AnAnswerAfterTheDeadlineIsNobodys) {
  Connection connection;
  connection.context.create_stream("t", 1);
  connection.context.hold(true);
  connection.send(request_bytes(ApiKey::metadata, 1, 1, MetadataRequest{}));
  connection.context.pass_time(KafkaSession::kRequestDeadlineNs);
  EXPECT_EQ(connection.context.closed, "no answer from the shard before the deadline");
  connection.context.hold(false);
  connection.context.deliver();
  EXPECT_TRUE(connection.context.output.empty());
  EXPECT_EQ(connection.protocol.counters().requests_past_deadline, 1u);
}

TEST(KafkaSession, CountsWhatItRefuses) {
  Connection unknown;
  unknown.send(std::string("\0\0\0\x08\0\x63\0\0\0\0\0\x01", 12));
  EXPECT_EQ(unknown.protocol.counters().unknown_apis, 1u);
  Connection negative;
  negative.send(std::string("\xff\xff\xff\xff", 4));
  EXPECT_EQ(negative.protocol.counters().oversized_requests, 1u);
  Connection trailing;
  std::string request = request_bytes(ApiKey::metadata, 1, 1, MetadataRequest{}) + "x";
  request[3] = static_cast<char>(request[3] + 1);
  trailing.send(request);
  EXPECT_EQ(trailing.protocol.counters().malformed_requests, 1u);
  EXPECT_EQ(trailing.context.closed, "malformed request");
}

// An array that claims as many elements as its bytes could hold is refused before anything is reserved for it.
TEST(KafkaSession, RefusesArraysOverTheElementLimit) {
  MetadataRequest request;
  request.topics.emplace(Decoder::kElementsLimit + 1);
  Connection connection;
  connection.send(request_bytes(ApiKey::metadata, 1, 1, request));
  EXPECT_EQ(connection.context.closed, "malformed request");
}

// Every truncation of every request: the length says what is there, the body ends early. Never an answer, always a close.
TEST(KafkaSession, TruncatedRequestsCloseTheConnection) {
  FetchRequest fetch;
  fetch.topics.push_back({"t", {}});
  fetch.topics[0].partitions.push_back({});
  fetch.rack_id = "r";
  const std::vector<std::string> requests = {
      request_bytes(ApiKey::api_versions, 3, 1, ApiVersionsRequest{"c", "1"}),
      request_bytes(ApiKey::metadata, 8, 1, MetadataRequest{}),
      produce_bytes(1, batch_of("batch(\"a\")")),
      request_bytes(ApiKey::fetch, 11, 1, fetch),
      request_bytes(ApiKey::init_producer_id, 4, 1, InitProducerIdRequest{}),
      request_bytes(ApiKey::list_offsets, 5, 1, ListOffsetsRequest{}),
  };
  for (const std::string& request : requests) {
    for (size_t length = 4; length < request.size(); ++length) {
      std::string cut = request.substr(0, length);
      store_be(reinterpret_cast<std::byte*>(cut.data()), static_cast<int32_t>(length - 4));
      Connection connection;
      connection.context.create_stream("t", 1);
      connection.send(cut);
      EXPECT_TRUE(connection.context.closed.has_value()) << length;
      EXPECT_TRUE(connection.context.output.empty()) << length;
    }
  }
}

// The tables of the README say what the code does.
TEST(KafkaReadme, NamesTheServedVersions) {
  const std::string readme = read_file("modules/data/README.md");
  const std::regex row(R"(\| (\w+) \| (\d+) \| (\d+)–(\d+) \|)");
  std::set<std::string> seen;
  for (std::sregex_iterator match(readme.begin(), readme.end(), row), end; match != end; ++match) {
    const Api* api = find_api(static_cast<int16_t>(std::stoi((*match)[2])));
    ASSERT_NE(api, nullptr) << (*match)[1];
    EXPECT_EQ(api->name, (*match)[1].str());
    EXPECT_EQ(api->advertised_min, std::stoi((*match)[3])) << api->name;
    EXPECT_EQ(api->advertised_max, std::stoi((*match)[4])) << api->name;
    seen.insert(std::string(api->name));
  }
  EXPECT_EQ(seen.size(), kApis.size());
}

// Every error code of api.h stands in the README's table of errors and in a transcript.
TEST(KafkaReadme, NamesTheErrors) {
  const std::string readme = read_file("modules/data/README.md");
  const std::string codes = read_file("modules/data/gateway/kafka/api.h");
  std::string transcripts;
  for (const auto& file : std::filesystem::directory_iterator(kTranscripts)) transcripts += read_file(file.path());
  const std::regex code(R"(\n  \w+ = (-?\d+),)");
  size_t errors = 0;
  const size_t begin = codes.find("enum class ErrorCode");
  const std::string list = codes.substr(begin, codes.find("};", begin) - begin);
  for (std::sregex_iterator match(list.begin(), list.end(), code), end; match != end; ++match) {
    const std::string number = (*match)[1];
    if (number == "0") continue;
    EXPECT_NE(readme.find("\n| " + number + " |"), std::string::npos) << "README: error " << number;
    EXPECT_TRUE(std::regex_search(transcripts, std::regex("error_code: " + number + "[,}]")))
        << "transcripts: error " << number;
    ++errors;
  }
  EXPECT_GE(errors, 20u);
}

}  // namespace
}  // namespace heptane::data::kafka::test
