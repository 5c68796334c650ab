// Blobs over HTTP: uploads that are checked and bounded, ranges, what a client that goes away leaves.
#include <gtest/gtest.h>

#include "kernel/admin/admin.h"
#include "kernel/admin/blob_routes.h"
#include "kernel/blobs/api.h"
#include "kernel/blobs/blobs_machine.h"
#include "kernel/net/http/fake_context.h"
#include "sim/sim_disk.h"

namespace heptane::admin {
namespace {

constexpr uint64_t kBlobLimit = 2 << 20;
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";  // SHA-256 of abc

class Blobs : public testing::Test {
 protected:
  Blobs() {
    EXPECT_TRUE(store_.open());
    AdminOptions options;
    options.blobs = &store_;
    protocol_ = std::make_unique<AdminProtocol>(std::move(options));
    connect();
  }
  void connect() {
    session_ = protocol_->open({});
    context_ = std::make_unique<http::test::FakeContext>(*session_);
    context_->on_submit = [this](const Submission& submission) { return submit(submission); };
    context_->on_query = [this](const QueryRequest&) {
      Reply reply;
      if (known_)
        reply.payload = blobs::encode(std::vector<blobs::BlobInfo>{*known_});
      else
        reply.error = Errc::not_found;
      return reply;
    };
  }
  // The state knows one blob: the last that was put.
  Reply submit(const Submission& submission) {
    EXPECT_EQ(submission.machine, machine_ids::kBlobs);
    Reply reply;
    reply.sequence = 7;
    reply.numbers = {submission.type == blobs::kPutBlob ? 1 : 0, 0};
    if (submission.type == blobs::kDropBlob) {
      known_.reset();
      return reply;
    }
    const blobs::Blob blob = *blobs::decode_blob(submission.payload.view());
    EXPECT_TRUE(store_.find(blob.digest).has_value()) << "its file is there before its command";
    store_.doom(blob.digest);
    EXPECT_EQ(*store_.collect(), 0u) << "held until the command is in the log";
    known_ = blobs::BlobInfo{blob.digest, blob.bytes, 1, 1'000'000};
    return reply;
  }
  std::string ask(const std::string& request, const std::string& headers, std::string_view body) {
    if (context_->closed) connect();
    context_->output.clear();
    context_->send(request + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n" + std::string(body));
    return context_->output;
  }
  std::string put(const std::string& path, std::string_view body) {
    return ask("PUT " + path, "Content-Length: " + std::to_string(body.size()) + "\r\n", body);
  }
  std::string get(const std::string& headers = "", const std::string& method = "GET") {
    return ask(method + " /api/v1/blobs/" + (known_ ? blobs::digest_text(known_->digest) : kAbc), headers, "");
  }
  static std::string status(const std::string& answer) { return answer.substr(9, 3); }
  static std::string body(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }
  size_t files() { return disk_.list("/data/blobs")->size(); }

  sim::SimDisk disk_{sim::SimDiskOptions{.seed = 5, .immediate = true}};
  blobs::BlobStore store_{disk_, blobs::BlobStoreOptions{"/data/blobs", 4, kBlobLimit, 3 << 20, {}}};
  std::optional<blobs::BlobInfo> known_;
  std::unique_ptr<AdminProtocol> protocol_;
  std::unique_ptr<net::Session> session_;
  std::unique_ptr<http::test::FakeContext> context_;
};

TEST_F(Blobs, AreNamedByTheirContentAndReadBack) {
  std::string bytes;
  while (bytes.size() < 1'500'000) bytes += std::to_string(bytes.size()) + ' ';
  const std::string answer = put("/api/v1/blobs", bytes);
  ASSERT_EQ(status(answer), "201") << answer;
  ASSERT_TRUE(known_.has_value());
  EXPECT_NE(answer.find("Location: /api/v1/blobs/" + blobs::digest_text(known_->digest)), std::string::npos);
  const std::string got = get();
  EXPECT_EQ(status(got), "200");
  EXPECT_TRUE(body(got) == bytes);
  EXPECT_NE(got.find("\r\nContent-Length: " + std::to_string(bytes.size())), std::string::npos);
}

TEST_F(Blobs, AreCheckedAgainstTheNameThatWasGiven) {
  EXPECT_EQ(status(put(std::string("/api/v1/blobs/") + kAbc, "abc")), "201");
  const std::string wrong = put(std::string("/api/v1/blobs/") + kAbc, "abd");
  EXPECT_EQ(status(wrong), "400") << wrong;
  EXPECT_EQ(status(put("/api/v1/blobs/ABC", "abc")), "400");
  EXPECT_EQ(files(), 1u);
}

TEST_F(Blobs, OneWithoutBytesIsABlobToo) {
  EXPECT_EQ(status(put("/api/v1/blobs", "")), "201");
  EXPECT_EQ(status(get()), "200");
  EXPECT_EQ(status(get("Range: bytes=0-\r\n")), "416");
}

TEST_F(Blobs, TooLongIs413AndTooManyBytesTogetherAre507) {
  const std::string length = "Content-Length: " + std::to_string(kBlobLimit + 1) + "\r\n";
  EXPECT_EQ(status(ask("PUT /api/v1/blobs", length, "")), "413");
  EXPECT_EQ(status(put("/api/v1/blobs", std::string(kBlobLimit, 'a'))), "201");
  const std::string full = put("/api/v1/blobs", std::string(kBlobLimit, 'b'));
  EXPECT_EQ(status(full), "507") << full;
  EXPECT_NE(full.find("blobs.total_bytes"), std::string::npos);
  EXPECT_EQ(files(), 1u);
}

TEST_F(Blobs, OneUploadTooManyIsToldWhenToComeBack) {
  std::vector<std::unique_ptr<blobs::BlobUpload>> others;
  for (int i = 0; i < 4; ++i) {
    auto upload = store_.begin_upload(1);
    others.push_back(std::move(*upload));
  }
  const std::string answer = put("/api/v1/blobs", "abc");
  EXPECT_EQ(status(answer), "503");
  EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos) << answer;
}

TEST_F(Blobs, WhoGoesAwayLeavesNothing) {
  ask("PUT /api/v1/blobs", "Content-Length: 10\r\n", "abc");
  EXPECT_EQ(store_.uploads(), 1u);
  session_->on_close(net::CloseReason::peer_closed);
  session_.reset();
  store_.bury();
  EXPECT_EQ(store_.uploads(), 0u);
  EXPECT_EQ(files(), 0u);
}

TEST_F(Blobs, GiveARange) {
  put("/api/v1/blobs", "0123456789");
  const std::string part = get("Range: bytes=2-4\r\n");
  EXPECT_EQ(status(part), "206");
  EXPECT_EQ(body(part), "234");
  EXPECT_NE(part.find("Content-Range: bytes 2-4/10"), std::string::npos) << part;
  EXPECT_EQ(body(get("Range: bytes=-3\r\n")), "789");
  EXPECT_EQ(body(get("Range: bytes=7-99\r\n")), "789");
  const std::string none = get("Range: bytes=10-\r\n");
  EXPECT_EQ(status(none), "416");
  EXPECT_NE(none.find("Content-Range: bytes */10"), std::string::npos);
  EXPECT_EQ(body(get("Range: bytes=2-4\r\nIf-Range: \"other\"\r\n")), "0123456789");
  EXPECT_EQ(body(get("Range: bytes=0-1,4-5\r\n")), "0123456789");
}

TEST_F(Blobs, AnswerHeadAndConditionalRequestsWithoutBytes) {
  put("/api/v1/blobs", "0123456789");
  const std::string head = get("", "HEAD");
  EXPECT_NE(head.find("Content-Length: 10"), std::string::npos) << head;
  EXPECT_EQ(body(head), "");
  const std::string etag = '"' + blobs::digest_text(known_->digest) + '"';
  EXPECT_NE(head.find("ETag: " + etag), std::string::npos);
  for (const std::string& same : {etag, "\"other\", " + etag, "W/" + etag, std::string("*")})
    EXPECT_EQ(status(get("If-None-Match: " + same + "\r\n")), "304") << same;
  EXPECT_EQ(status(get("If-None-Match: \"other\"\r\n")), "200");
}

TEST_F(Blobs, GoOutAsTheClientReads) {
  put("/api/v1/blobs", std::string(1'500'000, 'x'));
  context_->output_stalls = true;
  const std::string begun = get();
  EXPECT_LT(begun.size(), 1'000'000u);
  ASSERT_TRUE(context_->output_full());
  context_->drain_output();
  EXPECT_EQ(body(context_->output).size(), 1'500'000u);
}

TEST_F(Blobs, AFileThatIsMissingIsSaid) {
  put("/api/v1/blobs", "abc");
  store_.doom(known_->digest);
  ASSERT_EQ(*store_.collect(), 1u);
  EXPECT_EQ(status(get()), "500");
  known_.reset();
  EXPECT_EQ(status(get()), "404");
}

TEST(ByteRange, ReadsWhatRfc9110Allows) {
  using Kind = ByteRange::Kind;
  const auto read = [](std::string_view header) { return parse_range(header, 100); };
  EXPECT_EQ(read("bytes=0-0").end, 1u);
  EXPECT_EQ(read("bytes=99-").begin, 99u);
  EXPECT_EQ(read("bytes=-200").begin, 0u);
  EXPECT_EQ(read("bytes=100-").kind, Kind::unsatisfiable);
  EXPECT_EQ(read("bytes=-0").kind, Kind::unsatisfiable);
  for (const char* ignored :
       {"", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=1"})
    EXPECT_EQ(read(ignored).kind, Kind::whole) << ignored;
}

}  // namespace
}  // namespace heptane::admin
