#include "kernel/crypto/certificate_authority.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include "kernel/crypto/digest.h"

namespace heptane::crypto {

namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDay = 24 * 3'600;

EVP_PKEY* new_key(const char* kind) {
  if (std::string_view(kind) == "ed25519") return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (std::string_view(kind) == "rsa1024") return EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{1024});
  if (std::string_view(kind) == "rsa2048") return EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048});
  return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", kind);
}

template <class Write>
std::string pem(Write&& write) {
  BIO* out = BIO_new(BIO_s_mem());
  write(out);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out, &text);
  std::string whole(text, static_cast<size_t>(size));
  BIO_free(out);
  return whole;
}

// `signer`: whose key signs it.
std::string request_of(EVP_PKEY* key, EVP_PKEY* signer, const char* common_name = "admin") {
  X509_REQ* request = X509_REQ_new();
  X509_NAME* name = X509_REQ_get_subject_name(request);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(common_name), -1, -1, 0);
  X509_REQ_set_pubkey(request, key);
  const bool plain = EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519;
  X509_REQ_sign(request, signer, plain ? nullptr : EVP_sha256());
  std::string text = pem([&](BIO* out) { PEM_write_bio_X509_REQ(out, request); });
  X509_REQ_free(request);
  return text;
}

}  // namespace

class CertificateAuthorityTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/heptane-authority-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    key_ = new_key("P-256");
    write_authority(key_, "ca.pem", "ca.key",
                    {{NID_basic_constraints, "critical,CA:TRUE"}, {NID_subject_key_identifier, "hash"}});
  }
  // Signed by itself.
  void write_authority(EVP_PKEY* key, const char* certificate, const char* key_file,
                       const std::vector<std::pair<int, const char*>>& extensions) {
    X509* own = X509_new();
    X509_set_version(own, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(own), 1);
    ASN1_TIME_set(X509_getm_notBefore(own), kNow - kDay);
    ASN1_TIME_set(X509_getm_notAfter(own), kNow + 100 * kDay);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(own), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("issuer"), -1, -1, 0);
    X509_set_issuer_name(own, X509_get_subject_name(own));
    X509_set_pubkey(own, key);
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, own, own, nullptr, nullptr, 0);
    for (const auto& [kind, value] : extensions) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
      X509_add_ext(own, extension, -1);
      X509_EXTENSION_free(extension);
    }
    X509_sign(own, key, EVP_sha256());
    write(certificate, pem([&](BIO* out) { PEM_write_bio_X509(out, own); }));
    write(key_file, pem([&](BIO* out) { PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); }));
    X509_free(own);
  }
  void TearDown() override {
    EVP_PKEY_free(key_);
    for (const char* name : {"ca.pem", "ca.key", "other.key", "leaf.pem", "leaf.key", "bad.pem", "bad.key"})
      std::remove((directory_ + "/" + name).c_str());
    std::remove(directory_.c_str());
  }

  void write(const std::string& name, const std::string& text) { std::ofstream(directory_ + "/" + name) << text; }
  Result<std::shared_ptr<const CertificateAuthority>> load(const std::string& certificate, const std::string& key) {
    return CertificateAuthority::load(directory_ + "/" + certificate, directory_ + "/" + key);
  }
  static CertificateWish wish() {
    return {"Heptane device",
            std::string_view("\xFF"
                             "23456789abcdefg",
                             16),
            kNow, kNow + kDay};
  }

  std::string directory_;
  EVP_PKEY* key_ = nullptr;
};

TEST_F(CertificateAuthorityTest, SaysWhatItSaysAndNotWhatIsAskedFor) {
  const auto authority = load("ca.pem", "ca.key");
  ASSERT_TRUE(authority.ok()) << authority.error().message;
  for (const char* kind : {"P-256", "P-384", "P-521", "ed25519", "rsa2048"}) {
    EVP_PKEY* key = new_key(kind);
    const auto issued = (*authority)->sign(request_of(key, key), wish());
    ASSERT_TRUE(issued.ok()) << kind << ": " << issued.error().message;
    BIO* in = BIO_new_mem_buf(issued->pem.data(), static_cast<int>(issued->pem.size()));
    X509* certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    BIO_free(in);
    ASSERT_NE(certificate, nullptr);
    EXPECT_EQ(X509_verify(certificate, key_), 1);
    EXPECT_EQ(X509_check_ca(certificate), 0);
    EXPECT_EQ(X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0), 1);
    EXPECT_EQ(X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0), 0);
    EXPECT_EQ(EVP_PKEY_eq(X509_get0_pubkey(certificate), key), 1);
    char name[64] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
    EXPECT_STREQ(name, "Heptane device");
    EXPECT_EQ(issued->not_after_utc_s, kNow + kDay);
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    EXPECT_EQ(issued->hash, digest(Hash::sha256, {reinterpret_cast<char*>(der), static_cast<size_t>(size)}));
    OPENSSL_free(der);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
}

TEST_F(CertificateAuthorityTest, RefusesRequestsThatAreNoneOrWeakOrAnothers) {
  const auto authority = load("ca.pem", "ca.key");
  ASSERT_TRUE(authority.ok());
  EVP_PKEY* key = new_key("P-256");
  EVP_PKEY* weak = new_key("rsa1024");
  const std::string good = request_of(key, key);
  for (const std::string& bad :
       {std::string(), std::string("x"), good.substr(0, good.size() / 2), request_of(key, key_), request_of(weak, weak),
        good.substr(0, 60) + "AAAA" + good.substr(64), std::string(kRequestPemBytesMax + 1, 'x')}) {
    const auto issued = (*authority)->sign(bad, wish());
    ASSERT_FALSE(issued.ok());
    EXPECT_EQ(issued.error().code, Errc::invalid_argument);
  }
  CertificateWish late = wish();
  late.from_utc_s = kNow + 101 * kDay;
  late.until_utc_s = kNow + 102 * kDay;
  EXPECT_EQ((*authority)->sign(good, late).error().code, Errc::refused);
  CertificateWish longer = wish();
  longer.until_utc_s = kNow + 1'000 * kDay;
  EXPECT_EQ((*authority)->sign(good, longer)->not_after_utc_s, kNow + 100 * kDay) << "no longer than its issuer";
  EVP_PKEY_free(key);
  EVP_PKEY_free(weak);
}

TEST_F(CertificateAuthorityTest, IsLoadedWholeOrNotAtAll) {
  const auto authority = load("ca.pem", "ca.key");
  ASSERT_TRUE(authority.ok());
  EVP_PKEY* key = new_key("P-256");
  write("leaf.pem", (*authority)->sign(request_of(key, key), wish())->pem);
  write("leaf.key", pem([&](BIO* out) { PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); }));
  write("other.key", pem([&](BIO* out) {
          PEM_write_bio_PrivateKey(out, key_, EVP_aes_128_cbc(), reinterpret_cast<const unsigned char*>("pass"), 4,
                                   nullptr, nullptr);
        }));
  EVP_PKEY_free(key);
  EXPECT_EQ(load("none.pem", "ca.key").error().code, Errc::io);
  EXPECT_NE(load("leaf.pem", "leaf.key").error().message.find("no authority's"), std::string::npos);
  EXPECT_NE(load("ca.pem", "leaf.key").error().message.find("does not belong"), std::string::npos);
  EXPECT_NE(load("ca.pem", "other.key").error().message.find("not encrypted"), std::string::npos);
  EXPECT_NE(load("ca.key", "ca.key").error().message.find("no PEM certificate"), std::string::npos);
}

// Who signs by it would sign what nobody believes.
TEST_F(CertificateAuthorityTest, IsNoneThatIsOneByHabitOrWeak) {
  write_authority(key_, "bad.pem", "bad.key", {{NID_key_usage, "keyCertSign"}});
  EXPECT_NE(load("bad.pem", "bad.key").error().message.find("no authority's"), std::string::npos);
  EVP_PKEY* weak = new_key("rsa1024");
  write_authority(weak, "bad.pem", "bad.key", {{NID_basic_constraints, "critical,CA:TRUE"}});
  EVP_PKEY_free(weak);
  EXPECT_NE(load("bad.pem", "bad.key").error().message.find("none of RSA"), std::string::npos);
}

}  // namespace heptane::crypto
